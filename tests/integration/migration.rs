//! A QUIC client whose address changes under way (RFC 9000 §9): it stays connected, and is who it is by the
//! address that it comes from now.

use std::time::Duration;

use tests::{Client, KeySpec, PATIENCE, Protocol, TestGateway, eventually};

use crate::contract::{CONNECTION, PING};

const FOUR_WORKERS: &str = "[runtime]\nworkers = 4\n[timeouts]\nidle = \"20s\"\n";

async fn handed_over(gateway: &TestGateway) -> f64 {
    let series = r#"gateway_datagrams_handed_over_total{outcome="taken"}"#;
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
    // One worker in four is the right one by chance: without being handed over, hardly a change is survived.
    let handed_over = handed_over(&gateway).await;
    println!("{handed_over} datagrams were handed over");
    assert!(handed_over > 24.0, "{handed_over} datagrams were handed over");
}
