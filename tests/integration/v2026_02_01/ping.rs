//! `GET /2026-02-01/ping.json`.

use http::Method;
use tests::{KeySpec, TestGateway, WAYS, Way, with_method};

use crate::contract::{
    PING, assert_fields, assert_ping_body, assert_problem, assert_unauthorized, connect, limit_item,
};
use crate::statuses::errors_of;

#[tokio::test]
async fn status_200_has_the_same_body_over_every_protocol() {
    let gateway = TestGateway::start("").await;
    let keys =
        [gateway.create_key(KeySpec::staging()).await, gateway.create_key(KeySpec::production()).await];
    for way in WAYS {
        let client = connect(&gateway, way).await;
        for key in &keys {
            let answer = client.ask(key.get(PING)).await;
            assert_eq!(answer.status, 200, "{way}: {answer:?}");
            assert_eq!(answer.field("content-type"), Some("application/json"), "{way}");
            assert_ping_body(&answer.text(), &key.environment, way);
            assert_fields(&gateway, way, &answer);
        }
        assert!(client.is_open(), "{way}: the connection serves more than one request");
    }
}

#[tokio::test]
async fn status_204_and_405_list_the_allowed_methods() {
    let gateway = TestGateway::start("").await;
    let key = gateway.create_key(KeySpec::staging()).await;
    let allowed = |answer: &tests::Response, way: Way| {
        let allow = answer.field("allow").unwrap_or_else(|| panic!("{way}: no allow: {answer:?}"));
        let mut methods: Vec<_> = allow.split(',').map(|method| method.trim().to_owned()).collect();
        methods.sort();
        assert_eq!(methods, ["GET", "HEAD", "OPTIONS"], "{way}");
    };
    for way in WAYS {
        let client = connect(&gateway, way).await;
        let options = client.ask(key.request(&Method::OPTIONS, PING)).await;
        assert_eq!((options.status.as_u16(), options.body.len()), (204, 0), "{way}");
        allowed(&options, way);
        for name in ["access-control-allow-origin", "access-control-allow-methods"] {
            assert_eq!(options.field(name), None, "{way}: no CORS unless configured");
        }
        for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND", "X-ANY", "get"] {
            let answer = client.ask(key.request(&method.parse().unwrap(), PING)).await;
            assert_problem(&answer, 405, format!("{way} {method}"));
            allowed(&answer, way);
            assert_fields(&gateway, way, &answer);
            let stranger = client.ask(with_method(&method.parse().unwrap(), PING)).await;
            assert_unauthorized(&stranger, false, format!("{way} {method}"));
        }
        let stranger = client.ask(with_method(&Method::OPTIONS, PING)).await;
        assert_unauthorized(&stranger, false, way);
    }
}

#[tokio::test]
async fn status_429_has_retry_after() {
    let gateway = TestGateway::start("").await;
    for way in WAYS {
        let key = gateway.create_key(KeySpec::staging().option("--rate", "1/s+3")).await;
        let client = connect(&gateway, way).await;
        for expected in [2, 1, 0] {
            let answer = client.ask(key.get(PING)).await;
            assert_eq!(answer.status, 200, "{way}");
            let (_, remaining, _) = limit_item(answer.field("ratelimit").unwrap(), "r", "t");
            // A second may have passed in between, which restores one request.
            assert!(
                (expected..=expected + 1).contains(&remaining),
                "{way}: {remaining} instead of {expected}"
            );
            let (_, quota, window) = limit_item(answer.field("ratelimit-policy").unwrap(), "q", "w");
            assert_eq!((quota, window), (3, 3), "{way}");
        }
        let mut answer = client.ask(key.get(PING)).await;
        for _ in 0..3 {
            // If the machine paused for a second, the fourth is served, and then the next is not.
            if answer.status == 200 {
                answer = client.ask(key.get(PING)).await;
            }
        }
        let problem = assert_problem(&answer, 429, way);
        let retry_after: u64 = answer.field("retry-after").expect("429 has retry-after").parse().unwrap();
        assert!((1..=3).contains(&retry_after), "{way}: {retry_after}");
        assert_eq!(problem["retryAfterSeconds"].as_u64(), Some(retry_after), "{way}");
        assert_fields(&gateway, way, &answer);
        let (_, remaining, reset) = limit_item(answer.field("ratelimit").unwrap(), "r", "t");
        assert_eq!(remaining, 0, "{way}");
        assert!(retry_after >= reset, "{way}: not earlier than the reset");
        // Another key on the same connection is not limited by it.
        let other = gateway.create_key(KeySpec::staging()).await;
        assert_eq!(client.ask(other.get(PING)).await.status, 200, "{way}");
        tokio::time::sleep(std::time::Duration::from_secs(retry_after)).await;
        let later = client.ask(key.get(PING)).await;
        assert_eq!(later.status, 200, "{way}: it waited for Retry-After");
    }
}

errors_of!(PING, "ping:read");
