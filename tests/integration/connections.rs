//! Bounds on connections: in all, of one address, streams of one connection, and what they leave free.

use std::time::Duration;

use tests::{Client, KeySpec, Protocol, Raw, TestGateway, eventually};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

const PING: &str = "/2026-02-01/ping.json";
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether the gateway keeps a fresh connection open; one that it refuses is closed at once.
async fn is_kept(gateway: &TestGateway) -> (bool, TcpStream) {
    let mut stream = TcpStream::connect(gateway.address(Protocol::H1)).await.expect("the kernel accepts");
    let mut byte = [0];
    let read = tokio::time::timeout(Duration::from_millis(300), stream.read(&mut byte)).await;
    (read.is_err(), stream)
}

#[tokio::test]
async fn connections_are_bounded_and_a_place_that_is_free_is_taken_again() {
    for bound in ["connections_max = 4", "connections_per_address_max = 4"] {
        let gateway = TestGateway::start(&format!("[limits]\n{bound}")).await;
        let mut kept = Vec::new();
        for number in 0..4 {
            let (open, stream) = is_kept(&gateway).await;
            assert!(open, "{bound}: connection {number} is within the bound");
            kept.push(stream);
        }
        assert!(!is_kept(&gateway).await.0, "{bound}: one more is refused");
        assert_eq!(gateway.operations("/readyz").await.status, 200, "{bound}: health is unharmed");
        let refused = gateway.operations("/metrics").await.text();
        let reason = bound.split(' ').next().unwrap();
        assert!(
            refused.contains(&format!("gateway_connections_refused_total{{reason=\"{reason}\"}} 1")),
            "{refused}"
        );
        kept.pop();
        let free = eventually(PATIENCE, async || is_kept(&gateway).await.0.then_some(())).await;
        assert!(free.is_some(), "{bound}: the place is free again");
    }
}

#[tokio::test]
async fn thousands_of_idle_connections_leave_health_and_partners_unharmed() {
    let _turn = tests::heavy().await;
    let gateway = TestGateway::start("").await;
    let key = gateway.create_key(KeySpec::staging()).await;
    let before = gateway.memory_bytes();
    let mut idle = Vec::new();
    for _ in 0..2_000 {
        idle.push(TcpStream::connect(gateway.address(Protocol::H1)).await.expect("the kernel accepts"));
    }
    let counted = eventually(PATIENCE, async || {
        (gateway.metric("gateway_connections").await.is_some_and(|count| count >= 2_000.0)).then_some(())
    });
    assert!(counted.await.is_some(), "they are all open");
    let each = gateway.memory_bytes().saturating_sub(before) / 2_000;
    println!("{each} bytes for each idle connection");
    assert!(each < 128 * 1024, "{each} bytes for each idle connection");
    assert_eq!(gateway.operations("/readyz").await.status, 200);
    let mut raw = Raw::connect(gateway.address(Protocol::H1)).await;
    let head = format!("GET {PING} HTTP/1.1\r\nhost: localhost\r\nauthorization: {}\r\n\r\n", key.bearer());
    assert!(raw.write(head.as_bytes()).await);
    assert_eq!(raw.answer(PATIENCE).await.status, 200);
    drop(idle);
    let gone = eventually(PATIENCE, async || {
        (gateway.metric("gateway_connections").await.is_some_and(|count| count < 10.0)).then_some(())
    });
    assert!(gone.await.is_some(), "nothing is kept of them");
}

#[tokio::test]
async fn a_client_of_http_3_proves_its_address_where_that_is_asked() {
    let gateway = TestGateway::start("[limits]\nquic_retry_threshold = 0").await;
    let key = gateway.create_key(KeySpec::staging()).await;
    let client = Client::over(&gateway, Protocol::H3).await;
    assert_eq!(client.ask(key.get(PING)).await.status, 200);
}
