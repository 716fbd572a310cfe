//! What a developer writes: one declaration, one behaviour.

use std::future::Future;

use http::Method;
use permissions::ApiAccessPermission;
use serde::Serialize;

use crate::{Context, Error};

/// One declaration of an endpoint; every reader (dispatch, permission check, metrics, tests) uses it.
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
