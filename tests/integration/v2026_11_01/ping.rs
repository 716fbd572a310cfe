//! `GET /2026-11-01/ping.json`.

use rustls::crypto::aws_lc_rs;
use rustls::version;
use tests::{KeySpec, Protocol, TestGateway, WAYS, tls_of};

use super::number;
use crate::contract::connect;
use crate::statuses::errors_of;

const PING: &str = "/2026-11-01/ping.json";

#[tokio::test]
async fn the_processing_time_is_a_number() {
    let gateway = TestGateway::start("").await;
    let keys =
        [gateway.create_key(KeySpec::staging()).await, gateway.create_key(KeySpec::production()).await];
    for way in WAYS {
        let client = connect(&gateway, way).await;
        for key in &keys {
            let answer = client.ask(key.get(PING)).await;
            let (rest, time) = number(&answer.text(), "processingTimeMs");
            let expected = format!(
                r#"{{"status":"success","env":"{}","apiVersion":"2026-11-01","processingTimeMs":}}"#,
                key.environment
            );
            assert_eq!((answer.status.as_u16(), rest), (200, expected), "{way}");
            assert!((0.0..5000.0).contains(&time), "{way}: {time} ms");
            assert_eq!(answer.field("api-version"), Some("2026-11-01"), "{way}");
        }
    }
}

#[tokio::test]
async fn a_quic_connection_survives_key_updates() {
    let gateway = TestGateway::start("").await;
    let alpn = Protocol::H3.alpn().expect("HTTP/3 is encrypted");
    let provider = aws_lc_rs::default_provider();
    let tls =
        tls_of(provider, &[&version::TLS13], &gateway.ready().ca, alpn).expect("the CA's file is readable");
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(tls).expect("TLS 1.3 is there");
    let mut endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    endpoint.set_default_client_config(quinn::ClientConfig::new(std::sync::Arc::new(crypto)));
    let address = gateway.address(Protocol::H3);
    let connection = endpoint.connect(address, "localhost").unwrap().await.unwrap();
    let (_driver, mut requests) =
        h3::client::new(h3_quinn::Connection::new(connection.clone())).await.unwrap();
    for update in 0..4 {
        let request = http::Request::get(format!("https://localhost{PING}")).body(()).unwrap();
        let mut stream = requests.send_request(request).await.unwrap();
        stream.finish().await.unwrap();
        let answer = tokio::time::timeout(tests::PATIENCE, stream.recv_response()).await;
        assert_eq!(answer.expect("it answers in time").unwrap().status(), 401, "update {update}");
        connection.force_key_update();
    }
}

errors_of!(PING, "ping:read");
