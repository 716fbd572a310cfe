//! Attacks over HTTP/2, frame by frame; memory stays bounded and other clients are served.

use std::time::{Duration, Instant};

use tests::{
    Client, Frame, Key, KeySpec, PATIENCE, Protocol, RawH2, TestGateway, frame, kind, literal, request_block,
};

use crate::contract::{ECHO, PING, assert_ping_body};

const SHORT: &str = r#"
[timeouts]
handshake = "1s"
header = "1s"
idle = "1s"
body = "1s"
write = "1s"
goodbye = "500ms"
"#;

const GROWTH_MAX: u64 = 16 * 1024 * 1024;
/// END_STREAM and END_HEADERS, and each alone.
const WHOLE: u8 = 5;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

async fn strict() -> (TestGateway, Key) {
    let gateway = TestGateway::start(SHORT).await;
    let key = gateway.create_key(KeySpec::staging().option("--rate", "1000000/s")).await;
    let client = Client::over(&gateway, Protocol::H2c).await;
    for _ in 0..20 {
        assert_eq!(client.ask(key.get(PING)).await.status, 200);
    }
    (gateway, key)
}

/// Sends `piece(round)` for many rounds as fast as possible, without reading, while another client sends
/// requests. Returns whether the server closed the connection.
async fn flood(what: &str, rounds: u32, opening: &[u8], piece: impl Fn(u32, &Key) -> Vec<u8>) -> bool {
    let _turn = tests::heavy().await;
    let (gateway, key) = strict().await;
    let before = gateway.memory_bytes();
    let mut connection = RawH2::connect(gateway.address(Protocol::H2c)).await;
    assert!(connection.write(opening).await);
    let mut slowest = Duration::ZERO;
    let mut most = before;
    let mut taken = true;
    let started = Instant::now();
    for round in 0..rounds {
        let bytes = piece(round, &key);
        // If the server neither responds nor reads on, the flood stops after the write timeout.
        let written = tokio::time::timeout(Duration::from_secs(15), connection.write(&bytes)).await;
        taken = matches!(written, Ok(true));
        if round % (rounds / 20).max(1) == 0 {
            let client = Client::over(&gateway, Protocol::H2c).await;
            let asked = Instant::now();
            assert_eq!(client.ask(key.get(PING)).await.status, 200, "{what}: another client is served");
            slowest = slowest.max(asked.elapsed());
            most = most.max(gateway.memory_bytes());
        }
        if !taken || started.elapsed() > Duration::from_secs(40) {
            break;
        }
    }
    most = most.max(gateway.memory_bytes());
    let grown = most - before;
    println!("{what}: cut off {}, memory grew by {grown} bytes, slowest other answer {slowest:?}", !taken);
    assert!(grown < GROWTH_MAX, "{what}: memory grew by {grown} bytes");
    assert!(slowest < Duration::from_secs(2), "{what}: another client waited {slowest:?}");
    assert!(!gateway.log().contains("panicked"), "{what}: {}", gateway.log());
    let client = Client::over(&gateway, Protocol::H2c).await;
    assert_eq!(client.ask(key.get(PING)).await.status, 200, "after {what}");
    !taken
}

/// The stream of a round: odd and rising.
fn stream(round: u32, of_round: u32, in_round: u32) -> u32 {
    (round * in_round + of_round) * 2 + 1
}

fn get_block(key: &Key) -> Vec<u8> {
    request_block("GET", PING, &[("authorization", &key.bearer())])
}

#[tokio::test]
async fn rapid_reset_is_bounded() {
    let piece = |round, key: &Key| {
        let block = get_block(key);
        let mut bytes = Vec::new();
        for request in 0..100 {
            let stream = stream(round, request, 100);
            bytes.extend(frame(kind::HEADERS, WHOLE, stream, &block));
            bytes.extend(frame(kind::RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        }
        bytes
    };
    let cut = flood("rapid reset", 300, &[], piece).await;
    println!("rapid reset was {}", if cut { "cut off" } else { "borne" });
}

#[tokio::test]
async fn endless_continuation_is_refused() {
    let opening = |key: &Key| frame(kind::HEADERS, END_STREAM, 1, &get_block(key));
    for (what, payload) in [
        ("empty CONTINUATION", Vec::new()),
        ("CONTINUATION", {
            let mut block = Vec::new();
            for number in 0..300 {
                literal(&mut block, &format!("x-{number}"), "a long enough value to count");
            }
            block
        }),
    ] {
        let cut = flood(what, 4000, &[], |round, key| match round {
            0 => opening(key),
            _ => frame(kind::CONTINUATION, 0, 1, &payload).repeat(50),
        });
        assert!(cut.await, "{what} is cut off");
    }
}

#[tokio::test]
async fn floods_of_frames_that_need_a_response_are_bounded() {
    for (what, one) in [
        ("PING", frame(kind::PING, 0, 0, &[0; 8])),
        ("SETTINGS", frame(kind::SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100])),
        ("empty SETTINGS", frame(kind::SETTINGS, 0, 0, &[])),
        ("PRIORITY", frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 0, 1])),
        ("WINDOW_UPDATE", frame(kind::WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes())),
        ("an unknown frame", frame(0x42, 0, 0, &[0; 100])),
    ] {
        let piece = one.repeat(1000);
        flood(what, 1000, &[], |_, _| piece.clone()).await;
    }
}

#[tokio::test]
async fn empty_data_frames_are_bounded() {
    let piece = frame(kind::DATA, 0, 1, &[]).repeat(1000);
    flood("empty DATA", 500, &[], |round, key| match round {
        0 => frame(kind::HEADERS, END_HEADERS, 1, &get_block(key)),
        _ => piece.clone(),
    })
    .await;
}

#[tokio::test]
async fn a_header_compression_bomb_is_refused() {
    let _turn = tests::heavy().await;
    let (gateway, key) = strict().await;
    let before = gateway.memory_bytes();
    // One large entry in the dynamic table, referenced many times by one byte each.
    let mut block = get_block(&key);
    block.push(0x40);
    block.extend([3, b'x', b'-', b'b', 0x7f]);
    let value = vec![b'a'; 3000];
    let rest = value.len() - 127;
    block.extend([u8::try_from(rest % 128).unwrap() | 128, u8::try_from(rest / 128).unwrap()]);
    block.extend(value);
    block.extend([0xbe; 9000]);
    let mut connection = RawH2::connect(gateway.address(Protocol::H2c)).await;
    connection.write(&frame(kind::HEADERS, WHOLE, 1, &block)).await;
    let end = |frame: &Frame| frame.stream == 1 || frame.kind == kind::GOAWAY;
    let first = connection.find(PATIENCE, end).await.expect("it is refused");
    assert!(first.kind != kind::HEADERS || first.status() == Some(431), "{first:?}");
    let grown = gateway.memory_bytes().saturating_sub(before);
    assert!(grown < GROWTH_MAX, "memory grew by {grown} bytes");
}

#[tokio::test]
async fn waiting_connections_are_closed_after_their_timeout() {
    let _turn = tests::heavy().await;
    let (gateway, key) = strict().await;
    let address = gateway.address(Protocol::H2c);
    let block = get_block(&key);
    let request = frame(kind::HEADERS, WHOLE, 1, &block);
    let no_window = frame(kind::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("nothing behind the preface", Vec::new()),
        ("half a frame", request[..request.len() / 2].to_vec()),
        ("half a head", frame(kind::HEADERS, END_STREAM, 1, &block)),
        ("content that never comes", {
            let mut block = block.clone();
            literal(&mut block, "content-type", "application/json");
            frame(kind::HEADERS, END_HEADERS, 1, &block)
        }),
        ("no window for the answer", [no_window, request.clone()].concat()),
        ("one request and nothing more", request),
    ];
    for (what, bytes) in cases {
        let started = Instant::now();
        let mut connection = RawH2::connect(address).await;
        assert!(connection.write(&bytes).await, "{what}");
        let (_, closed) = connection.read_to_end(Duration::from_secs(15)).await;
        assert!(closed, "{what}: open for {:?}", started.elapsed());
    }
    // Acknowledging the server's PINGs does not keep the connection open.
    let started = Instant::now();
    let mut connection = RawH2::connect(address).await;
    let mut closed = false;
    while !closed && started.elapsed() < Duration::from_secs(15) {
        closed = !connection.write(&frame(kind::PING, 0, 0, &[1; 8])).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(closed, "a connection that only pings is open for {:?}", started.elapsed());
}

#[tokio::test]
async fn frames_that_violate_the_protocol_close_the_connection_and_are_never_served() {
    let (gateway, key) = strict().await;
    let address = gateway.address(Protocol::H2c);
    let block = get_block(&key);
    let headers = |flags, stream| frame(kind::HEADERS, flags, stream, &block);
    for (what, bytes) in [
        ("HEADERS on stream 0", headers(WHOLE, 0)),
        ("HEADERS on an even stream", headers(WHOLE, 2)),
        ("DATA on stream 0", frame(kind::DATA, 0, 0, b"x")),
        ("DATA on an idle stream", frame(kind::DATA, END_STREAM, 1, b"x")),
        ("CONTINUATION alone", frame(kind::CONTINUATION, END_HEADERS, 1, &block)),
        ("SETTINGS of 5 bytes", frame(kind::SETTINGS, 0, 0, &[0; 5])),
        ("SETTINGS on a stream", frame(kind::SETTINGS, 0, 1, &[])),
        ("SETTINGS with a bad window", frame(kind::SETTINGS, 0, 0, &[0, 4, 0xff, 0xff, 0xff, 0xff])),
        ("PING of 7 bytes", frame(kind::PING, 0, 0, &[0; 7])),
        ("WINDOW_UPDATE by 0", frame(kind::WINDOW_UPDATE, 0, 0, &[0; 4])),
        ("windows over the top", frame(kind::WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]).repeat(2)),
        ("a frame of 16 MiB", vec![0xff, 0xff, 0xff, kind::HEADERS, WHOLE, 0, 0, 0, 1]),
        ("padding longer than the frame", frame(kind::HEADERS, WHOLE | 8, 1, &[0xff, 0x82])),
        ("PUSH_PROMISE", frame(5, END_HEADERS, 1, &[0, 0, 0, 2, 0x82])),
        ("another frame inside a head", [headers(END_STREAM, 1), frame(kind::PING, 0, 0, &[0; 8])].concat()),
        ("a bad index", frame(kind::HEADERS, WHOLE, 1, &[0xff, 0xff, 0xff, 0x7f])),
        ("HTTP/1.1 behind the preface", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
    ] {
        let mut connection = RawH2::connect(address).await;
        connection.write(&bytes).await;
        let (frames, closed) = connection.read_to_end(Duration::from_secs(10)).await;
        assert!(closed, "{what}: still open");
        assert!(frames.iter().all(|frame| frame.status() != Some(200)), "{what}: {frames:?}");
    }
    let client = Client::over(&gateway, Protocol::H2c).await;
    assert_ping_body(&client.ask(key.get(PING)).await.text(), "staging", "after broken frames");
}

#[tokio::test]
async fn malformed_heads_are_never_served() {
    let (gateway, key) = strict().await;
    let bearer = key.bearer();
    let address = gateway.address(Protocol::H2c);
    let good = [(":method", "GET"), (":scheme", "http"), (":path", PING), (":authority", "localhost")];
    let with = |more: &[(&'static str, &'static str)]| [&good[..], more].concat();
    let without = |name: &str| good.into_iter().filter(|(field, _)| *field != name).collect::<Vec<_>>();
    for (what, fields) in [
        ("no method", without(":method")),
        ("no scheme", without(":scheme")),
        ("no path", without(":path")),
        ("two paths", with(&[(":path", "/")])),
        ("an unknown pseudo field", with(&[(":x", "1")])),
        (":status", with(&[(":status", "200")])),
        ("a pseudo field behind others", [&good[..3], &[("x-a", "1")], &good[3..]].concat()),
        ("upper case", with(&[("X-Upper", "1")])),
        ("connection", with(&[("connection", "close")])),
        ("transfer-encoding", with(&[("transfer-encoding", "chunked")])),
        ("te", with(&[("te", "gzip")])),
        ("upgrade", with(&[("upgrade", "h2c")])),
        ("a line break", with(&[("x-a", "1\r\nx-b: 2")])),
        ("NUL", with(&[("x-a", "1\x002")])),
        ("a colon in a name", with(&[("x:a", "1")])),
        ("content that does not come", with(&[("content-length", "10")])),
        ("two lengths", with(&[("content-length", "0"), ("content-length", "1")])),
        ("one length twice", with(&[("content-length", "0"), ("content-length", "0")])),
        ("keep-alive", with(&[("keep-alive", "timeout=5")])),
        ("proxy-connection", with(&[("proxy-connection", "close")])),
    ] {
        let mut block = Vec::new();
        for (name, value) in fields.iter().chain([&("authorization", bearer.as_str())]) {
            literal(&mut block, name, value);
        }
        let mut connection = RawH2::connect(address).await;
        connection.write(&frame(kind::HEADERS, WHOLE, 1, &block)).await;
        let end = |frame: &Frame| frame.stream == 1 || frame.kind == kind::GOAWAY;
        let first =
            connection.find(PATIENCE, end).await.unwrap_or_else(|| panic!("{what}: neither answer nor end"));
        let refused = first.kind != kind::HEADERS || first.status() == Some(400);
        assert!(refused, "{what}: {first:?}");
    }
}

#[tokio::test]
async fn a_connect_does_not_affect_other_requests() {
    const REQUESTS: u32 = 90;
    const CONNECTIONS: u64 = 200;
    let _turn = tests::heavy().await;
    let (gateway, key) = strict().await;
    let block = get_block(&key);
    let mut together: Vec<u8> = (0..REQUESTS)
        .flat_map(|request| frame(kind::HEADERS, WHOLE, stream(0, request, REQUESTS), &block))
        .collect();
    let mut connect = Vec::new();
    for (name, value) in [(":method", "CONNECT"), (":authority", "localhost"), ("content-length", "5")] {
        literal(&mut connect, name, value);
    }
    let last = stream(0, REQUESTS, REQUESTS);
    together.extend(frame(kind::HEADERS, END_HEADERS, last, &connect));
    let recorded = async |status| {
        let metrics = gateway.operations("/metrics").await.text();
        let counts = metrics.lines().filter(|line| {
            line.starts_with("http_server_request_duration_seconds_count")
                && line.contains(&format!("\"{status}\""))
                && line.contains("network_protocol_version=\"2\"")
        });
        counts.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum::<u64>()
    };
    let (answered, before) = (recorded(200).await, gateway.memory_bytes());
    for _ in 0..CONNECTIONS {
        let mut connection = RawH2::connect(gateway.address(Protocol::H2c)).await;
        assert!(connection.write(&together).await);
        assert_eq!(connection.status(last, PATIENCE).await, Some(400), "this is no proxy");
    }
    assert_eq!(recorded(200).await, answered + CONNECTIONS * u64::from(REQUESTS));
    assert_eq!(recorded(400).await, CONNECTIONS);
    let grown = gateway.memory_bytes().saturating_sub(before);
    assert!(grown < GROWTH_MAX, "memory grew by {grown} bytes");
}

#[tokio::test]
async fn more_streams_than_announced_are_refused_and_the_others_served() {
    let gateway = TestGateway::start_with_test_endpoints(
        "[limits]\nstreams_per_connection_max = 8\n[timeouts]\nbody = \"20s\"",
    )
    .await;
    let key = gateway.create_key(KeySpec::staging()).await;
    let mut connection = RawH2::connect(gateway.address(Protocol::H2c)).await;
    let settings =
        connection.find(PATIENCE, |frame| frame.kind == kind::SETTINGS).await.expect("the server's own");
    let announced =
        settings.payload.chunks(6).find(|setting| setting[..2] == [0, 3]).expect("a number of streams");
    assert_eq!(announced[2..], 8_u32.to_be_bytes());
    let bearer = key.bearer();
    let fields = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let block = request_block("POST", ECHO, &fields);
    for stream in (1..=17).step_by(2) {
        connection.write(&frame(kind::HEADERS, END_HEADERS, stream, &block)).await;
    }
    let refused =
        connection.find(PATIENCE, |frame| frame.kind == kind::RST_STREAM).await.expect("one is too many");
    assert_eq!((refused.stream, refused.error_code()), (17, Some(7)), "REFUSED_STREAM for the ninth");
    for stream in (1..=15).step_by(2) {
        connection.write(&frame(kind::DATA, END_STREAM, stream, br#"{"text":"a"}"#)).await;
    }
    let mut served = 0;
    while served < 8 {
        let answer =
            connection.find(PATIENCE, |frame| frame.kind == kind::HEADERS).await.expect("all are answered");
        assert_eq!(answer.status(), Some(200));
        served += 1;
    }
}
