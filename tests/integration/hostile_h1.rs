//! HTTP/1.1 as attackers write it: heads that two parsers would read differently, floods, and clients
//! that take their time. What could hide a second request has a file of its own, `smuggling.rs`.

use std::time::{Duration, Instant};

use tests::{Answer, Client, Key, KeySpec, PATIENCE, Protocol, Raw, TestGateway, answers};

use crate::contract::{CONNECTION, ECHO, PING, assert_problem_body};

/// Short times, so that every case ends by itself.
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

/// A request's head up to the blank line, with a good key and `fields` (each with its line end).
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
async fn a_request_without_exactly_one_good_host_is_400() {
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
async fn http_1_0_is_answered_and_named() {
    let (gateway, key) = strict().await;
    let request = head(&key, &format!("GET {CONNECTION} HTTP/1.0"), "");
    let [answer] = &gateway.exchange(request.as_bytes()).await[..] else { panic!("one answer") };
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains(r#""protocol":"HTTP1.0""#), "{}", answer.text());
}

#[tokio::test]
async fn a_head_that_two_parsers_would_read_differently_is_refused() {
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
        assert!(!answers.is_empty() || what == "no version", "{what}: a refusal is said");
    }
    still_serves(&gateway, &key, "all of them").await;
}

#[tokio::test]
async fn other_forms_of_the_target_open_nothing() {
    let (gateway, key) = strict().await;
    let absolute = format!("GET http://localhost{PING} HTTP/1.1");
    for (line, allowed) in [
        // RFC 9112 §3.2.2: the absolute form is taken, and `Host` does not count.
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
async fn part_of_a_head_behind_a_request_has_the_time_of_any_head() {
    let gateway = TestGateway::start("[timeouts]\nheader = \"1s\"\nidle = \"60s\"").await;
    let key = gateway.create_key(KeySpec::staging()).await;
    let started = Instant::now();
    let request = head(&key, &format!("GET {PING} HTTP/1.1"), "") + "GET /2026";
    let statuses: Vec<_> =
        gateway.exchange(request.as_bytes()).await.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 408]);
    assert!(started.elapsed() < Duration::from_secs(6), "open for {:?}", started.elapsed());
}

/// Sends `piece` again and again until the other side takes no more; how many bytes it took.
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
async fn endless_heads_and_chunks_are_cut_while_they_come() {
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
        // The kernel's own buffers on both sides take some megabytes before anyone reads.
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
async fn silent_and_slow_connections_are_cut_in_their_time() {
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
    // A client that drips one byte at a time gains nothing by it: the time counts for the whole head.
    let started = Instant::now();
    let mut raw = Raw::connect(cleartext).await;
    raw.write(format!("GET {PING} HTTP/1.1\r\nx: ").as_bytes()).await;
    let mut closed = false;
    while !closed && started.elapsed() < PATIENCE {
        closed = !raw.write(b"a").await || raw.read_for(Duration::from_millis(100)).await;
    }
    assert!(closed, "dripping is cut");
    assert!(started.elapsed() < Duration::from_secs(6), "dripping: open for {:?}", started.elapsed());
    // A connection that was used and then rests is cut too.
    let mut raw = Raw::connect(cleartext).await;
    raw.write(head(&key, &format!("GET {PING} HTTP/1.1"), "").as_bytes()).await;
    assert_eq!(raw.answer(PATIENCE).await.status, 200);
    let started = Instant::now();
    assert!(raw.read_to_end(PATIENCE).await.is_empty());
    assert!(started.elapsed() > Duration::from_millis(500), "idle is not cut at once");
    assert!(started.elapsed() < Duration::from_secs(6), "idle: open for {:?}", started.elapsed());
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answers_is_cut() {
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
    // A write that is not taken for 20 seconds ends the loop as well, and is no cut.
    assert!(started.elapsed() < Duration::from_secs(15), "cut after {:?}", started.elapsed());
    let grown = gateway.memory_bytes().saturating_sub(before);
    assert!(grown < 16 * 1024 * 1024, "memory grew by {grown} bytes");
    still_serves(&gateway, &key, "a client that does not read").await;
}
