//! The responses of floor and peers: the bytes of the gateway's.
//!
//! They send the same fields with values of the same lengths, or the comparison would measure the size of a response.
//! Where the gateway's value differs from request to request, they have a constant. `benches/peers` includes this file.

use bytes::Bytes;
use http::header::{ALT_SVC, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, DATE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

/// An endpoint of the gateway at one date.
#[derive(Debug)]
pub struct Endpoint {
    pub path: &'static str,
    /// The value of `api-version`.
    pub version: &'static str,
    /// The body, as the gateway sends it over HTTP/1.1 with TLS.
    pub body: &'static str,
    /// How every server's body begins.
    pub prefix: &'static str,
}

/// Every endpoint of the gateway; the first one is that of the repeated load.
pub static ENDPOINTS: [Endpoint; 5] = [
    Endpoint {
        path: "/2026-02-01/ping.json",
        version: "2026-02-01",
        body: r#"{"status":"success","env":"production","RRT":"0.08 ms"}"#,
        prefix: r#"{"status":"success","env":"production","RRT":""#,
    },
    Endpoint {
        path: "/2026-02-01/connection.json",
        version: "2026-02-01",
        body: r#"{"client":{"userAgent":"partner-client/2.31 (linux; x64)","ips":{"ipv4":"127.0.0.1"}},"endpoint":{"apiVersion":"2026-02-01","env":"production","protocol":"HTTP1.1"}}"#,
        prefix: r#"{"client":{"userAgent":""#,
    },
    Endpoint {
        path: "/2026-11-01/ping.json",
        version: "2026-11-01",
        body: r#"{"status":"success","env":"production","apiVersion":"2026-11-01","processingTimeMs":0.081}"#,
        prefix: r#"{"status":"success","env":"production","apiVersion":"2026-11-01","#,
    },
    Endpoint {
        path: "/2026-11-01/connection.json",
        version: "2026-11-01",
        body: r#"{"client":{"userAgent":"partner-client/2.31 (linux; x64)","address":"127.0.0.1","family":"ipv4"},"endpoint":{"apiVersion":"2026-11-01","env":"production","protocol":"http/1.1"},"tls":{"version":"TLSv1.3","cipherSuite":"TLS_AES_256_GCM_SHA384","keyExchangeGroup":"X25519MLKEM768","resumed":false},"roundTripTimeMs":0.081,"http3":{"used":false,"reason":"offered_not_taken"}}"#,
        prefix: r#"{"client":{"userAgent":""#,
    },
    Endpoint {
        path: "/2026-11-01/versions.json",
        version: "2026-11-01",
        body: r#"{"versions":[{"version":"2026-02-01","state":"current","published":"2026-02-01","deprecated":null,"sunset":null,"successor":null},{"version":"2026-11-01","state":"current","published":"2026-11-01","deprecated":null,"sunset":null,"successor":null}]}"#,
        prefix: r#"{"versions":[{"version":"#,
    },
];

/// Bytes of a request on its HTTP/3 stream, by the repeated load: a HEADERS frame, by the static table and Huffman's
/// code.
pub const STREAM_REQUEST_BYTES: usize = 113;
/// Bytes of its response: a HEADERS frame with the fields below, and a DATA frame with the body.
pub const STREAM_RESPONSE_BYTES: usize = 205;

/// `date` where the server's library adds none.
const CONSTANT_DATE: &str = "Sun, 01 Feb 2026 00:00:00 GMT";

/// The responses of all endpoints over one protocol, built once.
#[derive(Debug)]
pub struct Responses {
    headers: [HeaderMap; ENDPOINTS.len()],
}

impl Responses {
    /// The responses over HTTP/1.1 and HTTP/2; the server adds `date`.
    pub fn over_tcp(http3_port: u16) -> anyhow::Result<Self> {
        let alt_svc = HeaderValue::try_from(format!(r#"h3=":{http3_port}"; ma=86400"#))?;
        let mut responses = Self { headers: ENDPOINTS.each_ref().map(fields) };
        responses.insert(ALT_SVC, &alt_svc);
        Ok(responses)
    }

    /// The responses over HTTP/3, with a constant `date`.
    #[must_use]
    pub fn over_quic() -> Self {
        let mut responses = Self { headers: ENDPOINTS.each_ref().map(fields) };
        responses.add_constant_date();
        responses
    }

    /// For a server whose library adds no `date`.
    pub fn add_constant_date(&mut self) {
        self.insert(DATE, &HeaderValue::from_static(CONSTANT_DATE));
    }

    fn insert(&mut self, name: HeaderName, value: &HeaderValue) {
        for headers in &mut self.headers {
            headers.insert(name.clone(), value.clone());
        }
    }

    /// Each endpoint with its fields for a configuration file: all but those of the body, which servers add.
    pub fn configured(&self) -> impl Iterator<Item = (&'static Endpoint, Vec<(&str, &str)>)> {
        ENDPOINTS.iter().zip(&self.headers).map(|(endpoint, headers)| {
            let fields =
                headers.iter().filter(|(name, _)| **name != CONTENT_TYPE && **name != CONTENT_LENGTH);
            let texts = fields.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
            (endpoint, texts.collect())
        })
    }

    /// The response to a GET request for a path.
    ///
    /// Cloning the map is the cheapest way to a new one: it copies two arrays and hashes nothing.
    #[must_use]
    pub fn to(&self, path: &str) -> Response<Bytes> {
        let mut response = Response::new(Bytes::new());
        if let Some(index) = ENDPOINTS.iter().position(|endpoint| endpoint.path == path) {
            *response.headers_mut() = self.headers[index].clone();
            *response.body_mut() = Bytes::from_static(ENDPOINTS[index].body.as_bytes());
        } else {
            *response.status_mut() = StatusCode::NOT_FOUND;
        }
        response
    }
}

/// The fields over every protocol.
fn fields(endpoint: &Endpoint) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(12);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(endpoint.body.len()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    for (name, value) in [
        ("api-version", endpoint.version),
        ("x-request-id", "019c16a1-7b00-7000-8000-000000000000"),
        ("ratelimit", r#""default";r=199;t=1"#),
        ("ratelimit-policy", r#""default";q=200;w=2"#),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_has_a_response_with_its_length() -> anyhow::Result<()> {
        let mut responses = Responses::over_tcp(443)?;
        responses.add_constant_date();
        for endpoint in &ENDPOINTS {
            let response = responses.to(endpoint.path);
            assert!(endpoint.body.starts_with(endpoint.prefix));
            assert_eq!(response.headers()[CONTENT_LENGTH], response.body().len().to_string());
            assert_eq!((response.headers().len(), response.body().len()), (10, endpoint.body.len()));
        }
        assert_eq!(responses.configured().map(|(_, fields)| fields.len()).sum::<usize>(), 40);
        assert_eq!(responses.to("/").status(), StatusCode::NOT_FOUND);
        Ok(())
    }
}
