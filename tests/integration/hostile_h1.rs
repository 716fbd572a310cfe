//! Attacks over HTTP/1.1: ambiguous heads, floods, and slow clients. Request smuggling is in `smuggling.rs`.

use std::time::{Duration, Instant};

use tests::{Answer, Client, Key, KeySpec, PATIENCE, Protocol, Raw, TestGateway, answers};

use crate::contract::{CONNECTION, ECHO, PING, assert_problem_body};

/// Short timeouts, so that every case ends by itself.
const SHORT: &str = r#"
[timeouts]
handshake = "1s"
header = "1s"
idle = "1s"
body = "1s"
write = "1s"
"#;

pub(crate) async fn strict() -> (TestGateway, Key) {
    let gateway = TestGateway::start_with_test_endpoints(SHORT).await;
    let key = gateway.create_key(KeySpec::staging().option("--rate", "1000000/s")).await;
    (gateway, key)
}

/// A request's head up to the empty line, with a valid key and `fields` (each with its line end).
pub(crate) fn head(key: &Key, line: &str, fields: &str) -> String {
    format!("{line}\r\nhost: localhost\r\nauthorization: {}\r\n{fields}\r\n", key.bearer())
}

pub(crate) async fn still_serves(gateway: &TestGateway, key: &Key, context: &str) {
    let client = Client::over(gateway, Protocol::H1).await;
    let started = Instant::now();
    assert_eq!(client.ask(key.get(PING)).await.status, 200, "after {context}");
    assert!(started.elapsed() < Duration::from_secs(2), "after {context}: {:?}", started.elapsed());
}

#[tokio::test]
async fn a_request_without_exactly_one_valid_host_is_400() {
    let (gateway, key) = strict().await;
    let bearer = format!("authorization: {}\r\n", key.bearer());
    for hosts in [
        "",
        "host: localhost\r\nhost: localhost\r\n",
        "host: localhost\r\nhost: other.example\r\n",
        "host: a/b\r\n",
        "host: a b\r\n",
        "host: user@localhost\r\n",
        "host: localhost:port\r\n",
        "host: localhost:99999\r\n",
        "host: [::1\r\n",
        "host: local\x01host\r\n",
    ] {
        let request = format!("GET {PING} HTTP/1.1\r\n{bearer}{hosts}\r\n");
        let [answer] = &gateway.exchange(request.as_bytes()).await[..] else {
            panic!("{hosts:?}: one answer")
        };
        assert_eq!(answer.status, 400, "{hosts:?}");
        assert_problem_body(&answer.body, 400, answer.field("x-request-id"), hosts);
    }
    for host in ["localhost", "127.0.0.1:8080", "[::1]:8080", "LOCALHOST"] {
        let request = format!("GET {PING} HTTP/1.1\r\n{bearer}host: {host}\r\nconnection: close\r\n\r\n");
        assert_eq!(gateway.exchange(request.as_bytes()).await[0].status, 200, "{host}");
    }
}

#[tokio::test]
async fn http_1_0_is_supported() {
    let (gateway, key) = strict().await;
    let request = head(&key, &format!("GET {CONNECTION} HTTP/1.0"), "");
    let [answer] = &gateway.exchange(request.as_bytes()).await[..] else { panic!("one answer") };
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains(r#""protocol":"HTTP1.0""#), "{}", answer.text());
}

#[tokio::test]
async fn an_ambiguous_head_is_refused() {
    let (gateway, key) = strict().await;
    let good = format!("GET {PING} HTTP/1.1");
    let line = |line: &str| head(&key, line, "");
    let field = |field: &str| head(&key, &good, field);
    let cases: Vec<(&str, String)> = vec![
        ("no version", line(&format!("GET {PING}"))),
        ("version 9.9", line(&format!("GET {PING} HTTP/9.9"))),
        ("version 2.0", line(&format!("GET {PING} HTTP/2.0"))),
        ("lower-case version", line(&format!("GET {PING} http/1.1"))),
        ("two blanks", line(&format!("GET  {PING} HTTP/1.1"))),
        ("a tab", line(&format!("GET\t{PING} HTTP/1.1"))),
        ("a blank in the target", line("GET /2026-02-01/ping.json /x HTTP/1.1")),
        ("a blank behind", line(&format!("GET {PING} HTTP/1.1 x"))),
        ("NUL in the target", line("GET /2026-02-01/ping\0.json HTTP/1.1")),
        ("no slash", line("GET 2026-02-01/ping.json HTTP/1.1")),
        ("a method with a bad character", line(&format!("GE(T {PING} HTTP/1.1"))),
        ("a blank before the colon", field("x-a : 1\r\n")),
        ("a folded field", field("x-a: 1\r\n 2\r\n")),
        ("a fold first", format!("{good}\r\n x: 1\r\nhost: localhost\r\n\r\n")),
        ("no colon", field("x-a\r\n")),
        ("no name", field(": 1\r\n")),
        ("a blank in the name", field("x a: 1\r\n")),
        ("NUL in a value", field("x-a: 1\x002\r\n")),
        ("a bare CR in a value", field("x-a: 1\r2\r\n")),
        ("a bare CR as line end", field("x-a: 1\rx-b: 2\r\n")),
        ("a bare CR behind the line", format!("{good}\rhost: localhost\r\n\r\n")),
        ("binary", "\u{1}\u{2}\u{3}\u{4}\r\n\r\n".to_owned()),
        ("a TLS hello", "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}\r\n\r\n".to_owned()),
        ("SSH", "SSH-2.0-OpenSSH_9.2\r\n\r\n".to_owned()),
    ];
    for (what, request) in cases {
        let answers = gateway.exchange(request.as_bytes()).await;
        assert!(answers.len() <= 1, "{what}: {answers:?}");
        for answer in &answers {
            assert_eq!(answer.status, 400, "{what}: {answer:?}");
            assert_problem_body(&answer.body, 400, answer.field("x-request-id"), what);
        }
        assert!(!answers.is_empty() || what == "no version", "{what}: a refusal has a response");
    }
    still_serves(&gateway, &key, "all of them").await;
}

#[tokio::test]
async fn other_forms_of_the_target_are_refused_or_equivalent() {
    let (gateway, key) = strict().await;
    let absolute = format!("GET http://localhost{PING} HTTP/1.1");
    for (line, allowed) in [
        // RFC 9112 §3.2.2: the absolute form is accepted, and `Host` is ignored.
        (absolute.as_str(), &[200][..]),
        ("GET http://other.example/2026-02-01/ping.json HTTP/1.1", &[200]),
        ("GET http://user@localhost/2026-02-01/ping.json HTTP/1.1", &[400]),
        ("CONNECT localhost:443 HTTP/1.1", &[400]),
        ("CONNECT 10.0.0.1:22 HTTP/1.1", &[400]),
        ("OPTIONS * HTTP/1.1", &[204, 400, 404, 405]),
        ("GET * HTTP/1.1", &[400, 404]),
        ("GET \\2026-02-01\\ping.json HTTP/1.1", &[400, 404]),
        ("GET /2026-02-01\\ping.json HTTP/1.1", &[400, 404]),
        ("GET /2026-02-01/ping.json#x HTTP/1.1", &[400]),
        ("GET /2026-02-01/\u{ff50}ing.json HTTP/1.1", &[400, 404]),
    ] {
        let answers = gateway.exchange(head(&key, line, "connection: close\r\n").as_bytes()).await;
        let [answer] = &answers[..] else { panic!("{line}: {answers:?}") };
        assert!(allowed.contains(&answer.status), "{line}: {answer:?}");
    }
}

#[tokio::test]
async fn the_head_timeout_applies_to_a_pipelined_head() {
    let gateway = TestGateway::start("[timeouts]\nheader = \"1s\"\nidle = \"60s\"").await;
    let key = gateway.create_key(KeySpec::staging()).await;
    let started = Instant::now();
    let request = head(&key, &format!("GET {PING} HTTP/1.1"), "") + "GET /2026";
    let statuses: Vec<_> =
        gateway.exchange(request.as_bytes()).await.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 408]);
    assert!(started.elapsed() < Duration::from_secs(6), "open for {:?}", started.elapsed());
}

/// Sends `piece` repeatedly until the other side closes; returns the number of bytes sent.
async fn flood(gateway: &TestGateway, opening: &str, piece: &str, most: usize) -> (usize, Vec<Answer>) {
    let mut raw = Raw::connect(gateway.address(Protocol::H1)).await;
    assert!(raw.write(opening.as_bytes()).await);
    let mut sent = 0;
    while sent < most && raw.write(piece.as_bytes()).await {
        sent += piece.len();
    }
    (sent, answers(&raw.read_to_end(PATIENCE).await))
}

#[tokio::test]
async fn endless_heads_and_chunks_are_refused_while_they_arrive() {
    let (gateway, key) = strict().await;
    let before = gateway.memory_bytes();
    let most = 64 * 1024 * 1024;
    let line = format!("GET {PING} HTTP/1.1");
    let opening = format!("{line}\r\nhost: localhost\r\nauthorization: {}\r\n", key.bearer());
    let post = format!("POST {ECHO} HTTP/1.1");
    let chunked = head(&key, &post, "content-type: application/json\r\ntransfer-encoding: chunked\r\n");
    let long = "a".repeat(16 * 1024);
    let fields = "x-a: 1\r\n".repeat(2000);
    for (what, opening, piece, allowed) in [
        ("a method without end", "", long.as_str(), &[400, 431][..]),
        ("a target without end", "GET /", &long, &[400, 414, 431]),
        ("a name without end", &opening, &long, &[400, 431]),
        ("a value without end", &format!("{opening}x-a: "), &long, &[431]),
        ("fields without end", &opening, &fields, &[431]),
        ("blank lines without end", "", &"\r\n".repeat(8 * 1024), &[400, 408, 431]),
        ("a chunk extension without end", &format!("{chunked}1;"), &long, &[400, 413]),
        ("trailers without end", &format!("{chunked}1\r\na\r\n0\r\n"), &fields, &[200, 400, 413, 431]),
        ("content without end", &chunked, &format!("4000\r\n{long}\r\n"), &[413]),
    ] {
        let (taken, answers) = flood(&gateway, opening, piece, most).await;
        // The kernel's buffers on both sides hold some megabytes that nobody reads.
        assert!(taken < 24 * 1024 * 1024, "{what}: {taken} bytes were taken");
        assert!(answers.len() <= 1, "{what}: {answers:?}");
        for answer in &answers {
            assert!(allowed.contains(&answer.status), "{what}: {answer:?}");
        }
    }
    let grown = gateway.memory_bytes().saturating_sub(before);
    assert!(grown < 16 * 1024 * 1024, "memory grew by {grown} bytes");
    still_serves(&gateway, &key, "all of them").await;
}

#[tokio::test]
async fn silent_and_slow_connections_are_closed_after_their_timeout() {
    let _turn = tests::heavy().await;
    let (gateway, key) = strict().await;
    let cleartext = gateway.address(Protocol::H1);
    let secure = gateway.address(Protocol::H1Tls);
    let ca = gateway.ready().ca.clone();
    let started = Instant::now();
    let mut silent = [
        ("cleartext", Raw::connect(cleartext).await),
        ("before TLS", Raw::connect(secure).await),
        ("behind TLS", Raw::connect_tls(secure, &ca, "http/1.1").await),
        ("behind TLS, HTTP/2", Raw::connect_tls(secure, &ca, "h2").await),
    ];
    for (what, raw) in &mut silent {
        raw.read_to_end(PATIENCE).await;
        let open = started.elapsed();
        assert!(open < Duration::from_secs(6), "{what}: open for {open:?}");
    }
    // A client that sends one byte at a time gains nothing: the timeout is for the complete head.
    let started = Instant::now();
    let mut raw = Raw::connect(cleartext).await;
    raw.write(format!("GET {PING} HTTP/1.1\r\nx: ").as_bytes()).await;
    let mut closed = false;
    while !closed && started.elapsed() < PATIENCE {
        closed = !raw.write(b"a").await || raw.read_for(Duration::from_millis(100)).await;
    }
    assert!(closed, "dripping is cut");
    assert!(started.elapsed() < Duration::from_secs(6), "dripping: open for {:?}", started.elapsed());
    // An idle connection that was used before is closed too.
    let mut raw = Raw::connect(cleartext).await;
    raw.write(head(&key, &format!("GET {PING} HTTP/1.1"), "").as_bytes()).await;
    assert_eq!(raw.answer(PATIENCE).await.status, 200);
    let started = Instant::now();
    assert!(raw.read_to_end(PATIENCE).await.is_empty());
    assert!(started.elapsed() > Duration::from_millis(500), "idle is not cut at once");
    assert!(started.elapsed() < Duration::from_secs(6), "idle: open for {:?}", started.elapsed());
}

#[tokio::test]
async fn a_client_that_does_not_read_responses_is_disconnected() {
    let _turn = tests::heavy().await;
    let (gateway, key) = strict().await;
    let before = gateway.memory_bytes();
    let mut raw = Raw::connect(gateway.address(Protocol::H1)).await;
    let many = head(&key, &format!("GET {CONNECTION} HTTP/1.1"), "").repeat(1000);
    let started = Instant::now();
    let mut rounds = 0;
    while rounds < 2000 && raw.write(many.as_bytes()).await {
        rounds += 1;
    }
    assert!(rounds < 2000, "it was served without reading anything");
    // A write that blocks for 20 seconds ends the loop as well, but is not a disconnection.
    assert!(started.elapsed() < Duration::from_secs(15), "cut after {:?}", started.elapsed());
    let grown = gateway.memory_bytes().saturating_sub(before);
    assert!(grown < 16 * 1024 * 1024, "memory grew by {grown} bytes");
    still_serves(&gateway, &key, "a client that does not read").await;
}
