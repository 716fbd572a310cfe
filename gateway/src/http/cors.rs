//! Cross-origin requests of browsers (CORS, as the Fetch standard defines it).

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

/// How long a browser may keep the response to a preflight, in seconds: what Chromium allows at most.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");

/// Whether this is a preflight: a browser's question whether it may send another request.
pub(crate) fn is_preflight(head: &Parts) -> bool {
    head.method == Method::OPTIONS
        && head.headers.contains_key(header::ORIGIN)
        && head.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// The fields of the response to a preflight, beside the allowed origin.
pub(crate) fn preflight_fields(methods: &'static str, names: &'static str) -> HeaderMap {
    let fields: [(HeaderName, HeaderValue); 3] = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods)),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(names)),
        (header::ACCESS_CONTROL_MAX_AGE, MAX_AGE),
    ];
    fields.into_iter().collect()
}
