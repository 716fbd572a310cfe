//! Tests of the pipeline alone, with endpoints that panic, fail or wait.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Method, Request, Response, StatusCode, header};
use jiff::Timestamp;
use permissions::{
    ApiAccessPermission, Brand, Environment, KeyId, KeyRecord, KeySecret, PartnerId, ServerSecret,
};
use serde_json::Value;
use versions::{
    Catalog, Context, Empty, Endpoint, Error, ErrorCode, Handler, Lifecycle, Release, Route, Version,
};

use super::{ConnectionCache, Pipeline};
use crate::callers::REMEMBERED_BYTES_MAX;
use crate::clock::{Clock, ManualClock, SystemClock};
use crate::config::{Config, Sources};
use crate::http::Frontend;
use crate::store::StoredKey;
use crate::transport::{Peer, RequestBody, Service as _};

/// An endpoint with a path and a handler.
macro_rules! endpoint {
    ($name:ident, $path:literal, $context:ident => $answer:expr) => {
        struct $name;

        impl Endpoint for $name {
            const NAME: &'static str = $path;
            const METHOD: Method = Method::GET;
            const PATH: &'static str = $path;
            const PERMISSION: ApiAccessPermission = ApiAccessPermission::PING_READ;
            const SUMMARY: &'static str = "A test.";
            const SAFE: bool = !matches!($path.as_bytes(), b"/writes.json");
            type Request = Empty;
            type Response = String;

            fn example() -> String {
                String::new()
            }
        }

        impl Handler for $name {
            async fn handle($context: &Context<'_>, _: Empty) -> Result<String, Error> {
                $answer
            }
        }
    };
}

mod dates;

endpoint!(Panics, "/panics.json", _context => panic!("a secret of the inside"));
endpoint!(PanicsLater, "/panics-later.json", _context => {
    tokio::task::yield_now().await;
    panic!("a secret of the inside")
});
endpoint!(Fails, "/fails.json", _context => Err(Error::internal("a secret of the inside")));
endpoint!(Client, "/client.json", context => Ok(context.client.to_string()));
endpoint!(ClientLater, "/client-later.json", context => {
    tokio::task::yield_now().await;
    Ok(context.client.to_string())
});
endpoint!(Refuses, "/refuses.json", _context => {
    Err(Error::new(ErrorCode::MalformedRequest, "`colour` is no colour."))
});

const RELEASE: Release = Release {
    added: &[
        Route::native::<Panics>(),
        Route::native::<PanicsLater>(),
        Route::native::<Fails>(),
        Route::native::<Client>(),
        Route::native::<ClientLater>(),
        Route::native::<Refuses>(),
    ],
    ..Release::new(Version::new(2026, 1, 1), "Tests.", Lifecycle::published(2026, 1, 1))
};

/// A pipeline with one key, and the key's `Authorization`.
fn pipeline(flags: &[(&str, &str)]) -> (&'static Pipeline, String) {
    let (pipeline, _, authorization) = path(flags, Box::new(SystemClock));
    (pipeline, authorization)
}

/// A pipeline with a clock and one key, the stored key, and its `Authorization`.
fn path(flags: &[(&str, &str)], clock: Box<dyn Clock>) -> (&'static Pipeline, StoredKey, String) {
    let flags = [("api.docs_url", "\"/docs\"")]
        .iter()
        .chain(flags)
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let config = Config::load(&Sources { flags, ..Sources::default() }).unwrap();
    let secret = ServerSecret::new([3; 32]);
    let catalog = Catalog::new(&[RELEASE]).unwrap();
    let (key, authorization) = key(&secret, &config.api.brand, Environment::Staging, clock.now());
    let pipeline = Pipeline::new(&config, Vec::new(), catalog, secret, frontend(clock));
    pipeline.keys().apply(&key, Timestamp::UNIX_EPOCH);
    (Box::leak(Box::new(pipeline)), key, authorization)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

fn frontend(clock: Box<dyn Clock>) -> &'static Frontend {
    Box::leak(Box::new(Frontend::new(clock, 1, false)))
}

/// A key with every permission, and its `Authorization`.
fn key(
    secret: &ServerSecret,
    brand: &Brand,
    environment: Environment,
    now: Timestamp,
) -> (StoredKey, String) {
    let text = KeySecret::generate(brand, environment, rand::random);
    let id = KeyId(uuid::Builder::from_random_bytes(rand::random()).into_uuid());
    let record =
        KeyRecord::new(id, PartnerId(id.0), environment, ApiAccessPermission::all(), text.hint(), now);
    let hash = secret.hash(text.expose().as_bytes());
    (StoredKey { record, hash }, format!("Bearer {}", text.expose()))
}

/// A connection, and its cache.
fn connection() -> CachedConnection {
    (Peer::numbered(1), Arc::default())
}

type CachedConnection = (Arc<Peer>, Arc<ConnectionCache>);

fn ask(
    pipeline: &'static Pipeline,
    (peer, cache): &CachedConnection,
    request: http::request::Builder,
) -> (Response<()>, String) {
    let request = request.header(header::HOST, "localhost").body(RequestBody::Empty).unwrap();
    let (head, body) = request.into_parts();
    let response = pipeline.serve(head, body, Arc::clone(peer), Arc::clone(cache));
    let (head, mut body) = runtime().block_on(response).into_parts();
    (Response::from_parts(head, ()), String::from_utf8(body.take_bytes().to_vec()).unwrap())
}

fn get(path: &str, authorization: &str) -> http::request::Builder {
    Request::get(format!("/2026-01-01/{path}")).header(header::AUTHORIZATION, authorization)
}

#[test]
fn an_internal_error_is_a_500_without_details_and_does_not_affect_other_requests() {
    let (pipeline, key) = pipeline(&[]);
    let peer = connection();
    for path in ["panics.json", "panics-later.json", "fails.json"] {
        let (head, body) = ask(pipeline, &peer, get(path, &key));
        assert_eq!(head.status(), StatusCode::INTERNAL_SERVER_ERROR, "{path}");
        assert_eq!(head.headers()[header::CONTENT_TYPE], "application/problem+json");
        assert!(!body.contains("secret"), "{path}: {body}");
        let problem: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(problem["requestId"], head.headers()["x-request-id"].to_str().unwrap(), "{path}");
        assert_eq!(problem["type"], "/docs/errors/internal", "{path}");
        assert_eq!(pipeline.in_flight(), [0, 0], "{path}: its place is given back");
        let (head, body) = ask(pipeline, &peer, get("client.json", &key));
        assert_eq!(
            (head.status(), body.as_str()),
            (StatusCode::OK, r#""127.0.0.1""#),
            "{path}: the next one is served"
        );
    }
}

#[test]
fn an_error_of_an_endpoint_reaches_the_caller() {
    let (pipeline, key) = pipeline(&[]);
    let (head, body) = ask(pipeline, &connection(), get("refuses.json", &key));
    assert_eq!(head.status(), StatusCode::BAD_REQUEST);
    let problem: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(problem["error"], "`colour` is no colour.");
    assert_eq!(problem["detail"], problem["error"]);
}

#[test]
fn every_response_to_an_authenticated_key_has_its_rate() {
    let (pipeline, key) = pipeline(&[("limits.key_rate", "1/s+4")]);
    let peer = connection();
    for (path, remaining) in [("client.json", 3), ("nowhere.json", 2), ("panics.json", 1), ("client.json", 0)]
    {
        let (head, _) = ask(pipeline, &peer, get(path, &key));
        assert_eq!(
            head.headers()["ratelimit"],
            format!(r#""default";r={remaining};t={}"#, 4 - remaining),
            "{path}"
        );
        assert_eq!(head.headers()["ratelimit-policy"], r#""default";q=4;w=4"#, "{path}");
    }
    let (head, _) = ask(pipeline, &peer, get("client.json", &key));
    assert_eq!(head.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(head.headers()[header::RETRY_AFTER], "1");
    // Errors of a request still precede an exceeded rate.
    let (head, _) = ask(pipeline, &peer, get("nowhere.json", &key));
    assert_eq!(head.status(), StatusCode::NOT_FOUND);
}

#[test]
fn failures_of_an_address_never_lock_out_a_valid_key() {
    let (pipeline, key) = pipeline(&[("limits.failures_per_address", "1/s+3")]);
    let peer = connection();
    let statuses: Vec<u16> =
        (0..5).map(|_| ask(pipeline, &peer, get("client.json", "Bearer x")).0.status().as_u16()).collect();
    assert_eq!(statuses, [401, 401, 401, 429, 429]);
    assert_eq!(ask(pipeline, &peer, get("client.json", &key)).0.status(), StatusCode::OK);
}

#[test]
fn a_drain_closes_connections_with_their_next_response() {
    let (pipeline, key) = pipeline(&[]);
    let peer = connection();
    let connection = |head: &Response<()>| head.headers().get(header::CONNECTION).cloned();
    assert_eq!(connection(&ask(pipeline, &peer, get("client.json", &key)).0), None);
    pipeline.frontend().drain();
    let (head, _) = ask(pipeline, &peer, get("client.json", &key));
    assert_eq!(head.status(), StatusCode::OK, "what comes is still answered");
    assert_eq!(connection(&head).unwrap(), "close");
}

fn status(pipeline: &'static Pipeline, peer: &CachedConnection, authorization: &str) -> u16 {
    ask(pipeline, peer, get("client.json", authorization)).0.status().as_u16()
}

#[test]
fn a_cached_caller_is_looked_up_again_after_a_change() {
    let (pipeline, key, authorization) = path(&[], Box::new(SystemClock));
    let peer = connection();
    assert_eq!(
        [status(pipeline, &peer, &authorization), status(pipeline, &peer, &authorization)],
        [200, 200]
    );

    let mut record = key.record.clone();
    record.permissions = ApiAccessPermission::CONNECTION_READ;
    pipeline.keys().apply(&StoredKey { record: record.clone(), hash: key.hash }, SystemClock.now());
    assert_eq!(status(pipeline, &peer, &authorization), 403);

    record.permissions = ApiAccessPermission::all();
    pipeline.keys().apply(&StoredKey { record: record.clone(), hash: key.hash }, SystemClock.now());
    assert_eq!(status(pipeline, &peer, &authorization), 200);

    record.revoked = Some(SystemClock.now());
    pipeline.keys().apply(&StoredKey { record, hash: key.hash }, SystemClock.now());
    assert_eq!(status(pipeline, &peer, &authorization), 401);
    assert!(
        peer.1.caller.lock().unwrap().is_none(),
        "one that is refused takes as long as one that nobody has"
    );

    pipeline.keys().remove(&[permissions::Credential::Key(key.record.id)].into());
    assert_eq!(status(pipeline, &peer, &authorization), 401);
}

#[test]
fn a_connection_caches_one_credential_and_accepts_no_other_for_it() {
    let (pipeline, _, authorization) = path(&[], Box::new(SystemClock));
    let (other, others) = key(&pipeline.secret, &pipeline.brand, Environment::Staging, SystemClock.now());
    pipeline.keys().apply(&other, Timestamp::UNIX_EPOCH);
    let peer = connection();
    for _ in 0..2 {
        assert_eq!(status(pipeline, &peer, &authorization), 200);
        assert_eq!(status(pipeline, &peer, &others), 200);
        for place in 0..others.len() {
            let mut wrong = others.clone().into_bytes();
            wrong[place] = if wrong[place] == b'x' { b'y' } else { b'x' };
            assert_eq!(status(pipeline, &peer, str::from_utf8(&wrong).unwrap()), 401, "{place}");
        }
        assert_eq!(status(pipeline, &peer, &format!("{others}x")), 401);
        assert_eq!(status(pipeline, &peer, &others[..others.len() - 1]), 401);
    }
    // A credential that is too long to be cached is looked up each time.
    let padded = others.replacen(' ', &" ".repeat(REMEMBERED_BYTES_MAX), 1);
    for (authorization, expected) in [(&padded, 200), (&padded, 200), (&padded.replacen('_', "-", 1), 401)] {
        assert_eq!(status(pipeline, &peer, authorization), expected);
    }
    assert_eq!([status(pipeline, &peer, &padded), status(pipeline, &peer, "")], [200, 401]);
    let twice = get("client.json", &others).header(header::AUTHORIZATION, &others);
    assert_eq!(ask(pipeline, &peer, twice).0.status(), StatusCode::UNAUTHORIZED);
}

#[test]
fn a_cached_key_expires_at_its_second_and_is_still_rate_limited() {
    let clock = Arc::new(ManualClock::new(Timestamp::constant(1_800_000_000, 0)));
    let flags = [("limits.key_rate", "1/s+1"), ("limits.failures_per_address", "1000/s+1000")];
    let (pipeline, mut key, authorization) = path(&flags, Box::new(Arc::clone(&clock)));
    key.record.expires = Some(clock.now() + jiff::SignedDuration::from_secs(2));
    pipeline.keys().apply(&key, clock.now());
    let peer = connection();
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(status(pipeline, &peer, &authorization));
        statuses.push(status(pipeline, &peer, &authorization));
        clock.advance(Duration::from_secs(1));
    }
    assert_eq!(statuses, [200, 429, 200, 429, 401, 401, 401, 401]);
    assert!(
        peer.1.caller.lock().unwrap().is_none(),
        "one that is refused takes as long as one that nobody has"
    );
}

#[test]
fn a_handler_may_wait_or_complete_at_once() {
    let (pipeline, key) = pipeline(&[]);
    let (peer, cache) = connection();
    let serve = |path, authorization, body: &'static [u8]| {
        let request = get(path, authorization).header(header::HOST, "localhost");
        let (head, ()) = request.body(()).unwrap().into_parts();
        let body = RequestBody::from(Bytes::from_static(body));
        Box::pin(pipeline.serve(head, body, Arc::clone(&peer), Arc::clone(&cache)))
    };
    // Most are ready at the first poll, also with a method that has content.
    for (path, authorization) in [("client.json", &*key), ("nowhere.json", &key), ("client.json", "Bearer x")]
    {
        for body in [&b""[..], b"{}"] {
            assert!(serve(path, authorization, body).now_or_never().is_some(), "{path} {authorization}");
        }
    }
    let mut waits = serve("client-later.json", &key, b"");
    assert!((&mut waits).now_or_never().is_none());
    assert_eq!(pipeline.in_flight(), [1, 0]);
    let response = waits.now_or_never().unwrap();
    assert_eq!((response.status(), pipeline.in_flight()), (StatusCode::OK, [1, 0]));
    drop(response);
    assert_eq!(pipeline.in_flight(), [0, 0], "its place is kept until the end of its body");
    drop(serve("client-later.json", &key, b""));
    assert_eq!(pipeline.in_flight(), [0, 0]);
}
