//! Bounds on connections: in total and per address, and on the streams of a connection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::json;
use tests::{Client, Family, KeySpec, Protocol, Raw, TestGateway, WAYS, Way, eventually, get};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

const PING: &str = "/2026-02-01/ping.json";
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether the gateway keeps a new connection open; one that it refuses is closed at once.
async fn is_kept(gateway: &TestGateway) -> (bool, TcpStream) {
    let address = gateway.listener("docs", Family::V4).address;
    let mut stream = TcpStream::connect(address).await.expect("the kernel accepts");
    let mut byte = [0];
    let read = tokio::time::timeout(Duration::from_millis(300), stream.read(&mut byte)).await;
    (read.is_err(), stream)
}

#[tokio::test]
async fn connections_are_bounded_and_a_closed_one_makes_room() {
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

/// Connections to a listener on which nothing is sent.
async fn silent(gateway: &TestGateway, listener: &str, count: usize) -> Vec<TcpStream> {
    let address = gateway.listener(listener, Family::V4).address;
    let mut connections = Vec::new();
    for _ in 0..count {
        connections.push(TcpStream::connect(address).await.expect("the kernel accepts"));
    }
    connections
}

#[tokio::test]
async fn silent_connections_do_not_keep_out_clients_with_a_key() {
    let gateway = TestGateway::start("[limits]\nconnections_max = 50").await;
    let key = gateway.create_key(KeySpec::staging()).await;
    let _docs = silent(&gateway, "docs", 50).await;
    for protocol in Protocol::ALL {
        let client = Client::over(&gateway, protocol).await;
        assert_eq!(
            client.ask(key.get(PING)).await.status,
            200,
            "{protocol:?}: the docs have a separate pool"
        );
    }

    let idle = Client::over(&gateway, Protocol::H1).await;
    assert_eq!(idle.ask(key.get(PING)).await.status, 200);
    let _api = [silent(&gateway, "http", 50).await, silent(&gateway, "https", 50).await];
    for protocol in Protocol::ALL {
        let client = Client::over(&gateway, protocol).await;
        assert_eq!(client.ask(key.get(PING)).await.status, 200, "{protocol:?}: silent connections make room");
    }
    let _more = silent(&gateway, "http", 50).await;
    assert_eq!(
        idle.ask(key.get(PING)).await.status,
        200,
        "an authenticated connection is not closed for silent ones"
    );
    let refused = "gateway_connections_refused_total{reason=\"connections_max\"}";
    assert_eq!(gateway.metric(refused).await, Some(0.0));
    for (listener, least) in [("http", 75.0), ("https", 25.0)] {
        let series = format!("gateway_connections_evicted_total{{listener=\"{listener}\"}}");
        let counted =
            eventually(PATIENCE, async || gateway.metric(&series).await.filter(|count| *count >= least));
        assert!(counted.await.is_some(), "{listener}: {:?}", gateway.metric(&series).await);
    }
    let docs = "gateway_connections_evicted_total{listener=\"docs\"}";
    assert_eq!(gateway.metric(docs).await, None, "nobody authenticates there");
    let bounded = eventually(PATIENCE, async || {
        // Half of each API listener's pool, all of the documentation's, and the client with a key.
        (gateway.metric("gateway_connections").await? <= 25.0 + 25.0 + 50.0 + 1.0).then_some(())
    });
    assert!(bounded.await.is_some(), "silent connections hold at most half");
}

#[tokio::test]
async fn thousands_of_idle_connections_do_not_affect_probes_and_partners() {
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
async fn an_http_3_client_proves_its_address_if_a_retry_is_required() {
    let gateway = TestGateway::start("[limits]\nquic_retry_threshold = 0").await;
    let key = gateway.create_key(KeySpec::staging()).await;
    let client = Client::over(&gateway, Protocol::H3).await;
    assert_eq!(client.ask(key.get(PING)).await.status, 200);
}

#[tokio::test]
async fn an_unspecified_ipv6_address_serves_both_families() {
    // By itself, and beside sockets of IPv4.
    for addresses in ["[\"[::]:0\"]", "[\"0.0.0.0:0\", \"[::]:0\"]"] {
        let overlay =
            ["http", "https"].map(|name| format!("[listeners.{name}]\naddresses = {addresses}\n")).concat();
        let gateway = TestGateway::start(&overlay).await;
        let allowed = KeySpec::staging().option("--allow", "127.0.0.0/8,::1/128");
        let key = gateway.create_key(allowed).await;
        for way in WAYS {
            let port = gateway.listener(way.protocol.listener(), Family::V6).address.port();
            let (ip, member): (IpAddr, _) = match way.family {
                Family::V4 => (Ipv4Addr::LOCALHOST.into(), "ipv4"),
                Family::V6 => (Ipv6Addr::LOCALHOST.into(), "ipv6"),
            };
            let client = Client::to((ip, port).into(), way, &gateway.ready().ca).await;
            let client = client.unwrap_or_else(|error| panic!("{addresses} {way}: {error:#}"));
            let first = client.ask(key.get("/2026-02-01/connection.json")).await.json();
            assert_eq!(first["client"]["ips"], json!({ member: ip.to_string() }), "{addresses} {way}");
            let second = client.ask(key.get("/2026-11-01/connection.json")).await.json();
            assert_eq!(second["client"]["family"], member, "{addresses} {way}: {second}");
            assert!(second["roundTripTimeMs"].is_number(), "{addresses} {way}: {second}");
        }
    }
}

/// The descriptors that a process has open, by what they lead to.
fn open_files(gateway: &TestGateway) -> u64 {
    let folder = format!("/proc/{}/fd", gateway.ready().pid);
    std::fs::read_dir(folder).expect("the gateway is still there").count() as u64
}

#[tokio::test]
async fn running_out_of_file_descriptors_is_logged_once_and_ends_with_its_cause() {
    let gateway = TestGateway::start("").await;
    let key = gateway.create_key(KeySpec::staging()).await;
    let way = Way { protocol: Protocol::H1, family: Family::V4 };
    // While none is left, what is open already is still answered.
    let operations = Client::open(&gateway, "operations", way).await.expect("it accepts");
    let partner = Client::over(&gateway, Protocol::H1).await;
    assert_eq!(operations.ask(get("/readyz")).await.status, 200);
    assert_eq!(partner.ask(key.get(PING)).await.status, 200);
    let limit = Some(open_files(&gateway) + 8);
    let pid = i32::try_from(gateway.ready().pid).ok().and_then(Pid::from_raw);
    prlimit(pid, Resource::Nofile, Rlimit { current: limit, maximum: limit }).expect("it is our child");

    let silent = silent(&gateway, "http", 20).await;
    let failures = async || {
        let text = operations.ask(get("/metrics")).await.text();
        let value = text.lines().find_map(|line| line.strip_prefix("gateway_accept_errors_total "));
        value.and_then(|value| value.parse::<u64>().ok()).unwrap_or_default()
    };
    let failed = eventually(PATIENCE, async || (failures().await >= 5).then_some(())).await;
    assert!(failed.is_some(), "accepting fails again and again");
    let mut lines = gateway.log_lines();
    lines.retain(|line| {
        line["message"].as_str().is_some_and(|text| text.starts_with("No file descriptor is left"))
    });
    let [line] = &lines[..] else { panic!("one line: {}", gateway.log()) };
    assert_eq!((&line["level"], &line["suppressed"]), (&json!("WARN"), &json!(0)), "{line}");
    assert!(line["error"].as_str().is_some_and(|error| error.contains("os error 24")), "{line}");
    assert_eq!(partner.ask(key.get(PING)).await.status, 200, "what is open is served");
    assert!(failures().await < 1_000, "accepting rests between its attempts");

    drop(silent);
    let served = eventually(PATIENCE, async || {
        let client = Client::connect(&gateway, way).await.ok()?;
        (client.send(key.get(PING)).await.ok()?.status == 200).then_some(())
    });
    assert!(served.await.is_some(), "new connections are accepted again");
}
