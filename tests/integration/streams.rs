//! Streaming responses: complete, failing, endless, and to clients that do not read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use rustix::process::Signal;
use tests::endpoints::byte_at;
use tests::{
    Client, Key, KeySpec, PATIENCE, Protocol, RawH2, TestGateway, eventually, frame, kind, request_block,
};

const MIB: u64 = 1024 * 1024;
/// The memory growth that a stream may cause.
const GROWTH_MAX: u64 = MIB;

async fn gateway(overlay: &str) -> (TestGateway, Key) {
    let gateway = TestGateway::start_with_test_endpoints(overlay).await;
    let key = gateway.create_key(KeySpec::staging().option("--rate", "1000000/s")).await;
    (gateway, key)
}

/// The process's memory in bytes: resident, without the pages of files.
fn memory(gateway: &TestGateway) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.ready().pid)).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).expect("the kernel reports it");
    let kib: u64 = line.split_ascii_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number");
    kib * 1024
}

/// Waits for the line of the access log about the last download.
async fn access_line(gateway: &TestGateway, lines: usize) -> serde_json::Value {
    let found = eventually(PATIENCE, async || {
        let logged = gateway.log_lines();
        let mut downloads = logged.into_iter().filter(|line| line["route"] == "/test/download.bin");
        downloads.nth(lines)
    });
    found.await.unwrap_or_else(|| panic!("line {lines} of a download: {}", gateway.log()))
}

#[tokio::test]
async fn every_byte_of_a_stream_arrives_in_order_with_or_without_a_length() {
    let (gateway, key) = gateway("[log]\naccess = true").await;
    let bytes = 3 * MIB + 1;
    let mut line = 0;
    for protocol in Protocol::ALL {
        for (sized, piece) in [(true, 16_384), (false, 16_384), (false, 1_000), (true, 1_000_000)] {
            let context = format!("{protocol:?} sized={sized} piece={piece}");
            let client = Client::over(&gateway, protocol).await;
            let path = format!("/test/download.bin?bytes={bytes}&sized={sized}&piece={piece}");
            let mut received = 0;
            let download = client.download(key.get(&path), |part| {
                for byte in &part {
                    assert_eq!(*byte, byte_at(received), "{context}: at {received}");
                    received += 1;
                }
            });
            let download = download.await.unwrap_or_else(|error| panic!("{context}: {error:#}"));
            download.end.unwrap_or_else(|error| panic!("{context}: {error:#}"));
            assert_eq!((download.status, received), (StatusCode::OK, bytes), "{context}");
            let length =
                download.headers.get("content-length").map(|length| length.to_str().unwrap().to_owned());
            assert_eq!(length, sized.then(|| bytes.to_string()), "{context}");
            assert_eq!(download.headers["content-type"], "application/octet-stream", "{context}");
            let logged = access_line(&gateway, line).await;
            assert_eq!(
                (&logged["response_bytes"], &logged["complete"]),
                (&bytes.into(), &true.into()),
                "{context}"
            );
            line += 1;
            assert_eq!(
                client.ask(key.get("/2026-02-01/ping.json")).await.status,
                200,
                "{context}: it goes on"
            );
        }
    }
}

#[tokio::test]
async fn streaming_a_gibibyte_does_not_grow_memory() {
    let _turn = tests::heavy().await;
    let (gateway, key) = gateway("").await;
    let bytes = 1024 * MIB;
    for protocol in [Protocol::H1Tls, Protocol::H2, Protocol::H3] {
        let client = Client::over(&gateway, protocol).await;
        let fetch = async |bytes: u64| {
            let (mut received, mut most) = (0, 0);
            let path = format!("/test/download.bin?bytes={bytes}&piece=65536");
            let download = client.download(key.get(&path), |part| {
                received += part.len() as u64;
                if received % (64 * MIB) < part.len() as u64 {
                    most = most.max(memory(&gateway));
                }
            });
            download.await.unwrap().end.unwrap_or_else(|error| panic!("{protocol:?}: {error:#}"));
            assert_eq!(received, bytes, "{protocol:?}");
            most
        };
        // Memory for the connection itself does not count.
        fetch(64 * MIB).await;
        let before = memory(&gateway);
        let most = fetch(bytes).await;
        let growth = most.saturating_sub(before);
        println!("{protocol:?}: {growth} bytes beside {before}");
        assert!(growth <= GROWTH_MAX, "{protocol:?}: {growth} bytes more than {before}");
    }
}

#[tokio::test]
async fn a_stream_that_fails_is_an_error_and_never_a_shorter_body() {
    let (gateway, key) = gateway("[log]\naccess = true").await;
    let mut line = 0;
    for protocol in Protocol::ALL {
        for sized in [true, false] {
            let context = format!("{protocol:?} sized={sized}");
            let client = Client::over(&gateway, protocol).await;
            let path = format!("/test/download.bin?bytes={MIB}&break_after=200000&sized={sized}");
            let mut received = 0;
            let download = client.download(key.get(&path), |part| received += part.len() as u64);
            let end = match download.await {
                Ok(download) => {
                    assert_eq!(download.status, StatusCode::OK, "{context}: the head was sent before");
                    download.end
                }
                // A reset discards what QUIC has not delivered yet, even the head (RFC 9000 §3.2).
                Err(error) if protocol == Protocol::H3 => Err(error),
                Err(error) => panic!("{context}: {error:#}"),
            };
            assert!(end.is_err(), "{context}: it seems to have ended well after {received} bytes");
            let logged = access_line(&gateway, line).await;
            assert_eq!((&logged["status"], &logged["complete"]), (&200.into(), &false.into()), "{context}");
            assert!(
                logged["response_bytes"].as_u64().is_some_and(|bytes| bytes >= 200_000),
                "{context}: {logged}"
            );
            line += 1;
            if !matches!(protocol, Protocol::H1 | Protocol::H1Tls) {
                let next = client.ask(key.get("/2026-02-01/ping.json")).await;
                assert_eq!(next.status, 200, "{context}: only the stream is reset");
            }
        }
    }
    let metrics = gateway.operations("/metrics").await.text();
    assert!(metrics.contains("gateway_responses_incomplete_total 10"), "{metrics}");
}

/// Starts an endless stream on a separate connection; returns how much of it has arrived.
async fn endless(
    gateway: &TestGateway,
    key: &Key,
    protocol: Protocol,
) -> (Endless, tokio::task::JoinHandle<anyhow::Result<tests::Download>>) {
    let client = Arc::new(Client::over(gateway, protocol).await);
    let received = Arc::new(AtomicU64::new(0));
    let (request, counter) = (key.get("/test/download.bin?piece=100&pause_ms=20"), Arc::clone(&received));
    let asking = Arc::clone(&client);
    let task = tokio::spawn(async move {
        asking
            .download(request, move |part| {
                counter.fetch_add(part.len() as u64, Ordering::Relaxed);
            })
            .await
    });
    let begun = eventually(PATIENCE, async || (received.load(Ordering::Relaxed) > 1000).then_some(())).await;
    assert!(begun.is_some(), "{protocol:?}: it flows");
    (Endless { client, received }, task)
}

struct Endless {
    client: Arc<Client>,
    received: Arc<AtomicU64>,
}

#[tokio::test]
async fn a_revocation_ends_an_endless_stream() {
    let (gateway, _) = gateway("[timeouts]\ngoodbye = \"500ms\"").await;
    for protocol in Protocol::ALL {
        let key = gateway.create_key(KeySpec::staging()).await;
        let (client, task) = endless(&gateway, &key, protocol).await;
        let revoked = Instant::now();
        let output = gateway.cli(&["key", "revoke", &key.id]).await;
        assert!(output.status.success(), "{output:?}");
        let download = tokio::time::timeout(Duration::from_secs(5), task).await;
        let download = download.unwrap_or_else(|_| panic!("{protocol:?}: it still flows")).unwrap().unwrap();
        assert!(download.end.is_err(), "{protocol:?}: a stream without end has no good end");
        println!("{protocol:?}: cut {:?} after the command began", revoked.elapsed());
        assert!(client.client.closed(PATIENCE).await.is_some(), "{protocol:?}: its connection is closed");
    }
}

#[tokio::test]
async fn a_drain_waits_for_a_stream_until_its_deadline() {
    let _turn = tests::heavy().await;
    for protocol in [Protocol::H1Tls, Protocol::H2, Protocol::H3] {
        let (gateway, key) = gateway("[drain]\nannounce = \"100ms\"\ndeadline = \"3s\"").await;
        let (client, task) = endless(&gateway, &key, protocol).await;
        let signalled = Instant::now();
        gateway.signal(Signal::TERM);
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let then = client.received.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(
            client.received.load(Ordering::Relaxed) > then,
            "{protocol:?}: it flows on while there is time"
        );
        let status = gateway.ended(PATIENCE).await.expect("the deadline ends it");
        assert!(!status.success(), "{protocol:?}: something was cut");
        assert!(signalled.elapsed() > Duration::from_millis(2900), "{protocol:?}: {:?}", signalled.elapsed());
        let download = tokio::time::timeout(PATIENCE, task).await.expect("it is cut").unwrap().unwrap();
        assert!(download.end.is_err(), "{protocol:?}");
        // A stream that ends in time is completed.
        let (gateway, key) = self::gateway("[drain]\nannounce = \"100ms\"\ndeadline = \"20s\"").await;
        let client = Client::over(&gateway, protocol).await;
        let request = key.get("/test/download.bin?bytes=4000&piece=100&pause_ms=40");
        let (download, ()) = tokio::join!(client.download(request, |_| ()), async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            gateway.signal(Signal::TERM);
        });
        download.unwrap().end.unwrap_or_else(|error| panic!("{protocol:?}: {error:#}"));
        assert!(gateway.ended(PATIENCE).await.expect("nothing is left").success(), "{protocol:?}");
    }
}

#[tokio::test]
async fn a_client_that_disconnects_ends_its_stream() {
    let (gateway, key) = gateway("[log]\naccess = true").await;
    for (line, protocol) in Protocol::ALL.into_iter().enumerate() {
        let (client, task) = endless(&gateway, &key, protocol).await;
        task.abort();
        let _ = task.await;
        drop(client);
        let logged = access_line(&gateway, line).await;
        assert_eq!(logged["complete"], false, "{protocol:?}: {logged}");
        assert!(
            logged["response_bytes"].as_u64().is_some_and(|bytes| bytes > 1000),
            "{protocol:?}: {logged}"
        );
    }
}

#[tokio::test]
async fn a_window_that_never_opens_ends_a_stream_after_the_write_timeout() {
    let (gateway, key) = gateway("[timeouts]\nwrite = \"1s\"").await;
    let mut raw = RawH2::connect(gateway.address(Protocol::H2c)).await;
    // SETTINGS_INITIAL_WINDOW_SIZE = 0.
    assert!(raw.write(&frame(kind::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])).await);
    let bearer = key.bearer();
    let started = Instant::now();
    let mut reset = 0;
    for (number, path) in
        ["/2026-02-01/ping.json", "/test/download.bin?bytes=1000000"].iter().cycle().take(20).enumerate()
    {
        let block = request_block("GET", path, &[("authorization", &bearer)]);
        let stream = u32::try_from(number).unwrap() * 2 + 1;
        assert!(raw.write(&frame(kind::HEADERS, 5, stream, &block)).await);
    }
    while reset < 20 && started.elapsed() < PATIENCE {
        let found = raw.find(Duration::from_secs(6), |frame| frame.kind == kind::RST_STREAM).await;
        let Some(found) = found else { break };
        assert_eq!(found.payload, [0, 0, 0, 8], "it is given up (CANCEL)");
        reset += 1;
    }
    assert_eq!(reset, 20, "each of them is given up");
    assert!(started.elapsed() < Duration::from_secs(6), "after {:?}", started.elapsed());
    let client = Client::over(&gateway, Protocol::H2c).await;
    assert_eq!(client.ask(key.get("/2026-02-01/ping.json")).await.status, 200);
}

#[tokio::test]
async fn a_handler_sets_status_and_fields() {
    let (gateway, key) = gateway("").await;
    for protocol in Protocol::ALL {
        let client = Client::over(&gateway, protocol).await;
        let mut request = key.request(&Method::POST, "/test/things.json");
        *request.body_mut() = r#"{"text":"a"}"#.into();
        let made = client.ask(request).await;
        assert_eq!((made.status, made.field("location")), (StatusCode::CREATED, Some("/test/things/1.json")));
        assert_eq!(made.json()["text"], "a", "{protocol:?}");
        assert_eq!(made.field("connection"), None, "{protocol:?}: not a handler's to say");
        assert_ne!(made.field("x-request-id"), Some("mine"), "{protocol:?}: not a handler's to say");
        let gone = client.ask(key.request(&Method::DELETE, "/test/things.json")).await;
        assert_eq!((gone.status, gone.body.len()), (StatusCode::NO_CONTENT, 0), "{protocol:?}");
        assert_eq!((gone.field("content-type"), gone.field("content-length")), (None, None), "{protocol:?}");
        assert_eq!(gone.field("api-version"), Some("test"), "{protocol:?}");
        let head = client.ask(key.request(&Method::HEAD, "/test/download.bin?bytes=100&sized=true")).await;
        assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0), "{protocol:?}");
        assert_eq!(head.field("content-length"), Some("100"), "{protocol:?}");
    }
}
