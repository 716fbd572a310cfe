//! An endpoint with its types erased: a row of data that every machine reads.

use std::any::TypeId;
use std::future::{Future, Ready, ready};
use std::pin::Pin;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::Either;
use http::Method;
use permissions::ApiAccessPermission;
use schemars::{Schema, SchemaGenerator};

use crate::request::{Input, decode};
use crate::{Change, Context, Endpoint, Error, Handler, json};

/// The JSON body of a 200 answer, or the error: known already, or once the future has waited.
pub type Answer<'a> =
    Either<Ready<Result<Bytes, Error>>, Pin<Box<dyn Future<Output = Result<Bytes, Error>> + Send + 'a>>>;

/// Who answers.
#[derive(Clone, Copy)]
pub enum Action {
    /// A handler of this process.
    Native(for<'a> fn(&'a Context<'a>, Input<'a>) -> Answer<'a>),
}

/// The endpoint of the date before that a row takes the place of.
#[derive(Clone, Copy)]
pub struct Replaced {
    pub(crate) endpoint: TypeId,
    /// Its name.
    pub name: &'static str,
    /// What changed, for partners.
    pub note: &'static str,
}

/// One endpoint as a row. Each field is that of [`Endpoint`].
#[derive(Clone)]
pub struct Route {
    pub(crate) endpoint: TypeId,
    /// Names the endpoint in metrics, logs and documents.
    pub name: &'static str,
    /// The method it answers.
    pub method: Method,
    /// The path below the date.
    pub path: &'static str,
    /// The permission that a key must hold.
    pub permission: ApiAccessPermission,
    /// One sentence for a partner.
    pub summary: &'static str,
    /// Whether TLS early data is answered.
    pub early_data_safe: bool,
    /// Whether a call changes nothing.
    pub safe: bool,
    /// Whether an answer may have to be waited for.
    pub waits: bool,
    /// The JSON schema of what a call says.
    pub request_schema: fn(&mut SchemaGenerator) -> Schema,
    /// The JSON schema of the 200 answer.
    pub response_schema: fn(&mut SchemaGenerator) -> Schema,
    /// Its example, as JSON.
    pub example: fn() -> Result<Vec<u8>, serde_json::Error>,
    /// What it takes the place of, where it stands in [`crate::Release::changed`].
    pub replaced: Option<Replaced>,
    /// Who answers.
    pub action: Action,
}

impl Route {
    /// The row of an endpoint that this process answers itself.
    ///
    /// A permission of none or several bits and a path without its `/` are errors of compilation.
    #[must_use]
    pub const fn native<E: Handler>() -> Self {
        const {
            assert!(E::PERMISSION.is_single(), "an endpoint declares exactly one permission");
            assert!(
                matches!(E::PATH.as_bytes(), [b'/', _, ..]),
                "a path begins with `/` and names something"
            );
        }
        Self {
            endpoint: TypeId::of::<E>(),
            name: E::NAME,
            method: E::METHOD,
            path: E::PATH,
            permission: E::PERMISSION,
            summary: E::SUMMARY,
            early_data_safe: E::EARLY_DATA_SAFE,
            safe: E::SAFE,
            waits: E::WAITS,
            request_schema: |generator| generator.root_schema_for::<E::Request>(),
            response_schema: |generator| generator.root_schema_for::<E::Response>(),
            example: || serde_json::to_vec(&E::example()),
            replaced: None,
            action: Action::Native(|context, input| {
                let answer = async move {
                    let request = decode(&E::METHOD, &input)?;
                    json::to_bytes(&E::handle(context, request).await?).map_err(Error::internal)
                };
                if E::WAITS {
                    return Either::Right(Box::pin(answer));
                }
                let known = answer.now_or_never();
                Either::Left(ready(known.unwrap_or_else(|| {
                    Err(Error::internal("an endpoint that is declared never to wait has waited"))
                })))
            }),
        }
    }

    /// The row of an endpoint that takes the place of another one.
    ///
    /// Without a [`Change`], which says how callers of the date before keep working, it does not compile:
    ///
    /// ```compile_fail,E0277
    /// versions::Route::changed::<versions::v2026_02_01::ping::Ping>();
    /// ```
    #[must_use]
    pub const fn changed<E: Handler + Change>() -> Self {
        let mut route = Self::native::<E>();
        route.replaced = Some(Replaced {
            endpoint: TypeId::of::<E::Before>(),
            name: <E::Before as Endpoint>::NAME,
            note: E::NOTE,
        });
        route
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderMap;

    use super::*;
    use crate::context::tests::{Still, context};
    use crate::{Empty, ErrorCode, Instant};

    /// Waits for ever, and says so or not.
    struct Slow<const WAITS: bool>;

    impl<const WAITS: bool> Endpoint for Slow<WAITS> {
        const NAME: &'static str = "slow";
        const METHOD: Method = Method::GET;
        const PATH: &'static str = "/slow.json";
        const PERMISSION: ApiAccessPermission = ApiAccessPermission::PING_READ;
        const SUMMARY: &'static str = "Waits.";

        type Request = Empty;
        type Response = bool;

        fn example() -> bool {
            true
        }
    }

    impl<const WAITS: bool> Handler for Slow<WAITS> {
        const WAITS: bool = WAITS;

        async fn handle(_: &Context<'_>, _: Empty) -> Result<bool, Error> {
            std::future::pending().await
        }
    }

    #[test]
    fn whoever_says_never_to_wait_and_waits_is_an_error_of_ours() {
        let (services, headers) = (Still::new(Instant::now()), HeaderMap::new());
        let context = context(&services, &headers, Duration::ZERO);
        let answer = |route: Route| {
            let Action::Native(handle) = route.action;
            let input = Input { parameters: None, query: "", content: Bytes::new() };
            handle(&context, input).now_or_never()
        };
        assert!(answer(Route::native::<Slow<true>>()).is_none());
        let error = answer(Route::native::<Slow<false>>()).unwrap().unwrap_err();
        assert_eq!(error.code, ErrorCode::Internal);
    }
}
