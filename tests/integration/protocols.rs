//! The same contract over HTTP/1.1, HTTP/2 and HTTP/3, in cleartext and over TLS, IPv4 and IPv6.

use http::Method;
use permissions::Environment;
use tests::{Client, KeySpec, PATIENCE, Protocol, RawH2, TestGateway, WAYS, frame, get, kind, with_method};

use crate::contract::{
    CONNECTION, PING, assert_fields, assert_fields_of_stranger, assert_ping_body, assert_problem,
    assert_unauthorized, connect, versions_from,
};

#[tokio::test]
async fn a_name_is_written_once_on_a_connection_of_http2() {
    /// `x-request-id` Huffman-coded (RFC 7541 appendix B).
    const NAME: [u8; 9] = [0xf2, 0xb5, 0x85, 0xed, 0x69, 0x50, 0x95, 0x8d, 0x27];
    let gateway = TestGateway::start("").await;
    let key = gateway.create_key(KeySpec::staging()).await;
    let mut connection = RawH2::connect(gateway.address(Protocol::H2c)).await;
    // A table of 4096 bytes, the client's default (RFC 9113 §6.5.2).
    assert!(connection.write(&frame(kind::SETTINGS, 0, 0, &[0, 1, 0, 0, 16, 0])).await);
    let mut blocks = Vec::new();
    for stream in [1, 3, 5] {
        assert!(connection.get(stream, PING, &[("authorization", &key.bearer())]).await);
        let answer = connection.find(PATIENCE, |frame| frame.stream == stream && frame.kind == kind::HEADERS);
        let answer = answer.await.expect("it is answered");
        assert_eq!(answer.status(), Some(200));
        blocks.push(answer.payload);
    }
    let named = blocks.iter().map(|block| block.windows(NAME.len()).any(|window| window == NAME));
    assert_eq!(named.collect::<Vec<_>>(), [true, false, false], "{blocks:02x?}");
}

#[tokio::test]
async fn forwarding_fields_of_untrusted_clients_are_ignored() {
    let gateway = TestGateway::start("").await;
    let key = gateway.create_key(KeySpec::staging()).await;
    for way in WAYS {
        let client = connect(&gateway, way).await;
        let mut request = key.get(CONNECTION);
        for (name, value) in [
            ("forwarded", "for=203.0.113.9;proto=https"),
            ("x-forwarded-for", "203.0.113.9"),
            ("x-real-ip", "203.0.113.9"),
            ("cf-connecting-ip", "203.0.113.9"),
            ("x-request-id", "01890a5d-ac96-774b-bcce-b302099a8057"),
        ] {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let answer = client.ask(request).await;
        assert_eq!(answer.status, 200, "{way}");
        assert!(!answer.text().contains("203.0.113.9"), "{way}: {}", answer.text());
        assert!(answer.text().contains(&client.local_address().to_string()), "{way}: {}", answer.text());
        let id = answer.field("x-request-id");
        assert_ne!(id, Some("01890a5d-ac96-774b-bcce-b302099a8057"), "{way}");
    }
}

#[tokio::test]
async fn head_has_the_fields_of_get_and_no_body() {
    let gateway = TestGateway::start("").await;
    let key = gateway.create_key(KeySpec::staging()).await;
    for way in WAYS {
        let client = connect(&gateway, way).await;
        let got = client.ask(key.get(CONNECTION)).await;
        let head = client.ask(key.request(&Method::HEAD, CONNECTION)).await;
        assert_eq!(head.status, 200, "{way}");
        assert!(head.body.is_empty(), "{way}: {head:?}");
        assert_fields(&gateway, way, &head);
        assert_eq!(head.field("content-length"), got.field("content-length"), "{way}");
        assert_eq!(head.field("content-type"), got.field("content-type"), "{way}");
        // The connection is still in sync: the next response is complete and the right one.
        let after = client.ask(key.get(PING)).await;
        assert_ping_body(&after.text(), "staging", way);
        for path in ["/2026-02-01/nothing.json", "/2020-01-01/ping.json"] {
            let missing = client.ask(key.request(&Method::HEAD, path)).await;
            assert_eq!((missing.status.as_u16(), missing.body.len()), (404, 0), "{way}");
        }
        let stranger = client.ask(with_method(&Method::HEAD, PING)).await;
        assert_eq!((stranger.status.as_u16(), stranger.body.len()), (401, 0), "{way}");
    }
}

#[tokio::test]
async fn an_unknown_date_lists_the_dates_and_an_unknown_resource_does_not() {
    let gateway = TestGateway::start("").await;
    let key = gateway.create_key(KeySpec::staging()).await;
    for way in WAYS {
        let client = connect(&gateway, way).await;
        for date in
            ["2025-01-01", "2026-02-02", "2026-2-1", "2026-02-30", "2026-02-011", "latest", "20260201"]
        {
            let answer = client.ask(key.get(&format!("/{date}/ping.json"))).await;
            let problem = assert_problem(&answer, 404, format!("{way} {date}"));
            assert_eq!(
                problem["supportedVersions"],
                serde_json::json!(versions_from("2026-02-01")),
                "{way} {date}"
            );
        }
        let answer = client.ask(key.get("/2026-02-01/nothing.json")).await;
        let problem = assert_problem(&answer, 404, way);
        assert_eq!(problem.get("supportedVersions"), None, "{way}: the date was right");
        assert_fields(&gateway, way, &answer);
    }
}

#[tokio::test]
async fn unauthenticated_callers_cannot_learn_which_paths_exist() {
    let gateway = TestGateway::start("").await;
    for way in WAYS {
        let client = connect(&gateway, way).await;
        for path in [PING, CONNECTION, "/2026-02-01/nothing.json", "/2026-02-01/"] {
            let answer = client.ask(get(path)).await;
            assert_unauthorized(&answer, false, format!("{way} {path}"));
            assert_fields_of_stranger(&gateway, way, &answer);
        }
        for path in ["/", "/nothing", "/2020-01-01/ping.json", "/metrics", "/livez", "/.well-known/x"] {
            assert_unauthorized(&client.ask(get(path)).await, false, format!("{way} {path}"));
        }
    }
}

#[tokio::test]
async fn a_path_is_matched_exactly_and_equivalent_spellings_are_not() {
    let gateway = TestGateway::start("").await;
    let key = gateway.create_key(KeySpec::staging()).await;
    for way in WAYS {
        let client = connect(&gateway, way).await;
        for path in [
            "/2026-02-01/ping.json/",
            "/2026-02-01/ping",
            "/2026-02-01/PING.json",
            "/2026-02-01/ping.JSON",
            "/2026-02-01//ping.json",
            "//2026-02-01/ping.json",
            "/2026-02-01/./ping.json",
            "/./2026-02-01/ping.json",
            "/2026-02-01/x/../ping.json",
            "/x/../2026-02-01/ping.json",
            "/2026-02-01/%2e/ping.json",
            "/2026-02-01/x/%2e%2e/ping.json",
            "/2026-02-01/%70ing.json",
            "/2026-02-01/ping%2ejson",
            "/2026-02-01/ping%2Ejson",
            "/2026-02-01%2fping.json",
            "/2026%2d02-01/ping.json",
            "/2026-02-01/ping.json%00",
            "/2026-02-01/ping.json%0d%0ax-injected:%201",
            "/2026-02-01/ping.json;x=1",
            "/2026-02-01/ping.json%20",
            "/2026-02-01/ping.json%252e",
            "/2026-02-01/%c0%aeping.json",
            "/2026-02-01/ping.json.json",
            "/2026-02-01/xping.json",
            "/api/2026-02-01/ping.json",
            "/2026-02-01",
            "/2026-02-01/",
            "/",
        ] {
            let answer = client.ask(key.get(path)).await;
            let problem = assert_problem(&answer, 404, format!("{way} {path}"));
            assert_eq!(answer.field("x-injected"), None, "{way} {path}");
            assert!(problem["detail"].is_string(), "{way} {path}");
        }
        // A query has no effect.
        let answer = client.ask(key.get("/2026-02-01/ping.json?a=/../b")).await;
        assert_eq!(answer.status, 200, "{way}");
    }
}

#[tokio::test]
async fn other_fields_never_choose_the_path_or_the_method() {
    let gateway = TestGateway::start("").await;
    let ping_only = KeySpec::with_permissions(Environment::Staging, &["ping:read"]);
    let key = gateway.create_key(ping_only).await;
    for way in WAYS {
        let client = connect(&gateway, way).await;
        let mut request = key.get(CONNECTION);
        for (name, value) in [
            ("x-original-url", PING),
            ("x-rewrite-url", PING),
            ("x-http-method-override", "OPTIONS"),
            ("x-forwarded-prefix", "/2026-02-01/ping.json"),
        ] {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let answer = client.ask(request).await;
        assert_problem(&answer, 403, way);
        let mut request = key.get(PING);
        request.headers_mut().insert("x-original-url", CONNECTION.parse().unwrap());
        assert_ping_body(&client.ask(request).await.text(), "staging", way);
    }
}

#[tokio::test]
async fn request_ids_are_never_given_twice() {
    let gateway = TestGateway::start("").await;
    let key = gateway.create_key(KeySpec::staging()).await;
    let mut seen = std::collections::HashSet::new();
    for way in WAYS {
        let client = connect(&gateway, way).await;
        for _ in 0..10 {
            let answer = client.ask(key.get(PING)).await;
            let id = answer.field("x-request-id").expect("every answer has one").to_owned();
            assert!(seen.insert(id), "{way}");
        }
    }
}

#[tokio::test]
async fn http_3_is_announced_only_where_it_takes_the_same_keys_and_hosts() {
    let any = r#"["staging", "production"]"#;
    for (http, https, announced) in [
        (("[\"staging\"]", "[]"), (any, "[]"), true),
        ((any, "[]"), (any, "[]"), true),
        ((any, "[]"), ("[\"production\"]", "[]"), false),
        (("[\"staging\"]", "[]"), ("[\"production\"]", "[]"), false),
        ((any, "[\"localhost\"]"), (any, "[]"), true),
        ((any, "[\"localhost\"]"), (any, "[\"LOCALHOST\", \"api.example\"]"), true),
        ((any, "[]"), (any, "[\"localhost\"]"), false),
        ((any, "[\"localhost\", \"api.example\"]"), (any, "[\"localhost\"]"), false),
    ] {
        let options =
            |(environments, hosts): (&str, &str)| format!("environments = {environments}\nhosts = {hosts}\n");
        let overlay = format!("[listeners.http]\n{}[listeners.https]\n{}", options(http), options(https));
        let gateway = TestGateway::start(&overlay).await;
        let port = gateway.address(Protocol::H3).port();
        let expected = format!("h3=\":{port}\"; ma=86400");
        for (protocol, announced) in [(Protocol::H1, announced), (Protocol::H1Tls, true)] {
            let answer = Client::over(&gateway, protocol).await.ask(get(PING)).await;
            let alt_svc = answer.field("alt-svc");
            assert_eq!(alt_svc, announced.then_some(expected.as_str()), "{protocol:?}: {overlay}");
        }
    }
}
