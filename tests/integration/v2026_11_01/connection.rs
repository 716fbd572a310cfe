//! `GET /2026-11-01/connection.json`.

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};
use rustls::{ClientConfig, SupportedProtocolVersion, version};
use serde_json::{Value, json};
use tests::{Client, Family, Key, KeySpec, Protocol, TestGateway, WAYS, Way, tls_of};

use super::number;
use crate::contract::connect;
use crate::statuses::errors_of;

const CONNECTION: &str = "/2026-11-01/connection.json";
const NEWEST: &[&SupportedProtocolVersion] = &[&version::TLS13];
const OLDER: &[&SupportedProtocolVersion] = &[&version::TLS12];

/// Connects with this TLS configuration.
async fn connect_with(gateway: &TestGateway, way: Way, tls: &ClientConfig) -> Client {
    let address = gateway.listener("https", way.family).address;
    let client = Client::with(address, way, Some(tls.clone())).await;
    client.unwrap_or_else(|error| panic!("{way}: {error:#}"))
}

/// A client's TLS for one protocol.
fn tls(
    gateway: &TestGateway,
    protocol: Protocol,
    versions: &[&'static SupportedProtocolVersion],
    provider: CryptoProvider,
) -> ClientConfig {
    let alpn = protocol.alpn().expect("the test asks for an encrypted protocol");
    tls_of(provider, versions, &gateway.ready().ca, alpn).expect("the CA's file is readable")
}

/// The response on this connection, after a check of its round-trip time.
async fn response(client: &Client, key: &Key) -> Value {
    let answer = client.ask(key.get(CONNECTION)).await;
    assert_eq!(answer.status, 200, "{}: {answer:?}", client.way());
    let time = answer.json()["roundTripTimeMs"].as_f64();
    let time = time.unwrap_or_else(|| panic!("{}: no round-trip time: {}", client.way(), answer.text()));
    assert!(time > 0.0 && time < 5000.0, "{}: {time} ms", client.way());
    answer.json()
}

#[tokio::test]
async fn connection_describes_every_transport() {
    let gateway = TestGateway::start("").await;
    let key = gateway.create_key(KeySpec::staging()).await;
    for way in WAYS {
        let client = connect(&gateway, way).await;
        let (family, address) = match way.family {
            Family::V4 => ("ipv4", "127.0.0.1"),
            Family::V6 => ("ipv6", "::1"),
        };
        let protocol = match way.protocol {
            Protocol::H1 | Protocol::H1Tls => "http/1.1",
            Protocol::H2c => "h2c",
            Protocol::H2 => "h2",
            Protocol::H3 => "h3",
        };
        let tls = match way.protocol.is_secure() {
            true => {
                r#"{"version":"TLSv1.3","cipherSuite":"TLS_AES_256_GCM_SHA384","keyExchangeGroup":"X25519MLKEM768","resumed":false}"#
            }
            false => "null",
        };
        let http3 = match way.protocol {
            Protocol::H3 => r#"{"used":true,"reason":"chosen"}"#,
            _ => r#"{"used":false,"reason":"offered_not_taken"}"#,
        };
        let expected = format!(
            r#"{{"client":{{"userAgent":null,"address":"{address}","family":"{family}"}},"endpoint":{{"apiVersion":"2026-11-01","env":"staging","protocol":"{protocol}"}},"tls":{tls},"roundTripTimeMs":,"http3":{http3}}}"#
        );
        for _ in 0..3 {
            let answer = client.ask(key.get(CONNECTION)).await;
            let (rest, time) = number(&answer.text(), "roundTripTimeMs");
            assert_eq!((answer.status.as_u16(), &rest), (200, &expected), "{way}");
            assert!(time > 0.0 && time < 5000.0, "{way}: {time} ms");
        }
    }
}

#[tokio::test]
async fn a_resumed_session_is_reported() {
    let gateway = TestGateway::start("").await;
    let key = gateway.create_key(KeySpec::staging()).await;
    for family in [Family::V4, Family::V6] {
        for (protocol, versions, group_again) in [
            (Protocol::H1Tls, NEWEST, json!("X25519MLKEM768")),
            (Protocol::H2, NEWEST, json!("X25519MLKEM768")),
            (Protocol::H3, NEWEST, json!("X25519MLKEM768")),
            // TLS 1.2 resumes without a new key exchange.
            (Protocol::H1Tls, OLDER, Value::Null),
            (Protocol::H2, OLDER, Value::Null),
        ] {
            let way = Way { protocol, family };
            let tls = tls(&gateway, protocol, versions, aws_lc_rs::default_provider());
            for round in 0..3 {
                let client = connect_with(&gateway, way, &tls).await;
                let body = response(&client, &key).await["tls"].clone();
                assert_eq!(body["resumed"], round > 0, "{way}, round {round}: {body}");
                if round > 0 {
                    assert_eq!(body["keyExchangeGroup"], group_again, "{way}: {body}");
                }
            }
        }
    }
}

#[tokio::test]
async fn version_suite_and_group_are_the_negotiated_ones() {
    let gateway = TestGateway::start("").await;
    let key = gateway.create_key(KeySpec::staging()).await;
    let provider = aws_lc_rs::default_provider;
    for protocol in [Protocol::H1Tls, Protocol::H2, Protocol::H3] {
        for (group, name) in [
            (kx_group::X25519MLKEM768, "X25519MLKEM768"),
            (kx_group::X25519, "x25519"),
            (kx_group::SECP256R1, "secp256r1"),
            (kx_group::SECP384R1, "secp384r1"),
        ] {
            let offers = CryptoProvider { kx_groups: vec![group], ..provider() };
            let tls = tls(&gateway, protocol, NEWEST, offers);
            let client = connect_with(&gateway, Way { protocol, family: Family::V4 }, &tls).await;
            let body = response(&client, &key).await["tls"].clone();
            assert_eq!(body["keyExchangeGroup"], name, "{protocol:?}: {body}");
            assert_eq!(body["resumed"], false, "{protocol:?}: {body}");
        }
    }
    let way = |protocol| Way { protocol, family: Family::V4 };
    for (protocol, versions, suite, version, name) in [
        (Protocol::H3, NEWEST, cipher_suite::TLS13_AES_128_GCM_SHA256, "TLSv1.3", "TLS_AES_128_GCM_SHA256"),
        (
            Protocol::H2,
            NEWEST,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
            "TLSv1.3",
            "TLS_CHACHA20_POLY1305_SHA256",
        ),
        (
            Protocol::H2,
            OLDER,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            "TLSv1.2",
            "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        ),
        (
            Protocol::H1Tls,
            OLDER,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
            "TLSv1.2",
            "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        ),
    ] {
        let offers = CryptoProvider { cipher_suites: vec![suite], ..provider() };
        let tls = tls(&gateway, protocol, versions, offers);
        let client = connect_with(&gateway, way(protocol), &tls).await;
        let body = response(&client, &key).await["tls"].clone();
        // TLS 1.2 does not use groups that only TLS 1.3 has.
        let group = if version == "TLSv1.2" { "x25519" } else { "X25519MLKEM768" };
        let expected =
            json!({ "version": version, "cipherSuite": name, "keyExchangeGroup": group, "resumed": false });
        assert_eq!(body, expected, "{protocol:?}");
    }
}

#[tokio::test]
async fn http3_without_a_listener_is_not_offered() {
    let gateway = TestGateway::start("[listeners.https]\nprotocols = [\"http1\", \"http2\"]").await;
    let key = gateway.create_key(KeySpec::staging()).await;
    for protocol in [Protocol::H1, Protocol::H1Tls, Protocol::H2c, Protocol::H2] {
        let client = Client::over(&gateway, protocol).await;
        let body = response(&client, &key).await;
        assert_eq!(body["http3"], json!({ "used": false, "reason": "not_offered" }), "{protocol:?}");
    }
}

#[tokio::test]
async fn behind_a_proxy_the_connection_is_that_of_the_proxy() {
    let trusts = "trusted_proxies = [\"127.0.0.0/8\"]";
    let gateway =
        TestGateway::start(&format!("[listeners.http]\n{trusts}\n[listeners.https]\n{trusts}")).await;
    let key = gateway.create_key(KeySpec::staging()).await;
    for way in WAYS {
        let client = connect(&gateway, way).await;
        let mut request = key.get(CONNECTION);
        request.headers_mut().insert("x-forwarded-for", "2001:db8::7".parse().unwrap());
        let body = client.ask(request).await.json();
        let used = way.protocol == Protocol::H3;
        let (address, reason) = match (way.family, used) {
            (Family::V4, _) => ("2001:db8::7", "behind_proxy"),
            (Family::V6, false) => ("::1", "offered_not_taken"),
            (Family::V6, true) => ("::1", "chosen"),
        };
        assert_eq!(body["client"]["address"], address, "{way}");
        assert_eq!(body["client"]["family"], "ipv6", "{way}");
        assert_eq!(body["http3"], json!({ "used": used, "reason": reason }), "{way}");
        assert_eq!(body["tls"].is_null(), !way.protocol.is_secure(), "{way}");
        assert!(body["roundTripTimeMs"].as_f64().is_some_and(|time| time > 0.0), "{way}: {body}");
    }
}

errors_of!(CONNECTION, "connection:read");
