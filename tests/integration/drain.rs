//! The drain on SIGTERM: announced, orderly, within its deadline, and no accepted request is lost.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request};
use rustix::process::Signal;
use tests::{
    Client, Content, Family, Key, KeySpec, PATIENCE, Protocol, Raw, RawH2, TestGateway, Way, eventually,
    frame, kind, request_block,
};

use crate::contract::{ECHO, PING};

/// A request whose content the test controls: `{"text":"a"}` without the last character.
fn with_slow_content(key: &Key) -> (tokio::sync::mpsc::Sender<Bytes>, Request<Content>) {
    let (pieces, content) = Content::pieces();
    let mut request = key.request(&Method::POST, ECHO).map(|_| content);
    request.headers_mut().insert("content-type", "application/json".parse().expect("it is plain text"));
    (pieces, request)
}

/// What a client got until its connection closed.
#[derive(Debug, Default)]
struct Met {
    ids: Vec<String>,
    last_fields: http::HeaderMap,
    error: Option<String>,
}

/// Sends requests until a response closes the connection, or the connection is closed.
async fn ask_until_the_end(client: Client, key: Key) -> Met {
    let mut met = Met::default();
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline {
        match client.send(key.get(PING)).await {
            Ok(answer) => {
                assert_eq!(answer.status, 200, "{}: {answer:?}", client.way());
                met.ids.push(answer.field("x-request-id").expect("every answer has one").to_owned());
                let closes = answer.headers.get("connection").is_some_and(|value| value == "close");
                met.last_fields = answer.headers;
                if closes {
                    return met;
                }
            }
            Err(error) => {
                met.error = Some(format!("{error:#}"));
                return met;
            }
        }
    }
    panic!("{}: the connection was never closed", client.way());
}

#[tokio::test]
async fn no_accepted_request_is_lost_under_load() {
    let _turn = tests::heavy().await;
    let gateway = TestGateway::start("[drain]\nannounce = \"500ms\"").await;
    let key = gateway.create_key(KeySpec::staging().option("--rate", "1000000/s")).await;
    let mut asking = Vec::new();
    for protocol in Protocol::ALL {
        for _ in 0..4 {
            let client = Client::over(&gateway, protocol).await;
            asking.push((protocol, tokio::spawn(ask_until_the_end(client, key.clone()))));
        }
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let signalled = Instant::now();
    gateway.signal(Signal::TERM);
    let unready = eventually(Duration::from_secs(2), async || {
        (gateway.operations("/readyz").await.status == 503).then_some(())
    });
    assert!(unready.await.is_some(), "/readyz says 503 while draining");
    assert_eq!(gateway.operations("/livez").await.status, 200, "it lives while it drains");

    let mut received = HashSet::new();
    for (protocol, asking) in asking {
        let met = asking.await.expect("the asking task does not panic");
        assert!(met.ids.len() > 3, "{protocol:?}: there was load: {met:?}");
        if matches!(protocol, Protocol::H1 | Protocol::H1Tls) {
            // A client that sends all the time gets a response with `connection: close` before its connection
            // ends.
            assert_eq!(met.error, None, "{protocol:?}");
            assert_eq!(met.last_fields.get("connection").unwrap(), "close", "{protocol:?}");
        }
        if matches!(protocol, Protocol::H1Tls | Protocol::H2) {
            assert_eq!(
                met.last_fields.get("alt-svc").unwrap(),
                "clear",
                "{protocol:?}: {:?}",
                met.last_fields
            );
        }
        received.extend(met.ids);
    }
    let status = gateway.ended(Duration::from_secs(10)).await.expect("it ends within its deadline");
    println!("drained in {:?}, {} answers received", signalled.elapsed(), received.len());
    assert!(status.success(), "{status}: {}", gateway.log());

    // The responses in the access log are those that the clients received.
    let mut accepted = 0;
    for line in gateway.log_lines() {
        let Some(status) = access_status(&line) else { continue };
        accepted += 1;
        let id = request_id(&line);
        assert!(status == 200 && received.contains(&id), "accepted and lost: {line}");
    }
    assert_eq!(accepted, received.len(), "every answer is in the log once");
}

/// The status in a line of the access log; `None` for other lines.
fn access_status(line: &serde_json::Value) -> Option<u64> {
    crate::log::field(line, &["status", "http.response.status_code"])?.as_u64()
}

fn request_id(line: &serde_json::Value) -> String {
    let id = crate::log::field(line, &["request_id", "request.id"]);
    id.and_then(|id| id.as_str()).unwrap_or_else(|| panic!("no request id in {line}")).to_owned()
}

#[tokio::test]
async fn a_request_in_flight_is_finished_before_the_end() {
    let _turn = tests::heavy().await;
    for protocol in Protocol::ALL {
        let gateway =
            TestGateway::start_with_test_endpoints("[drain]\nannounce = \"100ms\"\ndeadline = \"20s\"").await;
        let key = gateway.create_key(KeySpec::staging()).await;
        let client = Client::over(&gateway, protocol).await;
        let (pieces, request) = with_slow_content(&key);
        let (answer, ()) = tokio::join!(client.send_content(request), async {
            pieces.send(Bytes::from_static(br#"{"text":"a""#)).await.expect("the request is being sent");
            tokio::time::sleep(Duration::from_millis(200)).await;
            gateway.signal(Signal::TERM);
            tokio::time::sleep(Duration::from_millis(1500)).await;
            assert!(gateway.status().is_none(), "{protocol:?}: it waits for what is in flight");
            let taken = pieces.send(Bytes::from_static(b"}")).await;
            taken.unwrap_or_else(|_| panic!("{protocol:?}: the rest is taken"));
            drop(pieces);
        });
        let answer = answer.unwrap_or_else(|error| panic!("{protocol:?}: {error:#}"));
        assert_eq!(answer.status, 200, "{protocol:?}: {answer:?}");
        let status = gateway.ended(Duration::from_secs(10)).await;
        let status = status.unwrap_or_else(|| panic!("{protocol:?}: it ends once nothing is in flight"));
        assert!(status.success(), "{protocol:?}: {status}");
    }
}

#[tokio::test]
async fn the_deadline_closes_what_does_not_end_by_itself() {
    let _turn = tests::heavy().await;
    let gateway =
        TestGateway::start_with_test_endpoints("[drain]\nannounce = \"100ms\"\ndeadline = \"1s\"").await;
    let key = gateway.create_key(KeySpec::staging()).await;
    let mut held = Vec::new();
    for protocol in Protocol::ALL {
        let client = Client::over(&gateway, protocol).await;
        let (pieces, request) = with_slow_content(&key);
        pieces.send(Bytes::from_static(br#"{"text":"a""#)).await.expect("there is room for a piece");
        held.push((pieces, tokio::spawn(async move { client.send_content(request).await })));
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let signalled = Instant::now();
    gateway.signal(Signal::TERM);
    gateway.ended(Duration::from_secs(10)).await.expect("it ends at its deadline");
    let took = signalled.elapsed();
    assert!((Duration::from_millis(900)..Duration::from_secs(4)).contains(&took), "it took {took:?}");
}

#[tokio::test]
async fn unused_signals_are_ignored_with_a_warning_and_sigquit_drains() {
    let gateway = TestGateway::start_with_test_endpoints("[drain]\nannounce = \"100ms\"").await;
    let key = gateway.create_key(KeySpec::staging()).await;
    let ignored = [(Signal::USR1, "SIGUSR1"), (Signal::USR2, "SIGUSR2"), (Signal::ALARM, "SIGALRM")];
    let begun = Instant::now();
    for _ in 0..100 {
        ignored.iter().for_each(|(signal, _)| gateway.signal(*signal));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    for (_, name) in ignored {
        let warnings = || gateway.log().matches(&format!("Ignored {name}")).count();
        let warned = eventually(PATIENCE, async || (warnings() > 0).then_some(())).await;
        assert!(warned.is_some(), "{name}: {}", gateway.log());
        let most = usize::try_from(begun.elapsed().as_secs()).unwrap() + 1;
        assert!(warnings() <= most, "{name}: {} warnings", warnings());
    }
    let client = Client::over(&gateway, Protocol::H1).await;
    assert_eq!(client.ask(key.get(PING)).await.status, 200, "it goes on serving");

    let (pieces, request) = with_slow_content(&key);
    let (answer, ()) = tokio::join!(client.send_content(request), async {
        pieces.send(Bytes::from_static(br#"{"text":"a""#)).await.expect("the request is being sent");
        tokio::time::sleep(Duration::from_millis(200)).await;
        gateway.signal(Signal::QUIT);
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(gateway.status().is_none(), "it waits for what is in flight");
        pieces.send(Bytes::from_static(b"}")).await.expect("the rest is taken");
        drop(pieces);
    });
    assert_eq!(answer.expect("the request is finished").status, 200);
    let status = gateway.ended(Duration::from_secs(10)).await.expect("it ends");
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let gateway =
        TestGateway::start_with_test_endpoints("[drain]\nannounce = \"100ms\"\ndeadline = \"60s\"").await;
    let key = gateway.create_key(KeySpec::staging()).await;
    let client = Client::over(&gateway, Protocol::H1).await;
    let (pieces, request) = with_slow_content(&key);
    pieces.send(Bytes::from_static(br#"{"text":"a""#)).await.expect("there is room for a piece");
    let held = tokio::spawn(async move { client.send_content(request).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    gateway.signal(Signal::TERM);
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert!(gateway.status().is_none(), "the first signal waits for what is in flight");
    let signalled = Instant::now();
    gateway.signal(Signal::TERM);
    gateway.ended(PATIENCE).await.expect("the second signal ends it");
    assert!(signalled.elapsed() < Duration::from_secs(2), "it took {:?}", signalled.elapsed());
    drop(pieces);
    assert!(held.await.expect("the request's task does not panic").is_err(), "nobody answered");
}

#[tokio::test]
async fn a_drained_gateway_takes_no_new_connections() {
    let gateway =
        TestGateway::start_with_test_endpoints("[drain]\nannounce = \"100ms\"\ndeadline = \"20s\"").await;
    let key = gateway.create_key(KeySpec::staging()).await;
    let client = Client::over(&gateway, Protocol::H2).await;
    let (pieces, request) = with_slow_content(&key);
    pieces.send(Bytes::from_static(br#"{"text":"a""#)).await.expect("there is room for a piece");
    let held = tokio::spawn(async move { client.send_content(request).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    gateway.signal(Signal::TERM);
    let address = gateway.address(Protocol::H1);
    let refused = eventually(Duration::from_secs(5), async || {
        tokio::net::TcpStream::connect(address).await.is_err().then_some(())
    });
    assert!(refused.await.is_some(), "behind the announcement nothing new is accepted");
    let asked = Instant::now();
    let way = Way { protocol: Protocol::H3, family: Family::V4 };
    let error = Client::connect(&gateway, way).await.expect_err("nor over QUIC");
    assert!(format!("{error:#}").contains("refused"), "{error:#}");
    assert!(asked.elapsed() < Duration::from_secs(1), "it was closed at once: {:?}", asked.elapsed());
    assert!(gateway.status().is_none(), "and what is in flight still runs");
    pieces.send(Bytes::from_static(b"}")).await.expect("the rest is taken");
    drop(pieces);
    let answer = held.await.expect("the request's task does not panic").expect("it is answered");
    assert_eq!(answer.status, 200);
    assert!(gateway.ended(PATIENCE).await.expect("it ends").success());
}

#[tokio::test]
async fn a_silent_client_is_not_waited_for() {
    let overlay = "[listeners.http]\nprotocols = [\"http2\"]\n\
                   [timeouts]\nheader = \"30s\"\ngoodbye = \"500ms\"\n[drain]\nannounce = \"100ms\"\ndeadline = \"25s\"";
    let gateway = TestGateway::start(overlay).await;
    // Not even the preface of HTTP/2.
    let silent = Raw::connect(gateway.address(Protocol::H2c)).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    gateway.signal(Signal::TERM);
    let ended = gateway.ended(Duration::from_secs(10)).await;
    assert!(ended.expect("it does not wait for the full head timeout").success());
    drop(silent);
}

/// A gateway whose drain deadline is far longer than `announce` and `goodbye`.
async fn patient() -> (TestGateway, Key) {
    let overlay = "[timeouts]\ngoodbye = \"1s\"\n[drain]\nannounce = \"100ms\"\ndeadline = \"20s\"";
    let gateway = TestGateway::start_with_test_endpoints(overlay).await;
    let key = gateway.create_key(KeySpec::staging()).await;
    (gateway, key)
}

/// Longer than `announce` and `goodbye` together.
const LATE: Duration = Duration::from_millis(1800);

#[tokio::test]
async fn a_late_last_response_over_http_1_is_not_lost_when_the_client_still_sends() {
    let _turn = tests::heavy().await;
    let (gateway, key) = patient().await;
    let mut raw = Raw::connect(gateway.address(Protocol::H1)).await;
    let head = format!(
        "POST {ECHO} HTTP/1.1\r\nhost: localhost\r\nauthorization: {}\r\ncontent-type: application/json\r\ncontent-length: 12\r\n\r\n",
        key.bearer()
    );
    assert!(raw.write(head.as_bytes()).await);
    tokio::time::sleep(Duration::from_millis(200)).await;
    gateway.signal(Signal::TERM);
    tokio::time::sleep(LATE).await;
    assert!(raw.write(br#"{"text":"a"}"#).await);
    let answers = tests::answers(&raw.read_to_end(Duration::from_millis(800)).await);
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200]);
    for _ in 0..3 {
        assert!(raw.write(b"x").await, "what is still sent is not answered with a reset");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    drop(raw);
    assert!(gateway.ended(Duration::from_secs(5)).await.expect("nobody is left").success());
}

#[tokio::test]
async fn a_late_last_response_over_http_2_is_not_lost_when_the_client_still_sends() {
    let _turn = tests::heavy().await;
    let (gateway, key) = patient().await;
    let mut raw = RawH2::connect(gateway.address(Protocol::H1)).await;
    let bearer = key.bearer();
    let fields =
        [("authorization", &*bearer), ("content-type", "application/json"), ("content-length", "12")];
    let (ack, end_stream, end_headers) = (1, 1, 4);
    let block = request_block("POST", ECHO, &fields);
    assert!(raw.write(&frame(kind::HEADERS, end_headers, 1, &block)).await);
    tokio::time::sleep(Duration::from_millis(200)).await;
    gateway.signal(Signal::TERM);
    // The second GOAWAY, the one that counts, follows the answer to this.
    let ping = raw.find(PATIENCE, |frame| frame.kind == kind::PING).await.expect("a drain asks");
    assert!(raw.write(&frame(kind::PING, ack, 0, &ping.payload)).await);
    tokio::time::sleep(LATE).await;
    assert!(raw.write(&frame(kind::DATA, end_stream, 1, br#"{"text":"a"}"#)).await);
    let (frames, closed) = raw.read_to_end(Duration::from_millis(800)).await;
    assert!(closed, "it closes the connection: {frames:?}");
    assert_eq!(frames.iter().find_map(tests::Frame::status), Some(200), "{frames:?}");
    for _ in 0..3 {
        assert!(raw.write(&frame(kind::PING, 0, 0, &[0; 8])).await, "no reset is the answer");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    drop(raw);
    assert!(gateway.ended(Duration::from_secs(5)).await.expect("nobody is left").success());
}
