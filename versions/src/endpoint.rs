//! The traits that a developer implements: an endpoint's declaration, its behaviour, and the conversion for
//! callers of the date before.

use std::future::Future;

use http::{Method, StatusCode};
use permissions::ApiAccessPermission;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::{Context, Error, ErrorCode, IntoReply};

/// The declaration of an endpoint, which dispatch, the permission check, documents, metrics and tests read.
///
/// An endpoint without a permission does not compile:
///
/// ```compile_fail,E0046
/// struct Open;
/// impl versions::Endpoint for Open {
///     const NAME: &'static str = "open";
///     const METHOD: http::Method = http::Method::GET;
///     const PATH: &'static str = "/open.json";
///     const SUMMARY: &'static str = "Anybody may.";
///     type Request = versions::Empty;
///     type Response = bool;
///     fn example() -> bool { true }
/// }
/// ```
///
/// Nor does one that requires no permission, or several:
///
/// ```compile_fail,E0080
/// # struct Open;
/// # impl versions::Endpoint for Open {
/// #     const NAME: &'static str = "open";
/// #     const METHOD: http::Method = http::Method::GET;
/// #     const PATH: &'static str = "/open.json";
/// #     const SUMMARY: &'static str = "Anybody may.";
/// const PERMISSION: permissions::ApiAccessPermission = permissions::ApiAccessPermission::empty();
/// #     type Request = versions::Empty;
/// #     type Response = bool;
/// #     fn example() -> bool { true }
/// # }
/// # impl versions::Handler for Open {
/// #     async fn handle(_: &versions::Context<'_>, _: versions::Empty) -> Result<bool, versions::Error> { Ok(true) }
/// # }
/// let route = versions::Route::native::<Open>();
/// ```
pub trait Endpoint: 'static {
    /// Names the endpoint in metrics, logs and documents: `verb_noun` or a noun.
    const NAME: &'static str;
    /// The method. An endpoint for `GET` handles `HEAD` too.
    const METHOD: Method;
    /// The path below the date, beginning with `/`; `{name}` is a field of the request.
    const PATH: &'static str;
    /// The one permission that a caller must have. An endpoint without one does not compile.
    const PERMISSION: ApiAccessPermission;
    /// One sentence for a partner.
    const SUMMARY: &'static str;
    /// Whether a replayed request is harmless, so that TLS early data is accepted (RFC 8470); otherwise it
    /// gets 425.
    const EARLY_DATA_SAFE: bool = false;
    /// Whether the method is safe (RFC 9110 §9.2.1), so that the gateway may call a second endpoint to
    /// preview another date.
    const SAFE: bool = false;
    /// The status of a response, unless the reply sets another.
    const STATUS: StatusCode = StatusCode::OK;
    /// The errors that it can respond with beside those of every endpoint.
    const ERRORS: &'static [ErrorCode] = &[];
    /// Whether a call may have an `Idempotency-Key`, so that it can be repeated without being made twice.
    const IDEMPOTENCY_KEY: bool = false;

    /// The request. Fields that [`Self::PATH`] names come from the path; the others from the JSON content of
    /// a method that has one (`POST`, `PUT`, `PATCH`), otherwise from the query.
    type Request: DeserializeOwned + JsonSchema + Send + 'static;
    /// The response: a type that is serialized as JSON, or one of [`crate::reply`].
    type Response: IntoReply + Send;

    /// An example of a response, for documentation and tests.
    fn example() -> Self::Response;
}

/// The native behaviour of an endpoint.
pub trait Handler: Endpoint {
    /// Handles a request that was authenticated, authorized and within its limits. It may wait.
    ///
    /// # Errors
    /// An [`Error`], whose code and detail the caller sees; its source goes to the log only.
    fn handle(
        context: &Context<'_>,
        request: Self::Request,
    ) -> impl Future<Output = Result<Self::Response, Error>> + Send;
}

/// The conversion for callers of the date before when an endpoint changes; the newer endpoint implements it.
///
/// The older endpoint's handler is then one call, [`successor`], and the behaviour exists once. It stands beside the
/// change: a date's folder names older dates, never newer ones.
pub trait Change: Endpoint {
    /// The older endpoint.
    type Before: Endpoint;
    /// What changed, for partners: one sentence that names the fields.
    const NOTE: &'static str;

    /// Converts a request to the older endpoint.
    ///
    /// # Errors
    /// An [`Error`] for a request that is no longer possible.
    fn up(request: <Self::Before as Endpoint>::Request) -> Result<Self::Request, Error>;

    /// Converts a response to the older form. `context.version` is the requested date.
    fn down(context: &Context<'_>, response: Self::Response) -> <Self::Before as Endpoint>::Response;
}

/// Handles a request to an older endpoint with the newer one.
///
/// # Errors
/// Those of the newer endpoint, and of [`Change::up`].
pub async fn successor<E: Change + Handler>(
    context: &Context<'_>,
    request: <E::Before as Endpoint>::Request,
) -> Result<<E::Before as Endpoint>::Response, Error> {
    let response = E::handle(context, E::up(request)?).await?;
    Ok(E::down(context, response))
}
