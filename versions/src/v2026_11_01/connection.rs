//! `GET /2026-11-01/connection.json`: how the caller's connection reaches the API, with encryption and round-trip time.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use http::{Method, header};
use permissions::{ApiAccessPermission, Environment};
use schemars::JsonSchema;
use serde::Serialize;

use super::ping::Milliseconds;
use crate::v2026_02_01::connection as before;
use crate::{Change, Context, Empty, Endpoint, Error, Handler, Protocol, Tls, Version, successor};

/// Returns metadata of the caller's connection.
pub struct Connection;

/// The client, the endpoint that it reached, and the connection between them.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionResponse {
    /// The client.
    pub client: ClientInfo,
    /// The endpoint that it reached.
    pub endpoint: EndpointInfo,
    /// The encryption of the connection; null for cleartext.
    pub tls: Option<Tls>,
    /// The round-trip time of the connection in milliseconds, as estimated by QUIC (RFC 9002 §5) or TCP (smoothed);
    /// null if there is no estimate.
    #[serde(rename = "roundTripTimeMs")]
    pub round_trip_time: Option<Milliseconds>,
    /// Whether the request used HTTP/3, and why.
    pub http3: Http3Use,
}

/// The client, as the gateway sees it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientInfo {
    /// The `User-Agent` header, or null if the request had none.
    pub user_agent: Option<String>,
    /// The client's IP address. Behind a trusted proxy, the address that the proxy reports.
    #[schemars(with = "String")]
    pub address: IpAddr,
    /// The family of the IP address.
    pub family: AddressFamily,
}

/// An IP address family.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AddressFamily {
    /// IPv4, including IPv4-mapped IPv6 addresses.
    Ipv4,
    /// IPv6.
    Ipv6,
}

/// The endpoint that the client reached.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointInfo {
    /// The version of the response.
    pub api_version: Version,
    /// The environment of your key.
    pub env: Environment,
    /// The protocol of the request.
    pub protocol: AlpnProtocol,
}

/// A protocol, by its ALPN id (RFC 7301 and its IANA registry).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub enum AlpnProtocol {
    /// HTTP/1.0.
    #[serde(rename = "http/1.0")]
    Http10,
    /// HTTP/1.1.
    #[serde(rename = "http/1.1")]
    Http11,
    /// HTTP/2 over TLS.
    #[serde(rename = "h2")]
    H2,
    /// HTTP/2 over cleartext TCP.
    #[serde(rename = "h2c")]
    H2c,
    /// HTTP/3.
    #[serde(rename = "h3")]
    H3,
}

impl AlpnProtocol {
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

/// Whether the request used HTTP/3, and why.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Http3Use {
    /// Whether the request used HTTP/3.
    pub used: bool,
    /// The reason.
    pub reason: Http3Reason,
}

/// Why the request did or did not use HTTP/3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Http3Reason {
    /// The client chose HTTP/3.
    Chosen,
    /// Responses advertise HTTP/3 in `alt-svc`, but the client used TCP: it does not support HTTP/3, has not switched
    /// yet, or cannot send UDP.
    OfferedNotTaken,
    /// HTTP/3 is not available at this address.
    NotOffered,
    /// The request came through a proxy, whose connection this is.
    BehindProxy,
}

impl Endpoint for Connection {
    const NAME: &'static str = "connection";
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/connection.json";
    const PERMISSION: ApiAccessPermission = ApiAccessPermission::CONNECTION_READ;
    const SUMMARY: &'static str = "Get your IP address and user agent, and the protocol, encryption and round-trip time of your connection.";
    const SAFE: bool = true;

    type Request = Empty;
    type Response = ConnectionResponse;

    fn example() -> ConnectionResponse {
        ConnectionResponse {
            client: ClientInfo {
                user_agent: Some("axios/1.6.0".to_owned()),
                address: Ipv4Addr::new(192, 168, 1, 1).into(),
                family: AddressFamily::Ipv4,
            },
            endpoint: EndpointInfo {
                api_version: super::RELEASE.version,
                env: Environment::Production,
                protocol: AlpnProtocol::H3,
            },
            tls: Some(Tls {
                version: "TLSv1.3",
                cipher_suite: "TLS_AES_256_GCM_SHA384",
                key_exchange_group: Some("X25519MLKEM768"),
                resumed: false,
            }),
            round_trip_time: Some(Milliseconds(Duration::from_micros(12_400))),
            http3: Http3Use { used: true, reason: Http3Reason::Chosen },
        }
    }
}

impl Handler for Connection {
    async fn handle(context: &Context<'_>, _: Empty) -> Result<ConnectionResponse, Error> {
        let connection = context.connection;
        let tls = connection.tls();
        let address = context.client.to_canonical();
        let used = context.protocol == Protocol::Http3;
        // A system call, which the response of the older version has no field for.
        let has_field = context.version >= super::RELEASE.version;
        let round_trip_time = if has_field { connection.round_trip_time() } else { None };
        Ok(ConnectionResponse {
            client: ClientInfo {
                user_agent: context.headers.get(header::USER_AGENT).map(|value| text(value.as_bytes())),
                address,
                family: if address.is_ipv4() { AddressFamily::Ipv4 } else { AddressFamily::Ipv6 },
            },
            endpoint: EndpointInfo {
                api_version: context.version,
                env: context.caller.environment,
                protocol: AlpnProtocol::new(context.protocol, tls.is_some()),
            },
            tls,
            round_trip_time: round_trip_time.map(Milliseconds),
            http3: Http3Use {
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
    const NOTE: &'static str = "`client.ips` is replaced by `client.address` and `client.family`; \
                                `endpoint.protocol` is now the ALPN id (`h3` instead of `HTTP3`); \
                                `tls`, `roundTripTimeMs` and `http3` are new.";

    fn up(request: Empty) -> Result<Empty, Error> {
        Ok(request)
    }

    fn down(_: &Context<'_>, response: ConnectionResponse) -> before::ConnectionResponse {
        let ConnectionResponse { client, endpoint, .. } = response;
        before::ConnectionResponse {
            client: before::ClientInfo {
                user_agent: client.user_agent,
                ips: match client.address {
                    IpAddr::V4(address) => before::ClientAddress::Ipv4(address),
                    IpAddr::V6(address) => before::ClientAddress::Ipv6(address),
                },
            },
            endpoint: before::EndpointInfo {
                api_version: endpoint.api_version,
                env: endpoint.env,
                protocol: endpoint.protocol.protocol().name(),
            },
        }
    }
}

impl Handler for before::Connection {
    async fn handle(context: &Context<'_>, request: Empty) -> Result<before::ConnectionResponse, Error> {
        successor::<Connection>(context, request).await
    }
}

/// A header value as text: UTF-8 if it is valid, otherwise Latin-1 (RFC 9110 §5.5).
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
    fn the_address_has_its_family() {
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
            assert_eq!(AlpnProtocol::new(protocol, true).protocol(), protocol);
            assert_eq!(AlpnProtocol::new(protocol, false).protocol(), protocol);
        }
    }

    #[test]
    fn the_round_trip_time_is_in_milliseconds_or_null() {
        for (time, expected) in [
            (Some(Duration::from_nanos(12_400_999)), serde_json::json!(12.4)),
            (None, serde_json::Value::Null),
        ] {
            let connection = Plain { round_trip_time: time, ..Plain::default() };
            assert_eq!(answer("192.0.2.7", Protocol::Http2, &connection)["roundTripTimeMs"], expected);
        }
    }

    #[test]
    fn the_older_version_does_not_measure_the_round_trip_time() {
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
