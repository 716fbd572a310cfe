//! What a developer writes: one declaration, one behaviour.

use std::future::Future;

use http::Method;
use permissions::ApiAccessPermission;
use serde::Serialize;

use crate::{Context, Error};

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
///     type Response = ();
///     fn example() {}
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
/// #     type Response = ();
/// #     fn example() {}
/// # }
/// # impl versions::Handler for Open {
/// #     async fn handle(_: &versions::Context<'_>) -> Result<(), versions::Error> { Ok(()) }
/// # }
/// let route = versions::Route::native::<Open>();
/// ```
pub trait Endpoint: 'static {
    /// Names the endpoint in metrics and logs: `verb_noun` or a noun.
    const NAME: &'static str;
    /// The method it answers. `GET` answers `HEAD` too.
    const METHOD: Method;
    /// The path below the date, beginning with `/`.
    const PATH: &'static str;
    /// The one permission that a key must hold. An endpoint without one does not compile.
    const PERMISSION: ApiAccessPermission;
    /// One sentence for a partner.
    const SUMMARY: &'static str;
    /// Whether a replayed request does no harm, so that TLS early data is answered (RFC 8470); else 425.
    const EARLY_DATA_SAFE: bool = false;

    /// The body of its 200 answer.
    type Response: Serialize;

    /// An answer as a partner would see it, for documentation and tests.
    fn example() -> Self::Response;
}

/// The native behaviour of an endpoint.
pub trait Handler: Endpoint {
    /// Answers one request that was authenticated, authorized and within its limits.
    ///
    /// # Errors
    /// An [`Error`] whose code and detail the caller sees; its source goes to the log only.
    fn handle(context: &Context<'_>) -> impl Future<Output = Result<Self::Response, Error>> + Send;
}
