//! `GET /2026-11-01/connection.json`: how the caller's connection arrived, with all that is known of it.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use http::{Method, header};
use permissions::{ApiAccessPermission, Environment};
use schemars::JsonSchema;
use serde::Serialize;

use super::ping::Milliseconds;
use crate::v2026_02_01::connection as before;
use crate::{Change, Context, Empty, Endpoint, Error, Handler, Protocol, Tls, Version};

/// Shows what the gateway knows of the caller's connection.
pub struct Connection;

/// The caller, the endpoint that it reached, and the connection between them.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// The caller.
    pub client: Client,
    /// What it reached.
    pub endpoint: Reached,
    /// The encryption of the connection that the request came by; null in cleartext.
    pub tls: Option<Tls>,
    /// The transport's own estimate of the time to the other end of the connection and back, in
    /// milliseconds (QUIC, RFC 9002 §5; TCP's smoothed round-trip time); null where it has none.
    #[serde(rename = "roundTripTimeMs")]
    pub round_trip_time: Option<Milliseconds>,
    /// Whether HTTP/3 was used, and why.
    pub http3: Http3,
}

/// The caller, as the gateway sees it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Client {
    /// The `User-Agent` that was sent, or null.
    pub user_agent: Option<String>,
    /// The address that the request came from; behind a trusted proxy, the one that it reports.
    #[schemars(with = "String")]
    pub address: IpAddr,
    /// The family of the address.
    pub family: Family,
}

/// A family of addresses.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4, also where it came mapped into IPv6.
    Ipv4,
    /// IPv6.
    Ipv6,
}

/// What the caller reached.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reached {
    /// The date of this answer's form.
    pub api_version: Version,
    /// The key's environment.
    pub env: Environment,
    /// The protocol that the request came by.
    pub protocol: Alpn,
}

/// A protocol by its name in ALPN (RFC 7301, the registry of TLS ALPN protocol ids).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub enum Alpn {
    /// HTTP/1.0.
    #[serde(rename = "http/1.0")]
    Http10,
    /// HTTP/1.1.
    #[serde(rename = "http/1.1")]
    Http11,
    /// HTTP/2 over TLS.
    #[serde(rename = "h2")]
    H2,
    /// HTTP/2 in cleartext.
    #[serde(rename = "h2c")]
    H2c,
    /// HTTP/3.
    #[serde(rename = "h3")]
    H3,
}

impl Alpn {
    const fn new(protocol: Protocol, encrypted: bool) -> Self {
        match protocol {
            Protocol::Http10 => Self::Http10,
            Protocol::Http11 => Self::Http11,
            Protocol::Http2 if encrypted => Self::H2,
            Protocol::Http2 => Self::H2c,
            Protocol::Http3 => Self::H3,
        }
    }

    const fn protocol(self) -> Protocol {
        match self {
            Self::Http10 => Protocol::Http10,
            Self::Http11 => Protocol::Http11,
            Self::H2 | Self::H2c => Protocol::Http2,
            Self::H3 => Protocol::Http3,
        }
    }
}

/// Whether HTTP/3 was used, and why.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Http3 {
    /// Whether the request came over HTTP/3.
    pub used: bool,
    /// Why, or why not.
    pub reason: Http3Reason,
}

/// Why HTTP/3 was used, or was not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Http3Reason {
    /// The client chose it.
    Chosen,
    /// Answers announce it in `alt-svc`, and the client stayed with TCP: it does not speak HTTP/3, did not
    /// follow yet, or its UDP does not get through.
    OfferedNotTaken,
    /// It is not offered at the place that the request came to.
    NotOffered,
    /// A proxy stands between: the connection that is described here is the proxy's.
    BehindProxy,
}

impl Endpoint for Connection {
    const NAME: &'static str = "connection";
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/connection.json";
    const PERMISSION: ApiAccessPermission = ApiAccessPermission::CONNECTION_READ;
    const SUMMARY: &'static str = "Read your address, your client, and the protocol, encryption and round-trip time of your connection.";
    const SAFE: bool = true;

    type Request = Empty;
    type Response = Metadata;

    fn example() -> Metadata {
        Metadata {
            client: Client {
                user_agent: Some("axios/1.6.0".to_owned()),
                address: Ipv4Addr::new(192, 168, 1, 1).into(),
                family: Family::Ipv4,
            },
            endpoint: Reached {
                api_version: super::RELEASE.version,
                env: Environment::Production,
                protocol: Alpn::H3,
            },
            tls: Some(Tls {
                version: "TLSv1.3",
                cipher_suite: "TLS_AES_256_GCM_SHA384",
                key_exchange_group: Some("X25519MLKEM768"),
                resumed: false,
            }),
            round_trip_time: Some(Milliseconds(Duration::from_micros(12_400))),
            http3: Http3 { used: true, reason: Http3Reason::Chosen },
        }
    }
}

impl Handler for Connection {
    async fn handle(context: &Context<'_>, _: Empty) -> Result<Metadata, Error> {
        let connection = context.connection;
        let tls = connection.tls();
        let address = context.client.to_canonical();
        let used = context.protocol == Protocol::Http3;
        // Asking takes a call of the kernel: the answer of the date before has no place for it.
        let asks = context.version >= super::RELEASE.version;
        let round_trip_time = if asks { connection.round_trip_time() } else { None };
        Ok(Metadata {
            client: Client {
                user_agent: context.headers.get(header::USER_AGENT).map(|value| text(value.as_bytes())),
                address,
                family: if address.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 },
            },
            endpoint: Reached {
                api_version: context.version,
                env: context.caller.environment,
                protocol: Alpn::new(context.protocol, tls.is_some()),
            },
            tls,
            round_trip_time: round_trip_time.map(Milliseconds),
            http3: Http3 {
                used,
                reason: if connection.is_proxy() {
                    Http3Reason::BehindProxy
                } else if used {
                    Http3Reason::Chosen
                } else if connection.offers_http3() {
                    Http3Reason::OfferedNotTaken
                } else {
                    Http3Reason::NotOffered
                },
            },
        })
    }
}

impl Change for Connection {
    type Before = before::Connection;
    const NOTE: &'static str = "`client.ips` became `client.address` and `client.family`; \
                                `endpoint.protocol` is the name in ALPN (`h3` for `HTTP3`); \
                                `tls`, `roundTripTimeMs` and `http3` are new.";

    fn up(request: Empty) -> Result<Empty, Error> {
        Ok(request)
    }

    fn down(_: &Context<'_>, response: Metadata) -> before::Metadata {
        let Metadata { client, endpoint, .. } = response;
        before::Metadata {
            client: before::Client {
                user_agent: client.user_agent,
                ips: match client.address {
                    IpAddr::V4(address) => before::Addresses::Ipv4(address),
                    IpAddr::V6(address) => before::Addresses::Ipv6(address),
                },
            },
            endpoint: before::Reached {
                api_version: endpoint.api_version,
                env: endpoint.env,
                protocol: endpoint.protocol.protocol().name(),
            },
        }
    }
}

/// A field's value as text: UTF-8 where it is that, else Latin-1, as fields once were (RFC 9110 §5.5).
fn text(value: &[u8]) -> String {
    match std::str::from_utf8(value) {
        Ok(text) => text.to_owned(),
        Err(_) => value.iter().copied().map(char::from).collect(),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use http::HeaderMap;

    use super::*;
    use crate::Instant;
    use crate::context::tests::{Plain, Still, context};

    fn answer(client: &str, protocol: Protocol, connection: &Plain) -> serde_json::Value {
        let services = Still::new(Instant::now());
        let headers = HeaderMap::new();
        let mut context = context(&services, &headers, Duration::ZERO);
        context.version = super::super::RELEASE.version;
        context.client = client.parse().unwrap();
        context.protocol = protocol;
        context.connection = connection;
        let answer = Connection::handle(&context, Empty {}).now_or_never().unwrap().unwrap();
        serde_json::to_value(&answer).unwrap()
    }

    #[test]
    fn the_example_is_the_documented_body() {
        assert_eq!(
            serde_json::to_string(&Connection::example()).unwrap(),
            "{\"client\":{\"userAgent\":\"axios/1.6.0\",\"address\":\"192.168.1.1\",\"family\":\"ipv4\"},\
             \"endpoint\":{\"apiVersion\":\"2026-11-01\",\"env\":\"production\",\"protocol\":\"h3\"},\
             \"tls\":{\"version\":\"TLSv1.3\",\"cipherSuite\":\"TLS_AES_256_GCM_SHA384\",\
             \"keyExchangeGroup\":\"X25519MLKEM768\",\"resumed\":false},\"roundTripTimeMs\":12.4,\
             \"http3\":{\"used\":true,\"reason\":\"chosen\"}}"
        );
    }

    #[test]
    fn the_address_tells_its_family() {
        for (client, address, family) in [
            ("192.0.2.7", "192.0.2.7", "ipv4"),
            ("::ffff:192.0.2.7", "192.0.2.7", "ipv4"),
            ("2001:db8::7", "2001:db8::7", "ipv6"),
        ] {
            let answer = answer(client, Protocol::Http2, &Plain::default());
            assert_eq!(
                (&answer["client"]["address"], &answer["client"]["family"]),
                (&address.into(), &family.into())
            );
        }
    }

    #[test]
    fn the_protocol_has_its_name_in_alpn() {
        let encrypted = Plain { tls: Connection::example().tls, ..Plain::default() };
        for (protocol, clear, tls) in [
            (Protocol::Http10, "http/1.0", "http/1.0"),
            (Protocol::Http11, "http/1.1", "http/1.1"),
            (Protocol::Http2, "h2c", "h2"),
            (Protocol::Http3, "h3", "h3"),
        ] {
            assert_eq!(answer("192.0.2.7", protocol, &Plain::default())["endpoint"]["protocol"], clear);
            assert_eq!(answer("192.0.2.7", protocol, &encrypted)["endpoint"]["protocol"], tls);
            assert_eq!(Alpn::new(protocol, true).protocol(), protocol);
            assert_eq!(Alpn::new(protocol, false).protocol(), protocol);
        }
    }

    #[test]
    fn the_round_trip_time_is_in_milliseconds_or_null() {
        for (time, shown) in [
            (Some(Duration::from_nanos(12_400_999)), serde_json::json!(12.4)),
            (None, serde_json::Value::Null),
        ] {
            let connection = Plain { round_trip_time: time, ..Plain::default() };
            assert_eq!(answer("192.0.2.7", Protocol::Http2, &connection)["roundTripTimeMs"], shown);
        }
    }

    #[test]
    fn the_date_before_does_not_ask_for_the_round_trip_time() {
        let (services, headers) = (Still::new(Instant::now()), HeaderMap::new());
        let connection = Plain { round_trip_time: Some(Duration::from_millis(1)), ..Plain::default() };
        let mut context = context(&services, &headers, Duration::ZERO);
        context.connection = &connection;
        for (version, asked) in
            [(crate::v2026_02_01::RELEASE.version, false), (super::super::RELEASE.version, true)]
        {
            context.version = version;
            let answer = Connection::handle(&context, Empty {}).now_or_never().unwrap().unwrap();
            assert_eq!(answer.round_trip_time.is_some(), asked, "{version}");
        }
    }

    #[test]
    fn the_use_of_http3_is_explained() {
        let offers = Plain { offers_http3: true, ..Plain::default() };
        let proxy = Plain { is_proxy: true, ..Plain::default() };
        for (protocol, connection, used, reason) in [
            (Protocol::Http3, &offers, true, "chosen"),
            (Protocol::Http2, &offers, false, "offered_not_taken"),
            (Protocol::Http11, &Plain::default(), false, "not_offered"),
            (Protocol::Http11, &proxy, false, "behind_proxy"),
        ] {
            let http3 = &answer("192.0.2.7", protocol, connection)["http3"];
            assert_eq!((&http3["used"], &http3["reason"]), (&used.into(), &reason.into()));
        }
    }
}
