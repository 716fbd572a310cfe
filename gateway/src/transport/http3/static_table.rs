//! QPACK's static table (RFC 9204, Appendix A).

use http::{HeaderName, HeaderValue};

/// A pseudo-header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pseudo {
    Method,
    Scheme,
    Authority,
    Path,
    /// Of a response.
    Foreign,
}

/// A line of the static table.
#[derive(Debug)]
pub(super) enum Entry {
    /// A pseudo-header, with its name and value.
    Pseudo(Pseudo, &'static str, &'static str),
    /// A field.
    Field(HeaderName, HeaderValue),
}

const fn pseudo(pseudo: Pseudo, name: &'static str, value: &'static str) -> Entry {
    Entry::Pseudo(pseudo, name, value)
}

const fn field(name: &'static str, value: &'static str) -> Entry {
    Entry::Field(HeaderName::from_static(name), HeaderValue::from_static(value))
}

/// Its lines, from 0 on.
pub(super) static STATIC_TABLE: [Entry; 99] = [
    pseudo(Pseudo::Authority, ":authority", ""),
    pseudo(Pseudo::Path, ":path", "/"),
    field("age", "0"),
    field("content-disposition", ""),
    field("content-length", "0"),
    field("cookie", ""),
    field("date", ""),
    field("etag", ""),
    field("if-modified-since", ""),
    field("if-none-match", ""),
    field("last-modified", ""),
    field("link", ""),
    field("location", ""),
    field("referer", ""),
    field("set-cookie", ""),
    pseudo(Pseudo::Method, ":method", "CONNECT"),
    pseudo(Pseudo::Method, ":method", "DELETE"),
    pseudo(Pseudo::Method, ":method", "GET"),
    pseudo(Pseudo::Method, ":method", "HEAD"),
    pseudo(Pseudo::Method, ":method", "OPTIONS"),
    pseudo(Pseudo::Method, ":method", "POST"),
    pseudo(Pseudo::Method, ":method", "PUT"),
    pseudo(Pseudo::Scheme, ":scheme", "http"),
    pseudo(Pseudo::Scheme, ":scheme", "https"),
    pseudo(Pseudo::Foreign, ":status", "103"),
    pseudo(Pseudo::Foreign, ":status", "200"),
    pseudo(Pseudo::Foreign, ":status", "304"),
    pseudo(Pseudo::Foreign, ":status", "404"),
    pseudo(Pseudo::Foreign, ":status", "503"),
    field("accept", "*/*"),
    field("accept", "application/dns-message"),
    field("accept-encoding", "gzip, deflate, br"),
    field("accept-ranges", "bytes"),
    field("access-control-allow-headers", "cache-control"),
    field("access-control-allow-headers", "content-type"),
    field("access-control-allow-origin", "*"),
    field("cache-control", "max-age=0"),
    field("cache-control", "max-age=2592000"),
    field("cache-control", "max-age=604800"),
    field("cache-control", "no-cache"),
    field("cache-control", "no-store"),
    field("cache-control", "public, max-age=31536000"),
    field("content-encoding", "br"),
    field("content-encoding", "gzip"),
    field("content-type", "application/dns-message"),
    field("content-type", "application/javascript"),
    field("content-type", "application/json"),
    field("content-type", "application/x-www-form-urlencoded"),
    field("content-type", "image/gif"),
    field("content-type", "image/jpeg"),
    field("content-type", "image/png"),
    field("content-type", "text/css"),
    field("content-type", "text/html; charset=utf-8"),
    field("content-type", "text/plain"),
    field("content-type", "text/plain;charset=utf-8"),
    field("range", "bytes=0-"),
    field("strict-transport-security", "max-age=31536000"),
    field("strict-transport-security", "max-age=31536000; includesubdomains"),
    field("strict-transport-security", "max-age=31536000; includesubdomains; preload"),
    field("vary", "accept-encoding"),
    field("vary", "origin"),
    field("x-content-type-options", "nosniff"),
    field("x-xss-protection", "1; mode=block"),
    pseudo(Pseudo::Foreign, ":status", "100"),
    pseudo(Pseudo::Foreign, ":status", "204"),
    pseudo(Pseudo::Foreign, ":status", "206"),
    pseudo(Pseudo::Foreign, ":status", "302"),
    pseudo(Pseudo::Foreign, ":status", "400"),
    pseudo(Pseudo::Foreign, ":status", "403"),
    pseudo(Pseudo::Foreign, ":status", "421"),
    pseudo(Pseudo::Foreign, ":status", "425"),
    pseudo(Pseudo::Foreign, ":status", "500"),
    field("accept-language", ""),
    field("access-control-allow-credentials", "FALSE"),
    field("access-control-allow-credentials", "TRUE"),
    field("access-control-allow-headers", "*"),
    field("access-control-allow-methods", "get"),
    field("access-control-allow-methods", "get, post, options"),
    field("access-control-allow-methods", "options"),
    field("access-control-expose-headers", "content-length"),
    field("access-control-request-headers", "content-type"),
    field("access-control-request-method", "get"),
    field("access-control-request-method", "post"),
    field("alt-svc", "clear"),
    field("authorization", ""),
    field("content-security-policy", "script-src 'none'; object-src 'none'; base-uri 'none'"),
    field("early-data", "1"),
    field("expect-ct", ""),
    field("forwarded", ""),
    field("if-range", ""),
    field("origin", ""),
    field("purpose", "prefetch"),
    field("server", ""),
    field("timing-allow-origin", "*"),
    field("upgrade-insecure-requests", "1"),
    field("user-agent", ""),
    field("x-forwarded-for", ""),
    field("x-frame-options", "deny"),
    field("x-frame-options", "sameorigin"),
];

#[cfg(test)]
impl Entry {
    pub(super) fn texts(&self) -> (&str, &str) {
        match self {
            Self::Pseudo(_, name, value) => (name, value),
            Self::Field(name, value) => (name.as_str(), value.to_str().unwrap()),
        }
    }
}
