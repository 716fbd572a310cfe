//! QUIC connection migration (RFC 9000 §9): the client stays connected, and its current address is the one
//! that counts.

use bytes::Bytes;
use http::{Method, Request};
use tests::{Client, Content, KeySpec, PATIENCE, Protocol, TestGateway, eventually};

use crate::contract::{CONNECTION, ECHO, PING};

const FOUR_WORKERS: &str = "[runtime]\nworkers = 4\n[timeouts]\nidle = \"20s\"\n";

async fn forwarded(gateway: &TestGateway) -> f64 {
    let series = r#"gateway_datagrams_forwarded_total{outcome="delivered"}"#;
    gateway.metric(series).await.expect("the series is there from the start")
}

#[tokio::test]
async fn a_client_keeps_its_connection_through_every_change_of_port() {
    let gateway = TestGateway::start(FOUR_WORKERS).await;
    let key = gateway.create_key(KeySpec::staging()).await;
    let client = Client::over(&gateway, Protocol::H3).await;
    assert_eq!(client.ask(key.get(PING)).await.status, 200);
    for change in 0..24 {
        let port = client.move_to([127, 0, 0, 1]).port();
        for _ in 0..3 {
            let answer = client.send(key.get(PING)).await;
            let answer = answer.unwrap_or_else(|error| panic!("change {change} to port {port}: {error:#}"));
            assert_eq!(answer.status, 200, "change {change} to port {port}");
        }
    }
    assert!(client.is_open());
    // The new port reaches the right worker in one of four cases: without handing datagrams over, most
    // migrations would fail.
    let forwarded = forwarded(&gateway).await;
    println!("{forwarded} datagrams were forwarded");
    assert!(forwarded > 24.0, "{forwarded} datagrams were forwarded");
}

#[tokio::test]
async fn content_continues_from_another_port() {
    let gateway = TestGateway::start_with_test_endpoints(FOUR_WORKERS).await;
    let key = gateway.create_key(KeySpec::staging()).await;
    let client = Client::over(&gateway, Protocol::H3).await;
    let (pieces, content) = Content::pieces();
    let mut request: Request<Content> = key.request(&Method::POST, ECHO).map(|_| content);
    request.headers_mut().insert("content-type", "application/json".parse().expect("it is plain text"));
    let (answer, ()) = tokio::join!(client.send_content(request), async {
        pieces.send(Bytes::from_static(br#"{"text":""#)).await.expect("the request is being sent");
        for _ in 0..16 {
            client.move_to([127, 0, 0, 1]);
            pieces.send(Bytes::from(vec![b'x'; 20_000])).await.expect("the request is being sent");
        }
        pieces.send(Bytes::from_static(br#""}"#)).await.expect("the request is being sent");
        drop(pieces);
    });
    let answer = answer.expect("it is answered");
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 320_000 + r#"{"text":""}"#.len()));
}

#[tokio::test]
async fn many_connections_move_at_once() {
    let gateway = TestGateway::start(FOUR_WORKERS).await;
    let key = gateway.create_key(KeySpec::staging().option("--rate", "1000000/s")).await;
    let mut moving = Vec::new();
    for _ in 0..16 {
        let (client, key) = (Client::over(&gateway, Protocol::H3).await, key.clone());
        moving.push(tokio::spawn(async move {
            for change in 0..8 {
                client.move_to([127, 0, 0, 1]);
                let asked = (0..8).map(|_| client.ask(key.get(PING)));
                for answer in futures_util::future::join_all(asked).await {
                    assert_eq!(answer.status, 200, "change {change}");
                }
            }
        }));
    }
    for moving in moving {
        moving.await.expect("every answer came");
    }
}

#[tokio::test]
async fn a_request_has_the_address_that_it_comes_from() {
    let gateway = TestGateway::start(FOUR_WORKERS).await;
    let anywhere = gateway.create_key(KeySpec::staging()).await;
    let at_home = gateway.create_key(KeySpec::staging().option("--allow", "127.0.0.1/32")).await;
    let away = gateway.create_key(KeySpec::staging().option("--allow", "127.0.0.2/32")).await;
    let both = gateway.create_key(KeySpec::staging().option("--allow", "127.0.0.0/30")).await;
    let client = Client::over(&gateway, Protocol::H3).await;
    // A key for the first network only is refused after the client has moved away. The new address may be
    // spoofed, so a key for that network only is refused too.
    for (address, home_status) in [([127, 0, 0, 1], 200), ([127, 0, 0, 2], 401), ([127, 0, 0, 1], 200)] {
        client.move_to(address);
        let body = client.ask(anywhere.get(CONNECTION)).await.json();
        let expected = std::net::IpAddr::from(address).to_string();
        assert_eq!(body["client"]["ips"]["ipv4"], expected, "{body}");
        assert_eq!(client.ask(at_home.get(PING)).await.status, home_status, "from {expected}");
        assert_eq!(client.ask(away.get(PING)).await.status, 401, "from {expected}");
        assert_eq!(client.ask(both.get(PING)).await.status, 200, "from {expected}");
    }
    let from = |address: &str| gateway.log_lines().iter().filter(|line| line["client"] == address).count();
    // A line is written a moment after its response.
    let logged =
        eventually(PATIENCE, async || (from("127.0.0.1") == 8 && from("127.0.0.2") == 4).then_some(()));
    assert!(logged.await.is_some(), "{}", gateway.log());

    let client = Client::over(&gateway, Protocol::H3).await;
    client.move_to([127, 0, 0, 2]);
    assert_eq!(client.ask(away.get(PING)).await.status, 401, "it was opened elsewhere");
}
