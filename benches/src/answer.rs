//! The bytes that all contestants answer: those of the gateway's `ping.json`.
//!
//! Floor and peers must put the same fields with the same lengths on the wire, or the comparison would
//! measure the size of an answer. Where the gateway's value differs from call to call, they have
//! a constant of the same length. `benches/peers` includes this file.

use bytes::Bytes;
use http::header::{
    ALLOW, ALT_SVC, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, DATE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};

/// The path that is asked for.
pub const PATH: &str = "/2026-02-01/ping.json";

/// How the body of every good answer begins; what follows is the time that the request took.
pub const BODY_PREFIX: &str = r#"{"status":"success","env":"production","RRT":""#;

/// An `Authorization` value of a key's length, with as many kinds of letters: the one that peers know, and the floor
/// does not look at.
pub const PLACEHOLDER_AUTHORIZATION: &str =
    "Bearer pgw_live_4rTqYb8WmJc2PzKd7HvXn5GsLf9QxAe3RuNi6ZoDt1MkVhEwS";

/// Bytes of a request's stream over HTTP/3: a HEADERS frame with the load's fields, by the static table and
/// Huffman's code.
pub const STREAM_REQUEST_BYTES: usize = 113;
/// Bytes of an answer's stream: a HEADERS frame with the fields below, and a DATA frame with the body.
pub const STREAM_ANSWER_BYTES: usize = 205;

/// The whole body of floor and peers.
pub const BODY: &str = r#"{"status":"success","env":"production","RRT":"0.08 ms"}"#;

/// What stands in `date` where the server's library adds none.
const CONSTANT_DATE: &str = "Sun, 01 Feb 2026 00:00:00 GMT";

/// The fields and body of the floor's answer over one protocol, built once.
#[derive(Debug)]
pub struct Answer {
    headers: HeaderMap,
}

impl Answer {
    /// The answer over HTTP/1.1 and HTTP/2, where the server adds `date` by itself.
    ///
    /// # Errors
    /// Never for a port that came from a socket: the field is then plain ASCII.
    pub fn over_tcp(http3_port: u16) -> anyhow::Result<Self> {
        let mut headers = fields();
        headers.insert(ALT_SVC, HeaderValue::from_maybe_shared(Bytes::from(alt_svc(http3_port)))?);
        Ok(Self { headers })
    }

    /// The answer over HTTP/3, where h3 adds no `date`. It is a constant: the floor has no clock to read.
    #[must_use]
    pub fn over_quic() -> Self {
        Self { headers: fields() }.with_constant_date()
    }

    /// The same answer from a server whose library adds no `date`.
    #[must_use]
    pub fn with_constant_date(mut self) -> Self {
        self.headers.insert(DATE, HeaderValue::from_static(CONSTANT_DATE));
        self
    }

    /// The fields that are named in a peer's configuration: all but those of the body, which it adds.
    pub fn configured(&self) -> impl Iterator<Item = (&str, &str)> {
        let fields =
            self.headers.iter().filter(|(name, _)| **name != CONTENT_TYPE && **name != CONTENT_LENGTH);
        fields.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
    }

    /// The head of the answer to a request with this method, and the body that goes with it.
    ///
    /// Cloning the whole map is the cheapest way to a new one: it copies two arrays and hashes nothing.
    #[must_use]
    pub fn to(&self, method: &Method) -> (Response<()>, Bytes) {
        let mut response = Response::new(());
        if method == Method::GET {
            *response.headers_mut() = self.headers.clone();
            return (response, Bytes::from_static(BODY.as_bytes()));
        }
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
        (response, Bytes::new())
    }
}

fn alt_svc(port: u16) -> String {
    format!(r#"h3=":{port}"; ma=86400"#)
}

/// The fields that every protocol has.
fn fields() -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(12);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(BODY.len()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    for (name, value) in [
        ("api-version", "2026-02-01"),
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
    fn the_answer_begins_as_the_load_expects_and_has_its_length() {
        let (response, body) = Answer::over_quic().to(&Method::GET);
        assert!(body.starts_with(BODY_PREFIX.as_bytes()));
        assert_eq!(response.headers()[CONTENT_LENGTH], body.len().to_string());
        assert_eq!(response.headers().len(), 9);
    }

    #[test]
    fn the_placeholder_is_as_long_as_a_production_key() {
        let key = "pgw_live_".len() + 43 + 6;
        assert_eq!(PLACEHOLDER_AUTHORIZATION.len(), "Bearer ".len() + key);
    }

    #[test]
    fn only_get_is_answered() -> anyhow::Result<()> {
        let (response, body) = Answer::over_tcp(443)?.to(&Method::POST);
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert!(body.is_empty());
        Ok(())
    }
}
