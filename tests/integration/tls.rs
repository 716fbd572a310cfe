//! TLS with old and new clients: versions, key exchange, resumption, no early data; and the expiry of
//! certificates.

use std::sync::Arc;

use quinn::crypto::rustls::QuicClientConfig;
use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, NamedGroup, ProtocolVersion, SupportedProtocolVersion, version};
use tests::{Family, PATIENCE, Protocol, Raw, TestGateway, answers};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// The result of a handshake.
#[derive(Debug)]
struct Agreed {
    version: Option<ProtocolVersion>,
    group: Option<NamedGroup>,
    kind: Option<HandshakeKind>,
    alpn: Option<Vec<u8>>,
}

/// A client with these versions and protocols.
fn client(
    gateway: &TestGateway,
    versions: &[&'static SupportedProtocolVersion],
    alpn: &[&[u8]],
) -> Arc<ClientConfig> {
    let base = tests::tls(&gateway.ready().ca, b"http/1.1").expect("the CA's file is readable");
    let mut config = ClientConfig::builder_with_provider(Arc::clone(base.crypto_provider()))
        .with_protocol_versions(versions)
        .expect("the provider supports them")
        .with_webpki_verifier(verifier(gateway))
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    config.enable_early_data = true;
    Arc::new(config)
}

/// The verifier for the gateway's local authority.
fn verifier(gateway: &TestGateway) -> Arc<WebPkiServerVerifier> {
    let mut roots = rustls::RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(&gateway.ready().ca).expect("the CA's file is readable");
    roots.add(certificate).expect("it is a certificate");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().expect("there is a root")
}

/// Connects, and reads a response so that session tickets have arrived.
async fn shake_hands(gateway: &TestGateway, config: &Arc<ClientConfig>) -> std::io::Result<Agreed> {
    let stream = TcpStream::connect(gateway.address(Protocol::H1Tls)).await?;
    let name = ServerName::try_from("localhost").expect("it is a name");
    let mut stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await?;
    let agreed = {
        let (_, session) = stream.get_ref();
        assert!(!session.is_early_data_accepted(), "early data is never taken");
        Agreed {
            version: session.protocol_version(),
            group: session.negotiated_key_exchange_group().map(|group| group.name()),
            kind: session.handshake_kind(),
            alpn: session.alpn_protocol().map(<[u8]>::to_vec),
        }
    };
    if agreed.alpn.as_deref() != Some(b"h2") {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        assert!(answer.starts_with(b"HTTP/1.1 401"), "{}", String::from_utf8_lossy(&answer));
    }
    Ok(agreed)
}

#[tokio::test]
async fn the_newest_version_and_the_hybrid_key_exchange_are_preferred() {
    let gateway = TestGateway::start("").await;
    let config = client(&gateway, &[&version::TLS13, &version::TLS12], &[b"http/1.1"]);
    let agreed = shake_hands(&gateway, &config).await.unwrap();
    assert_eq!(agreed.version, Some(ProtocolVersion::TLSv1_3));
    assert_eq!(agreed.group, Some(NamedGroup::X25519MLKEM768));
    assert_eq!(agreed.kind, Some(HandshakeKind::Full));
}

#[tokio::test]
async fn http_2_is_chosen_if_a_client_offers_both() {
    let gateway = TestGateway::start("").await;
    for (offered, chosen) in
        [(&[&b"http/1.1"[..], b"h2"][..], Some(&b"h2"[..])), (&[b"http/1.1"], Some(b"http/1.1")), (&[], None)]
    {
        let config = client(&gateway, &[&version::TLS13], offered);
        let agreed = shake_hands(&gateway, &config).await.unwrap();
        assert_eq!(agreed.alpn.as_deref(), chosen);
    }
}

#[tokio::test]
async fn tls_1_2_is_served_unless_the_configuration_says_otherwise() {
    let gateway = TestGateway::start("").await;
    let config = client(&gateway, &[&version::TLS12], &[b"http/1.1"]);
    assert_eq!(shake_hands(&gateway, &config).await.unwrap().version, Some(ProtocolVersion::TLSv1_2));

    let strict = TestGateway::start("[tls]\nminimum_version = \"1.3\"").await;
    let config = client(&strict, &[&version::TLS12], &[b"http/1.1"]);
    let refused = shake_hands(&strict, &config).await.unwrap_err();
    assert!(refused.to_string().contains("ProtocolVersion"), "{refused}");
}

#[tokio::test]
async fn a_returning_client_resumes_on_any_worker() {
    let gateway = TestGateway::start("[runtime]\nworkers = 2").await;
    for versions in [&[&version::TLS13], &[&version::TLS12]] {
        let config = client(&gateway, versions, &[b"http/1.1"]);
        assert_eq!(shake_hands(&gateway, &config).await.unwrap().kind, Some(HandshakeKind::Full));
        for round in 0..8 {
            let agreed = shake_hands(&gateway, &config).await.unwrap();
            assert_eq!(agreed.kind, Some(HandshakeKind::Resumed), "round {round}: {agreed:?}");
        }
    }
}

#[tokio::test]
async fn quic_offers_no_early_data_to_a_returning_client() {
    let gateway = TestGateway::start("").await;
    let mut config = tests::tls(&gateway.ready().ca, b"h3").expect("the CA's file is readable");
    config.enable_early_data = true;
    let config =
        quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(config).expect("TLS 1.3 is there")));
    let mut endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    endpoint.set_default_client_config(config);
    let address = gateway.address(Protocol::H3);
    let first = endpoint.connect(address, "localhost").unwrap().await.unwrap();
    // The ticket comes after the handshake, with the server's first stream.
    drop(first.accept_uni().await.unwrap());
    first.close(0_u32.into(), b"");
    let again = endpoint.connect(address, "localhost").unwrap();
    let Err(again) = again.into_0rtt() else { panic!("no early data is offered by the ticket") };
    let again = again.await.unwrap();
    let data = again.handshake_data().unwrap().downcast::<quinn::crypto::rustls::HandshakeData>().unwrap();
    assert_eq!(data.protocol.as_deref(), Some(&b"h3"[..]));
}

#[tokio::test]
async fn the_expiry_of_each_certificate_is_a_gauge() {
    let gateway = TestGateway::start("").await;
    let series = "gateway_certificate_not_after_timestamp_seconds{certificate=\"local\"}";
    let end = tests::eventually(PATIENCE, async || gateway.metric(series).await).await;
    let days = (end.expect("it is exported") - tests::now().as_second() as f64) / 86_400.0;
    assert!((395.0..398.0).contains(&days), "{days} days");
}

#[tokio::test]
async fn a_risky_configuration_is_logged_at_the_start_and_by_a_reload() {
    let mut gateway = TestGateway::start("[listeners.http]\ntrusted_proxies = [\"0.0.0.0/0\"]").await;
    let warned =
        |gateway: &TestGateway| gateway.log().matches("`listeners.http.trusted_proxies` has").count();
    assert_eq!(warned(&gateway), 1, "{}", gateway.log());
    gateway
        .settings_mut()
        .write_config("[listeners.http]\ntrusted_proxies = [\"0.0.0.0/0\"]\n[log]\nlevel = \"warn\"");
    gateway.signal(rustix::process::Signal::HUP);
    let again = tests::eventually(PATIENCE, async || (warned(&gateway) == 2).then_some(())).await;
    assert!(again.is_some(), "{}", gateway.log());
}

#[tokio::test]
async fn clients_cannot_make_libraries_log() {
    let gateway = TestGateway::start("").await;
    for bytes in [&b"\x16\x03\x01\x00\x05hello"[..], b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", b"\0\0\0"] {
        let mut stream = TcpStream::connect(gateway.address(Protocol::H1Tls)).await.expect("it accepts");
        stream.write_all(bytes).await.expect("it reads");
        stream.shutdown().await.expect("it is open");
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
    let udp = tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("a port is free");
    udp.send_to(&[0xc0; 1200], gateway.address(Protocol::H3)).await.expect("it is sent");
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    for line in gateway.log_lines() {
        let target = line["target"].as_str().unwrap_or_default();
        assert!(target.is_empty() || target.starts_with("gateway") || target == "access", "{line}");
    }
}

#[tokio::test]
async fn http_in_cleartext_on_a_tls_port_gets_a_400_that_says_so() {
    let docs = "[listeners.docs]\ncertificate = \"local\"";
    let gateway = TestGateway::start(docs).await;
    let long = format!("GET /{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "a".repeat(100_000));
    for (listener, kind) in [("https", "application/problem+json"), ("docs", "text/html; charset=utf-8")] {
        for request in [
            "GET /2026-02-01/ping.json HTTP/1.1\r\nhost: localhost\r\n\r\n",
            "POST / HTTP/1.0\r\ncontent-length: 5\r\n\r\nhello",
            "GET / HTTP/1.1\r\nhost: localhost\r\n\r\nGET / HTTP/1.1\r\nhost: localhost\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "OPTIONS ",
            &long,
        ] {
            let mut raw = Raw::connect(gateway.listener(listener, Family::V4).address).await;
            assert!(raw.write(request.as_bytes()).await);
            let answers = answers(&raw.read_to_end(PATIENCE).await);
            let [answer] = &answers[..] else { panic!("one answer to {request:.40}: {answers:?}") };
            assert_eq!((answer.status, answer.complete), (400, true), "{request:.40}");
            assert_eq!(answer.field("content-type"), Some(kind), "{request:.40}");
            assert_eq!(answer.field("connection"), Some("close"), "{request:.40}");
            assert!(answer.text().contains("This port speaks TLS"), "{}", answer.text());
        }
    }
    // Other bytes are not answered with text, but with an alert of TLS (RFC 8446 §6) or nothing.
    for garbage in [&b"SSH-2.0-OpenSSH_9.9\r\n"[..], b"get / HTTP/1.1\r\n\r\n", b"\0\0\0\0\0\0\0\0"] {
        let mut raw = Raw::connect(gateway.address(Protocol::H1Tls)).await;
        raw.write(garbage).await;
        let received = raw.read_to_end(PATIENCE).await;
        assert!(received.len() <= 7 && received.first().is_none_or(|byte| *byte == 21), "{received:?}");
    }
    // The certificate's listener goes on as before.
    let config = client(&gateway, &[&version::TLS13], &[b"http/1.1"]);
    shake_hands(&gateway, &config).await.unwrap();
}
