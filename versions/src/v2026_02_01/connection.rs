//! `GET /2026-02-01/connection.json`: how the caller's connection reaches the API.

use std::net::{Ipv4Addr, Ipv6Addr};

use http::Method;
use permissions::{ApiAccessPermission, Environment};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{Empty, Endpoint, Protocol, Version};

/// Returns metadata of the caller's connection.
pub struct Connection;

/// The client and the endpoint that it reached.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ConnectionResponse {
    /// The client.
    pub client: ClientInfo,
    /// The endpoint that it reached.
    pub endpoint: EndpointInfo,
}

/// The client, as the gateway sees it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientInfo {
    /// The `User-Agent` header, or null if the request had none.
    pub user_agent: Option<String>,
    /// The client's IP address. Behind a trusted proxy, the address that the proxy reports.
    #[schemars(with = "AddressSchema")]
    pub ips: ClientAddress,
}

/// The client's IP address, under the name of its family.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientAddress {
    /// The client connected over IPv4.
    Ipv4(Ipv4Addr),
    /// The client connected over IPv6.
    Ipv6(Ipv6Addr),
}

/// The client's IP address: one of the two fields.
#[derive(JsonSchema)]
#[schemars(rename = "ClientAddress", extend("minProperties" = 1, "maxProperties" = 1))]
#[expect(dead_code, reason = "only its schema is used: generated clients read two optional fields best")]
struct AddressSchema {
    /// The address, if the client connected over IPv4.
    #[schemars(with = "String", extend("format" = "ipv4"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    ipv4: Option<Ipv4Addr>,
    /// The address, if the client connected over IPv6.
    #[schemars(with = "String", extend("format" = "ipv6"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    ipv6: Option<Ipv6Addr>,
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
    #[schemars(extend("enum" = ["HTTP1.0", "HTTP1.1", "HTTP2", "HTTP3"]))]
    pub protocol: &'static str,
}

impl Endpoint for Connection {
    const NAME: &'static str = "connection";
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/connection.json";
    const PERMISSION: ApiAccessPermission = ApiAccessPermission::CONNECTION_READ;
    const SUMMARY: &'static str = "Get your IP address, your user agent and the protocol of your request.";
    const SAFE: bool = true;

    type Request = Empty;
    type Response = ConnectionResponse;

    fn example() -> ConnectionResponse {
        ConnectionResponse {
            client: ClientInfo {
                user_agent: Some("axios/1.6.0".to_owned()),
                ips: ClientAddress::Ipv4(Ipv4Addr::new(192, 168, 1, 1)),
            },
            endpoint: EndpointInfo {
                api_version: super::RELEASE.version,
                env: Environment::Production,
                protocol: Protocol::Http3.name(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderMap, HeaderValue, header};

    use super::*;
    use crate::context::tests::{Still, context};
    use crate::{Handler as _, Instant};

    fn answer(client: &str, user_agent: Option<&[u8]>) -> String {
        let services = Still::new(Instant::now());
        let mut headers = HeaderMap::new();
        if let Some(value) = user_agent {
            headers.insert(header::USER_AGENT, HeaderValue::from_bytes(value).unwrap());
        }
        let mut context = context(&services, &headers, Duration::ZERO);
        context.client = client.parse().unwrap();
        let answer =
            futures_util::FutureExt::now_or_never(Connection::handle(&context, Empty {})).unwrap().unwrap();
        serde_json::to_string(&answer).unwrap()
    }

    #[test]
    fn the_example_is_the_documented_body() {
        assert_eq!(
            serde_json::to_string(&Connection::example()).unwrap(),
            "{\"client\":{\"userAgent\":\"axios/1.6.0\",\"ips\":{\"ipv4\":\"192.168.1.1\"}},\
             \"endpoint\":{\"apiVersion\":\"2026-02-01\",\"env\":\"production\",\"protocol\":\"HTTP3\"}}"
        );
    }

    #[test]
    fn the_field_is_named_after_the_address_family() {
        for (client, expected) in [
            ("192.0.2.7", r#"{"ipv4":"192.0.2.7"}"#),
            ("::ffff:192.0.2.7", r#"{"ipv4":"192.0.2.7"}"#),
            ("2001:db8::7", r#"{"ipv6":"2001:db8::7"}"#),
        ] {
            assert!(answer(client, None).contains(expected), "{}", answer(client, None));
        }
    }

    #[test]
    fn a_user_agent_cannot_leave_its_string() {
        for (sent, expected) in [
            (None, "null"),
            (Some(b"a\"},\"x\":\"b\\".as_slice()), r#""a\"},\"x\":\"b\\""#),
            (Some(b"caf\xe9".as_slice()), "\"caf\u{e9}\""),
            (Some("caf\u{e9}".as_bytes()), "\"caf\u{e9}\""),
        ] {
            let expected = format!("{{\"client\":{{\"userAgent\":{expected},");
            assert!(answer("192.0.2.7", sent).starts_with(&expected), "{}", answer("192.0.2.7", sent));
        }
    }
}
