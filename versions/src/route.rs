//! Routes: endpoints with their types erased, as data for dispatch, documentation and tests.

use std::any::TypeId;

use http::{Method, StatusCode};
use permissions::ApiAccessPermission;
use schemars::{Schema, SchemaGenerator};
use stackfuture::StackFuture;

use crate::request::{Input, decode};
use crate::{Body, Change, Context, Endpoint, Error, ErrorCode, Handler, IntoReply, Reply};

/// The future of a reply.
///
/// Small futures, as most are, are stored inline and only larger ones in a box: a box for each request was a
/// third of all allocations.
pub type ReplyFuture<'a> = StackFuture<'a, Result<Reply, Error>, REPLY_FUTURE_BYTES>;

/// The size of the largest future that is stored inline.
const REPLY_FUTURE_BYTES: usize = 256;

/// How a route is handled.
#[derive(Clone, Copy)]
pub enum Action {
    /// A handler of this process.
    Native(for<'a> fn(&'a Context<'a>, Input<'a>) -> ReplyFuture<'a>),
}

/// The endpoint of the date before that a route replaces.
#[derive(Clone, Copy)]
pub struct Replaced {
    pub(crate) endpoint: TypeId,
    /// Its name.
    pub name: &'static str,
    /// What changed, for partners.
    pub note: &'static str,
}

/// An endpoint as data. Each field is that of [`Endpoint`].
#[derive(Clone)]
pub struct Route {
    pub(crate) endpoint: TypeId,
    /// Names the endpoint in metrics, logs and documents.
    pub name: &'static str,
    /// The method.
    pub method: Method,
    /// The path below the date.
    pub path: &'static str,
    /// The permission that a caller must have.
    pub permission: ApiAccessPermission,
    /// One sentence for a partner.
    pub summary: &'static str,
    /// Whether TLS early data is accepted.
    pub early_data_safe: bool,
    /// Whether the method is safe.
    pub safe: bool,
    /// The status of a response, unless the reply sets another.
    pub status: StatusCode,
    /// The errors that it can respond with beside those of every endpoint.
    pub errors: &'static [ErrorCode],
    /// Whether a call may have an `Idempotency-Key`.
    pub takes_idempotency_key: bool,
    /// The media type of the response, if it has a body.
    pub media_type: Option<&'static str>,
    /// The JSON schema of the request.
    pub request_schema: fn(&mut SchemaGenerator) -> Schema,
    /// The JSON schema of the response, if that is JSON.
    pub response_schema: fn(&mut SchemaGenerator) -> Option<Schema>,
    /// The body of the example.
    pub example: fn() -> Result<Vec<u8>, Error>,
    /// The endpoint that it replaces, if it is listed in [`crate::Release::changed`].
    pub replaced: Option<Replaced>,
    /// Who answers.
    pub action: Action,
}

impl Route {
    /// The route of an endpoint that this process handles.
    ///
    /// Requiring no permission or several, and a path without its `/`, are compile errors.
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
            status: E::STATUS,
            errors: E::ERRORS,
            takes_idempotency_key: E::IDEMPOTENCY_KEY,
            media_type: E::Response::MEDIA_TYPE,
            request_schema: |generator| generator.root_schema_for::<E::Request>(),
            response_schema: E::Response::schema,
            example: || match E::example().into_reply()?.body {
                Body::Full(bytes) => Ok(bytes.into()),
                Body::Empty | Body::Stream(_) => Ok(Vec::new()),
            },
            replaced: None,
            action: Action::Native(|context, input| {
                StackFuture::from_or_box(async move {
                    let request = decode(&E::METHOD, &input)?;
                    let reply = E::handle(context, request).await?.into_reply()?;
                    Ok(Reply { status: Some(reply.status.unwrap_or(E::STATUS)), ..reply })
                })
            }),
        }
    }

    /// The route of an endpoint that replaces another one.
    ///
    /// It does not compile without a [`Change`], the conversion for callers of the date before:
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

    use futures_util::FutureExt as _;
    use http::{HeaderMap, HeaderValue, header};

    use super::*;
    use crate::context::tests::{Still, context};
    use crate::{Empty, Instant, NoContent};

    /// Responds with 201, or never.
    struct Make<const WAITS: bool>;

    impl<const WAITS: bool> Endpoint for Make<WAITS> {
        const NAME: &'static str = "make";
        const METHOD: Method = Method::POST;
        const PATH: &'static str = "/make.json";
        const PERMISSION: ApiAccessPermission = ApiAccessPermission::PING_READ;
        const SUMMARY: &'static str = "Makes something.";
        const STATUS: StatusCode = StatusCode::ACCEPTED;

        type Request = Empty;
        type Response = Reply<NoContent>;

        fn example() -> Reply<NoContent> {
            Reply::new(NoContent)
        }
    }

    impl<const WAITS: bool> Handler for Make<WAITS> {
        async fn handle(_: &Context<'_>, _: Empty) -> Result<Reply<NoContent>, Error> {
            if WAITS {
                std::future::pending::<()>().await;
            }
            Ok(Reply::new(NoContent)
                .with_header(header::LOCATION, HeaderValue::from_static("/things/1.json")))
        }
    }

    #[test]
    fn a_reply_has_the_status_that_its_endpoint_declares_and_a_waiting_one_is_pending() {
        let (services, headers) = (Still::new(Instant::now()), HeaderMap::new());
        let context = context(&services, &headers, Duration::ZERO);
        let reply = |route: Route| {
            let Action::Native(handle) = route.action;
            handle(&context, Input::default()).now_or_never()
        };
        assert!(reply(Route::native::<Make<true>>()).is_none());
        let reply = reply(Route::native::<Make<false>>()).unwrap().unwrap();
        assert_eq!(reply.status, Some(StatusCode::ACCEPTED));
        assert_eq!(reply.headers[header::LOCATION], "/things/1.json");
    }
}
