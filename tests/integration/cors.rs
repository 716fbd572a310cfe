//! Cross-origin requests: public documents are open to every origin, the API to those of `api.cors_origins` only.

use bytes::Bytes;
use http::{Method, Request};
use rustix::process::Signal;
use tests::{
    Client, Family, KeySpec, PATIENCE, Protocol, Response, TestGateway, Way, eventually, get, with_method,
};

use crate::contract::{INVALID_TOKEN, PING};

const LISTED: &str = "https://app.example.com";
const ALLOW_ONE: &str = "[api]\ncors_origins = [\"https://app.example.com\"]";

fn from_origin(mut request: Request<Bytes>, origin: &str) -> Request<Bytes> {
    request.headers_mut().insert("origin", origin.parse().unwrap());
    request
}

fn preflight(path: &str, origin: &str) -> Request<Bytes> {
    let mut request = from_origin(with_method(&Method::OPTIONS, path), origin);
    request.headers_mut().insert("access-control-request-method", "GET".parse().unwrap());
    request
}

fn assert_no_cors(response: &Response, what: &str) {
    let names: Vec<_> =
        response.headers.keys().filter(|name| name.as_str().starts_with("access-control")).collect();
    assert!(names.is_empty(), "{what}: {names:?}");
    assert!(!response.field("vary").unwrap_or_default().contains("origin"), "{what}");
}

#[tokio::test]
async fn every_preflight_gets_the_same_response_without_a_key() {
    let gateway = TestGateway::start(ALLOW_ONE).await;
    for protocol in Protocol::ALL {
        let client = Client::over(&gateway, protocol).await;
        let mut seen = Vec::new();
        for origin in [LISTED, "https://other.example.com"] {
            for path in [PING, "/2026-02-01/nothing.json", "/1999-01-01/ping.json", "/", "/x"] {
                let mut response = client.ask(preflight(path, origin)).await;
                assert_eq!((response.status.as_u16(), response.body.len()), (204, 0), "{protocol:?} {path}");
                for name in ["api-version", "ratelimit", "allow", "content-type"] {
                    assert_eq!(response.field(name), None, "{protocol:?} {path}");
                }
                for name in ["x-request-id", "date"] {
                    response.headers.remove(name);
                }
                if origin != LISTED {
                    assert_no_cors(&response, path);
                }
                seen.push(response.headers);
            }
        }
        let others = seen.split_off(5);
        assert!(seen.iter().all(|fields| *fields == seen[0]), "{protocol:?}: {seen:#?}");
        assert!(others.iter().all(|fields| *fields == others[0]), "{protocol:?}: {others:#?}");
        for (name, value) in [
            ("access-control-allow-origin", LISTED),
            ("access-control-allow-methods", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
            ("access-control-allow-headers", "authorization, content-type, api-version-preview"),
            ("vary", "origin"),
        ] {
            assert_eq!(seen[0][name], value, "{protocol:?}");
        }
    }
}

#[tokio::test]
async fn responses_can_be_read_by_listed_origins_only() {
    let gateway = TestGateway::start(ALLOW_ONE).await;
    let key = gateway.create_key(KeySpec::staging()).await;
    for protocol in Protocol::ALL {
        let client = Client::over(&gateway, protocol).await;
        for (request, status) in [(key.get(PING), 200), (key.get("/x"), 404), (get(PING), 401)] {
            let response = client.ask(from_origin(request, LISTED)).await;
            assert_eq!(response.status, status, "{protocol:?}");
            assert_eq!(response.field("access-control-allow-origin"), Some(LISTED), "{protocol:?} {status}");
            assert_eq!(response.field("vary"), Some("origin"), "{protocol:?} {status}");
            let exposed = response.field("access-control-expose-headers").unwrap_or_default();
            assert!(exposed.contains("x-request-id"), "{protocol:?} {status}: {exposed}");
        }
        assert_no_cors(&client.ask(key.get(PING)).await, "no origin");
        for origin in
            ["https://other.example.com", "http://app.example.com", "https://app.example.com:444", "null"]
        {
            let response = client.ask(from_origin(key.get(PING), origin)).await;
            assert_eq!(response.status, 200);
            assert_no_cors(&response, origin);
            let response = client.ask(preflight(PING, origin)).await;
            assert_eq!(response.status, 204);
            assert_no_cors(&response, origin);
            // What is no preflight needs a key, whatever its origin.
            let response = client.ask(from_origin(with_method(&Method::OPTIONS, PING), origin)).await;
            assert_eq!((response.status.as_u16(), response.text().as_str()), (401, INVALID_TOKEN));
        }
    }
}

#[tokio::test]
async fn the_api_is_closed_to_other_origins_until_a_reload_lists_one() {
    let mut gateway = TestGateway::start("").await;
    let client = Client::over(&gateway, Protocol::H1).await;
    let response = client.ask(preflight(PING, LISTED)).await;
    assert_eq!(response.status, 204);
    assert_no_cors(&response, "by default");
    gateway.settings_mut().write_config(ALLOW_ONE);
    gateway.signal(Signal::HUP);
    let changed = eventually(PATIENCE, async || {
        client.ask(preflight(PING, LISTED)).await.field("access-control-allow-origin").map(|_| ())
    });
    assert!(changed.await.is_some(), "the reload opens it");
}

#[tokio::test]
async fn documents_for_programs_are_open_to_every_origin_and_pages_are_not() {
    let gateway = TestGateway::start("").await;
    for protocol in [Protocol::H1, Protocol::H2c] {
        let way = Way { protocol, family: Family::V4 };
        let client = Client::open(&gateway, "docs", way).await.expect("the documentation is served");
        for path in ["/openapi/2026-02-01.json", "/openapi/2026-11-01.json", "/llms.txt", "/llms-full.txt"] {
            let response = client.ask(from_origin(get(path), LISTED)).await;
            assert_eq!(response.status, 200, "{path}");
            assert_eq!(response.field("access-control-allow-origin"), Some("*"), "{path}");
            let response = client.ask(preflight(path, LISTED)).await;
            assert_eq!((response.status.as_u16(), response.body.len()), (204, 0), "{path}");
            assert_eq!(response.field("access-control-allow-origin"), Some("*"), "{path}");
            assert_eq!(response.field("access-control-allow-methods"), Some("GET, HEAD"), "{path}");
            assert_eq!((response.field("content-length"), response.field("content-type")), (None, None));
            assert_eq!(client.ask(with_method(&Method::OPTIONS, path)).await.status, 405, "{path}");
        }
        for path in ["/", "/versions", "/index.md", "/nothing"] {
            assert_no_cors(&client.ask(from_origin(get(path), LISTED)).await, path);
            let response = client.ask(preflight(path, LISTED)).await;
            assert_eq!(response.status, 405, "{path}");
            assert_no_cors(&response, path);
        }
    }
}
