//! What a developer writes: one declaration, one behaviour, and how callers of the date before keep working.

use std::future::Future;

use http::{Method, StatusCode};
use permissions::ApiAccessPermission;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::{Context, Error, IntoReply};

/// One declaration of an endpoint; every reader (dispatch, permission check, metrics, tests) uses it.
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
/// Nor does one whose permission is none, or several at once:
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
    /// The method it answers. `GET` answers `HEAD` too.
    const METHOD: Method;
    /// The path below the date, beginning with `/`; `{name}` stands for a member of the request.
    const PATH: &'static str;
    /// The one permission that a key must hold. An endpoint without one does not compile.
    const PERMISSION: ApiAccessPermission;
    /// One sentence for a partner.
    const SUMMARY: &'static str;
    /// Whether a replayed request does no harm, so that TLS early data is answered (RFC 8470); else 425.
    const EARLY_DATA_SAFE: bool = false;
    /// Whether a call changes nothing (RFC 9110 §9.2.1), so that the gateway may make a second one to
    /// preview another date.
    const SAFE: bool = false;
    /// The status of its reply, where the reply says no other.
    const STATUS: StatusCode = StatusCode::OK;

    /// What a call says: the members that [`Self::PATH`] names come from the path, the others from the
    /// query, or from the JSON content where the method has one (`POST`, `PUT`, `PATCH`).
    type Request: DeserializeOwned + JsonSchema + Send + 'static;
    /// What it replies: a type that is written as JSON, or one of [`crate::reply`] that says more.
    type Response: IntoReply + Send;

    /// A reply as a partner would see it, for documentation and tests.
    fn example() -> Self::Response;
}

/// The native behaviour of an endpoint.
pub trait Handler: Endpoint {
    /// Answers one request that was authenticated, authorized and within its limits. It may wait.
    ///
    /// # Errors
    /// An [`Error`] whose code and detail the caller sees; its source goes to the log only.
    fn handle(
        context: &Context<'_>,
        request: Self::Request,
    ) -> impl Future<Output = Result<Self::Response, Error>> + Send;
}

/// How callers of the date before keep working when an endpoint changes: it stands at the newer one.
///
/// The older endpoint's handler is then one call, [`successor`], and behaviour exists once.
pub trait Change: Endpoint {
    /// The endpoint as it was.
    type Before: Endpoint;
    /// What changed, for partners: one sentence that names the members.
    const NOTE: &'static str;

    /// What the older call means today.
    ///
    /// # Errors
    /// An [`Error`] for a call that can no longer be meant.
    fn up(request: <Self::Before as Endpoint>::Request) -> Result<Self::Request, Error>;

    /// Today's answer in the older form. `context.version` is the date that was asked for.
    fn down(context: &Context<'_>, response: Self::Response) -> <Self::Before as Endpoint>::Response;
}

/// Answers for an older endpoint by the one that follows it.
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
