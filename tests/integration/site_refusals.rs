//! Errors of the documentation and operations listeners have each field of the site's other responses once.

use http::{Request, StatusCode};
use tests::{Client, Family, PATIENCE, Protocol, Raw, Response, TestGateway, Way, get};

const EVERYWHERE: &str = "\
[listeners.operations]
protocols = [\"http1\", \"http2\"]
[listeners.pages]
addresses = [\"127.0.0.1:0\"]
protocols = [\"http1\", \"http2\", \"http3\"]
certificate = \"local\"
serves = [\"docs\"]
[listeners.tools]
addresses = [\"127.0.0.1:0\"]
protocols = [\"http1\", \"http2\", \"http3\"]
certificate = \"local\"
serves = [\"operations\"]
";

/// The fields that an error has exactly once, by whether it is from the documentation listener.
fn expected(is_documentation: bool) -> Vec<&'static str> {
    let mut names = vec!["content-length", "date", "cache-control", "x-content-type-options", "content-type"];
    if is_documentation {
        names.extend(["content-security-policy", "referrer-policy"]);
    }
    names
}

#[tokio::test]
async fn a_refusal_over_http1_has_each_field_once() {
    let gateway = TestGateway::start(EVERYWHERE).await;
    let long = "x".repeat(9 * 1024);
    let fields = format!("x-large: {long}\r\n").repeat(8);
    let heads = [
        ("no HTTP", "no HTTP at all\r\n\r\n".to_owned(), 400),
        ("a bad field", "GET / HTTP/1.1\r\nhost: localhost\r\nbad field\r\n\r\n".to_owned(), 400),
        ("no host", "GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        (
            "two lengths",
            "GET / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n".to_owned(),
            400,
        ),
        ("a long target", format!("GET /{long} HTTP/1.1\r\nhost: localhost\r\n\r\n"), 414),
        ("large fields", format!("GET / HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n"), 431),
    ];
    for (listener, is_secure) in [("docs", false), ("operations", false), ("pages", true), ("tools", true)] {
        let address = gateway.listener(listener, Family::V4).address;
        for (what, head, status) in &heads {
            let what = format!("{what} on {listener}");
            let mut raw = if is_secure {
                Raw::connect_tls(address, &gateway.ready().ca, "http/1.1").await
            } else {
                Raw::connect(address).await
            };
            raw.write(head.as_bytes()).await;
            raw.finish().await;
            let bytes = raw.read_to_end(PATIENCE).await;
            let text = String::from_utf8(bytes).expect("a refusal is text");
            let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{what}: {text:?}"));
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{what}: {head}");
            let named = |name: &str| -> Vec<&str> {
                let fields = head.lines().filter_map(|line| line.split_once(": "));
                fields.filter(|field| field.0.eq_ignore_ascii_case(name)).map(|field| field.1).collect()
            };
            for name in expected(matches!(listener, "docs" | "pages")) {
                assert_eq!(named(name).len(), 1, "{what}: {name}: {head}");
            }
            assert_eq!(named("content-length"), [body.len().to_string()], "{what}: {text}");
            assert!(named("date")[0].ends_with(" GMT"), "{what}: {head}");
        }
    }
}

#[tokio::test]
async fn a_refusal_over_http2_and_http3_has_each_field_once() {
    let gateway = TestGateway::start(EVERYWHERE).await;
    for (listener, protocol) in [
        ("docs", Protocol::H2c),
        ("operations", Protocol::H2c),
        ("pages", Protocol::H2),
        ("pages", Protocol::H3),
        ("tools", Protocol::H2),
        ("tools", Protocol::H3),
    ] {
        let way = Way { protocol, family: Family::V4 };
        let long_target = get(&format!("/{}", "x".repeat(9 * 1024)));
        let large_fields = with_fields("x".repeat(1024), 20);
        let many_fields = with_fields(String::new(), 101);
        let mut malformed = get("/");
        malformed.headers_mut().insert("host", "localhost:99999".parse().unwrap());
        for (request, status) in
            [(long_target, 414), (large_fields, 431), (many_fields, 431), (malformed, 400)]
        {
            let client = Client::open(&gateway, listener, way).await.expect("the site is served");
            let response = client.ask(request).await;
            assert_refusal(&response, status, listener, &format!("{status} on {listener} over {protocol:?}"));
        }
    }
}

fn with_fields(value: String, count: usize) -> Request<bytes::Bytes> {
    let mut request = get("/");
    for number in 0..count {
        let name: http::HeaderName = format!("x-{number}").parse().unwrap();
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    request
}

fn assert_refusal(response: &Response, status: u16, listener: &str, what: &str) {
    assert_eq!(response.status, StatusCode::from_u16(status).unwrap(), "{what}: {response:?}");
    for name in expected(matches!(listener, "docs" | "pages")) {
        assert_eq!(response.headers.get_all(name).iter().count(), 1, "{what}: {name}: {response:?}");
    }
    let length = response.body.len().to_string();
    assert_eq!(response.field("content-length"), Some(length.as_str()), "{what}");
    assert!(response.field("date").is_some_and(|date| date.ends_with(" GMT")), "{what}");
}
