//! CORS for the origins in `api.cors_origins`.

use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use versions::{Body, Reply};

use crate::http::{is_preflight, preflight_fields};
use crate::snapshot::Snapshot;

const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
const REQUEST_FIELDS: &str = "authorization, content-type, api-version-preview";
/// Fields of responses that a script may read.
const RESPONSE_FIELDS: HeaderValue = HeaderValue::from_static(
    "allow, api-version, api-version-preview, api-version-preview-omitted, api-version-preview-patch, \
     api-version-preview-status, api-version-requested, deprecation, link, ratelimit, ratelimit-policy, \
     retry-after, sunset, www-authenticate, x-request-id",
);
const ORIGIN: HeaderValue = HeaderValue::from_static("origin");

/// The reply to a preflight. It is the same for every path, because it needs no credential and must not reveal which paths
/// exist. One of an origin that is not allowed says no more than that, and its browser sends no request.
pub(super) fn preflight(head: &Parts, snapshot: &Snapshot) -> Option<Reply> {
    if !is_preflight(head) {
        return None;
    }
    let mut reply = Reply::new(Body::Empty).with_status(StatusCode::NO_CONTENT);
    if allowed_origin(head, snapshot).is_some() {
        reply.headers = preflight_fields(METHODS, REQUEST_FIELDS);
    }
    Some(reply)
}

/// Adds the fields by which a browser lets a page of an allowed origin read the response.
pub(super) fn add_fields(fields: &mut HeaderMap, head: &Parts, snapshot: &Snapshot) {
    let Some(origin) = allowed_origin(head, snapshot) else { return };
    fields.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    fields.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, RESPONSE_FIELDS);
    fields.append(header::VARY, ORIGIN);
}

fn allowed_origin<'s>(head: &Parts, snapshot: &'s Snapshot) -> Option<&'s HeaderValue> {
    if snapshot.cors_origins.is_empty() {
        return None;
    }
    let origin = head.headers.get(header::ORIGIN)?;
    snapshot.cors_origins.iter().find(|allowed| *allowed == origin)
}
