//! Converts an outcome to a response: status, fields and body, for every protocol.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use http_body::Body as _;
use versions::{Body, Error, ErrorCode, Protocol, Reply};

use super::Pipeline;
use super::authenticate::NO_CREDENTIAL;
use super::cors;
use super::exchange::Exchange;
use crate::http::{Places, ReplyBody, content_length, date, never_indexed};
use crate::provisioning::STEP_UP_AGE_MAX;
use crate::snapshot::{JSON, ResponseValues};

const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");
const API_VERSION_REQUESTED: HeaderName = HeaderName::from_static("api-version-requested");

impl Pipeline {
    /// Ends the exchange with a response, whose body holds the record and the slots.
    pub(super) fn respond(
        &self,
        mut exchange: Exchange<'_>,
        outcome: Result<Reply, Error>,
    ) -> Response<ReplyBody> {
        let Exchange { snapshot, version, .. } = exchange;
        let (reply, error) = match outcome {
            Ok(reply) => (reply, None),
            Err(error) => {
                self.decisions.record(&exchange, &error, self.frontend.clock.monotonic());
                (self.problem(&error, &exchange), Some(error))
            }
        };
        let Reply { status, headers, body } = reply;
        let status = status.unwrap_or(StatusCode::OK);
        let length = length(&body);
        let protocol = exchange.record.protocol;
        let is_multiplexed = matches!(protocol, Protocol::Http2 | Protocol::Http3);
        let values = ResponseValues {
            multiplexed: is_multiplexed
                .then(|| [date(exchange.record.time), content_length(length.unwrap_or_default())]),
            request_id: never_indexed(exchange.record.id_field()),
            rate: exchange.rate.take(),
            alt_svc: self.frontend.alt_svc(exchange.peer, protocol),
        };
        let mut fields = match version {
            Some(table) if error.is_none() && values.rate.is_some() => snapshot.templates.ok(table, values),
            table => values.into_fields(table.map(|table| table.field.clone())),
        };
        if error.is_none() {
            let media_type = exchange.entry.and_then(|entry| entry.route.media_type);
            let no_content = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
            match media_type.filter(|_| !no_content) {
                Some("application/json") => {}
                Some(other) => drop(fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(other))),
                None => drop(fields.remove(header::CONTENT_TYPE)),
            }
            if length.is_none() || no_content {
                // RFC 9110 §8.6: 204 has none, and the length of a stream is unknown.
                fields.remove(header::CONTENT_LENGTH);
            }
        }
        add_handler_fields(&mut fields, headers);
        cors::add_fields(&mut fields, exchange.head, snapshot);
        if let Some(table) = version {
            let entry = exchange.entry.map(|entry| entry.index);
            let time = exchange.record.time;
            snapshot.dates.announce(&mut fields, table, entry, &snapshot.catalog, time);
        }
        if let Some(requested) = exchange.forwarded_from {
            fields.insert(API_VERSION_REQUESTED, requested.field.clone());
        }
        if let Some(preview) = exchange.preview.take() {
            fields.extend(*preview);
        }
        // If a request was not read to its end, it is not clear where the next one begins.
        let is_malformed = error.as_ref().is_some_and(|error| error.code == ErrorCode::MalformedRequest);
        let is_unread = !exchange.is_read && (is_malformed || error.is_none());
        self.frontend.close_if_last(&mut fields, protocol, is_unread);

        exchange.record.respond(status, error.as_ref());
        let body = if exchange.head.method == Method::HEAD {
            // Over HTTP/2 and HTTP/3 nothing else removes the body of a response to HEAD.
            if let Some(length) = length.filter(|_| status != StatusCode::NO_CONTENT) {
                fields.insert(header::CONTENT_LENGTH, content_length(length));
            }
            Body::Empty
        } else {
            body
        };
        // A refused stranger has no share that bounds its places: taking no response, it could hold them all.
        let is_of_caller = exchange.places.of_caller.is_some();
        let places = if is_of_caller { exchange.places } else { Places::default() };
        let mut response = Response::new(ReplyBody::new(body, exchange.record, places));
        *response.status_mut() = status;
        *response.headers_mut() = fields;
        response
    }

    /// Converts an error to a reply, with its response fields.
    fn problem(&self, error: &Error, exchange: &Exchange<'_>) -> Reply {
        let Exchange { snapshot, record, .. } = exchange;
        let realm = &self.realm;
        let (kind, body, challenge) = match error.code {
            ErrorCode::InvalidToken => {
                let sent = record.auth_failure != Some(NO_CREDENTIAL);
                let challenge = if sent { r#", error="invalid_token""# } else { "" };
                let challenge = Some(format!(r#"Bearer realm="{realm}"{challenge}"#));
                (JSON, snapshot.invalid_token.clone(), challenge)
            }
            code => {
                let scope = error.help.as_ref().and_then(|help| help.required_permission).unwrap_or_default();
                let challenge = match code {
                    ErrorCode::PermissionMissing if !scope.is_empty() => Some(format!(
                        r#"Bearer realm="{realm}", error="insufficient_scope", scope="{scope}""#
                    )),
                    // RFC 9470 §3.
                    ErrorCode::StepUpRequired => {
                        let age_max = STEP_UP_AGE_MAX.as_secs();
                        Some(format!(
                            r#"Bearer realm="{realm}", error="insufficient_user_authentication", max_age="{age_max}""#
                        ))
                    }
                    _ => None,
                };
                (PROBLEM, error.problem(&snapshot.docs_url, record.id()).into(), challenge)
            }
        };
        let mut reply = Reply::new(Body::Full(body)).with_status(error.code.status());
        reply.headers.insert(header::CONTENT_TYPE, kind);
        if let Some(challenge) = challenge.and_then(|text| HeaderValue::try_from(text).ok()) {
            reply.headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(help) = &error.help {
            if let Some(allow) = &help.allow {
                reply.headers.insert(header::ALLOW, allow.clone());
            }
            if let Some(seconds) = help.retry_after_seconds {
                reply.headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            }
        }
        reply
    }
}

/// The length of a body, if it is known.
fn length(body: &Body) -> Option<usize> {
    match body {
        Body::Empty => Some(0),
        Body::Full(bytes) => Some(bytes.len()),
        Body::Stream(stream) => stream.size_hint().exact().and_then(|length| usize::try_from(length).ok()),
    }
}

/// Adds the response fields that a handler has set, except those of the connection and those that the gateway
/// has set.
fn add_handler_fields(fields: &mut HeaderMap, own: HeaderMap) {
    let written: Vec<HeaderName> = if own.is_empty() {
        return;
    } else {
        fields.keys().filter(|name| *name != header::CONTENT_TYPE).cloned().collect()
    };
    let mut last = None;
    for (name, value) in own {
        // A map's iterator yields each name once; further values come without it.
        let Some(name) = name.or_else(|| last.clone()) else { continue };
        let of_connection = matches!(
            name.as_str(),
            "connection"
                | "keep-alive"
                | "proxy-connection"
                | "te"
                | "trailer"
                | "transfer-encoding"
                | "upgrade"
                | "content-length"
                | "date"
        );
        if !of_connection && !written.contains(&name) {
            if last.as_ref() == Some(&name) {
                fields.append(&name, value);
            } else {
                fields.insert(&name, value);
            }
        }
        last = Some(name);
    }
}
