//! Trusted proxies: which field of which proxy is trusted, and how a proxy's connections are limited.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request};
use tests::{Client, Key, KeySpec, Protocol, TestGateway, eventually};

use crate::contract::{CONNECTION, PING};

/// The address that `connection.json` reports for a request with these fields.
async fn reported(client: &Client, key: &Key, fields: &[(&'static str, &str)]) -> String {
    let mut request: Request<Bytes> = key.get(CONNECTION);
    for (name, value) in fields {
        request
            .headers_mut()
            .append(HeaderName::from_static(name), HeaderValue::from_str(value).expect("it is plain text"));
    }
    let answer = client.ask(request).await;
    assert_eq!(answer.status, 200, "{fields:?}: {answer:?}");
    let ips = answer.json()["client"]["ips"].clone();
    ips["ipv4"].as_str().or(ips["ipv6"].as_str()).expect("one of the two is there").to_owned()
}

#[tokio::test]
async fn only_the_field_that_the_proxy_writes_is_trusted() {
    let trusts = "trusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]\n";
    for (setting, believed, chain, other) in [
        ("", "x-forwarded-for", "192.0.2.66, 192.0.2.1, 10.1.1.1, 10.1.1.2", "forwarded"),
        (
            "forwarded_field = \"x-forwarded-for\"",
            "x-forwarded-for",
            "192.0.2.66, 192.0.2.1, 10.1.1.1, 10.1.1.2",
            "forwarded",
        ),
        (
            "forwarded_field = \"forwarded\"",
            "forwarded",
            "for=192.0.2.66, for=\"192.0.2.1:4711\";host=\"a, for=192.0.2.66\", for=10.1.1.1",
            "x-forwarded-for",
        ),
    ] {
        let options = format!("{trusts}{setting}\n");
        let overlay = format!("[listeners.http]\n{options}[listeners.https]\n{options}");
        let gateway = TestGateway::start(&overlay).await;
        let key = gateway.create_key(KeySpec::staging()).await;
        let spoof = if other == "forwarded" { "for=198.51.100.66" } else { "198.51.100.66" };
        for protocol in Protocol::ALL {
            let client = Client::over(&gateway, protocol).await;
            let context = format!("{protocol:?} with {setting:?}");
            assert_eq!(reported(&client, &key, &[(believed, chain)]).await, "192.0.2.1", "{context}");
            let both = [(other, spoof), (believed, chain)];
            assert_eq!(reported(&client, &key, &both).await, "192.0.2.1", "{context}");
            assert_eq!(reported(&client, &key, &[(other, spoof)]).await, "127.0.0.1", "{context}: alone");
            for malformed in ["", "unknown", "for=", "for=\"192.0.2.1", "a;b=c,\"", "300.1.1.1", "::g"] {
                let fields = [(other, spoof), (believed, malformed)];
                assert_eq!(reported(&client, &key, &fields).await, "127.0.0.1", "{context}: {malformed:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_trusted_proxy_has_more_connections_than_one_address_but_not_more_than_all() {
    let overlay = "[limits]\nconnections_per_address_max = 2\nconnections_max = 5\n\
                   [listeners.http]\ntrusted_proxies = [\"127.0.0.1\"]";
    let gateway = TestGateway::start(overlay).await;
    let key = gateway.create_key(KeySpec::staging()).await;
    let mut open = Vec::new();
    for number in 0..5 {
        let client = Client::over(&gateway, Protocol::H1).await;
        assert_eq!(client.ask(key.get(PING)).await.status, 200, "connection {number}");
        open.push(client);
    }
    let refused = "gateway_connections_refused_total{reason=\"connections_max\"}";
    assert_eq!(gateway.metric(refused).await, Some(0.0));
    let mut sixth = tests::Raw::connect(gateway.address(Protocol::H1)).await;
    assert!(sixth.read_to_end(tests::PATIENCE).await.is_empty(), "the total bound holds");
    assert_eq!(gateway.metric(refused).await, Some(1.0));
    // A peer that is not a proxy of that listener has the usual limit.
    drop(open);
    let idle = eventually(tests::PATIENCE, async || {
        (gateway.metric("gateway_connections").await == Some(0.0)).then_some(())
    });
    assert!(idle.await.is_some(), "the others are gone");
    let _kept = [
        tests::Raw::connect(gateway.address(Protocol::H1Tls)).await,
        tests::Raw::connect(gateway.address(Protocol::H1Tls)).await,
    ];
    let counted = eventually(tests::PATIENCE, async || {
        (gateway.metric("gateway_connections").await == Some(2.0)).then_some(())
    });
    assert!(counted.await.is_some(), "two are open");
    let mut third = tests::Raw::connect(gateway.address(Protocol::H1Tls)).await;
    assert!(third.read_to_end(tests::PATIENCE).await.is_empty(), "no third one of one address");
}
