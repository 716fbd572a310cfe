//! `GET /2026-02-01/connection.json`: how the caller's connection arrived.

use std::net::{Ipv4Addr, Ipv6Addr};

use http::Method;
use permissions::{ApiAccessPermission, Environment};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{Context, Empty, Endpoint, Error, Handler, Protocol, Version, successor, v2026_11_01};

/// Shows what the gateway knows of the caller's connection.
pub struct Connection;

/// The caller and the endpoint that it reached.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Metadata {
    /// The caller.
    pub client: Client,
    /// What it reached.
    pub endpoint: Reached,
}

/// The caller, as the gateway sees it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Client {
    /// The `User-Agent` that was sent, or null.
    pub user_agent: Option<String>,
    /// The address that the request came from, under its family's name.
    pub ips: Addresses,
}

/// One address, under the name of the family that the client came by.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Addresses {
    /// The client came by IPv4.
    Ipv4(#[schemars(with = "String", extend("format" = "ipv4"))] Ipv4Addr),
    /// The client came by IPv6.
    Ipv6(#[schemars(with = "String", extend("format" = "ipv6"))] Ipv6Addr),
}

/// What the caller reached.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reached {
    /// The date of the answer's form.
    pub api_version: Version,
    /// The key's environment.
    pub env: Environment,
    /// `HTTP1.0`, `HTTP1.1`, `HTTP2` or `HTTP3`.
    #[schemars(extend("enum" = ["HTTP1.0", "HTTP1.1", "HTTP2", "HTTP3"]))]
    pub protocol: &'static str,
}

impl Endpoint for Connection {
    const NAME: &'static str = "connection";
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/connection.json";
    const PERMISSION: ApiAccessPermission = ApiAccessPermission::CONNECTION_READ;
    const SUMMARY: &'static str =
        "Read your address, your client and the protocol that your request came by.";
    const SAFE: bool = true;

    type Request = Empty;
    type Response = Metadata;

    fn example() -> Metadata {
        Metadata {
            client: Client {
                user_agent: Some("axios/1.6.0".to_owned()),
                ips: Addresses::Ipv4(Ipv4Addr::new(192, 168, 1, 1)),
            },
            endpoint: Reached {
                api_version: super::RELEASE.version,
                env: Environment::Production,
                protocol: Protocol::Http3.name(),
            },
        }
    }
}

impl Handler for Connection {
    async fn handle(context: &Context<'_>, request: Empty) -> Result<Metadata, Error> {
        successor::<v2026_11_01::connection::Connection>(context, request).await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderMap, HeaderValue, header};

    use super::*;
    use crate::Instant;
    use crate::context::tests::{Still, context};

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
    fn the_family_is_the_one_that_the_client_came_by() {
        for (client, shown) in [
            ("192.0.2.7", r#"{"ipv4":"192.0.2.7"}"#),
            ("::ffff:192.0.2.7", r#"{"ipv4":"192.0.2.7"}"#),
            ("2001:db8::7", r#"{"ipv6":"2001:db8::7"}"#),
        ] {
            assert!(answer(client, None).contains(shown), "{}", answer(client, None));
        }
    }

    #[test]
    fn a_user_agent_cannot_leave_its_string() {
        for (sent, shown) in [
            (None, "null"),
            (Some(b"a\"},\"x\":\"b\\".as_slice()), r#""a\"},\"x\":\"b\\""#),
            (Some(b"caf\xe9".as_slice()), "\"caf\u{e9}\""),
            (Some("caf\u{e9}".as_bytes()), "\"caf\u{e9}\""),
        ] {
            let expected = format!("{{\"client\":{{\"userAgent\":{shown},");
            assert!(answer("192.0.2.7", sent).starts_with(&expected), "{}", answer("192.0.2.7", sent));
        }
    }
}
