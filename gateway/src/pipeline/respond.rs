//! The one place that turns an outcome into an answer: status, fields, body, for every protocol.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use versions::{Error, ErrorCode, Protocol};

use super::fields::{JSON, Own, date, length, unique};
use super::record::Record;
use super::{Pipeline, Progress, Reply, Settings};
use crate::transport::{Body, Peer};

const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");
const CLEAR: HeaderValue = HeaderValue::from_static("clear");
const CLOSE: HeaderValue = HeaderValue::from_static("close");
const API_VERSION_REQUESTED: HeaderName = HeaderName::from_static("api-version-requested");

impl Pipeline {
    /// The body is taken out of `outcome`.
    pub(super) fn respond(
        &self,
        outcome: &mut Result<Reply, Error>,
        method: &Method,
        peer: &Peer,
        record: &Record,
        progress: &mut Progress,
        settings: &Settings,
    ) -> Response<Body> {
        let (status, body) = match outcome {
            Ok(Reply::Json(body, _)) => (StatusCode::OK, std::mem::take(body)),
            Ok(Reply::Options(_)) => (StatusCode::NO_CONTENT, Bytes::new()),
            Err(error) if error.code == ErrorCode::InvalidToken => {
                (error.code.status(), settings.invalid_token.clone())
            }
            Err(error) => (error.code.status(), error.problem(&settings.docs_url, record.id()).into()),
        };
        let multiplexed = matches!(record.protocol, Protocol::Http2 | Protocol::Http3);
        let length = || length(body.len());
        let own = Own {
            multiplexed: multiplexed.then(|| [date(record.time), length()]),
            request_id: unique(record.id_field()),
            rate: progress.rate.take(),
            alt_svc: self.alt_svc(peer, record.protocol),
        };
        let mut fields = match (&outcome, progress.version) {
            (Ok(Reply::Json(..)), Some(table)) if own.rate.is_some() => self.prepared.good(table, own),
            (_, table) => own.into_fields(table.map(|table| table.field.clone())),
        };
        match outcome {
            Ok(Reply::Json(..)) => {}
            Ok(Reply::Options(allow)) => {
                fields.insert(header::ALLOW, allow.clone());
                // RFC 9110 §8.6: 204 has none.
                fields.remove(header::CONTENT_LENGTH);
            }
            Err(error) => {
                let kind = if error.code == ErrorCode::InvalidToken { JSON } else { PROBLEM };
                fields.insert(header::CONTENT_TYPE, kind);
                self.error_fields(&mut fields, error, record);
            }
        }
        if let Some(table) = progress.version {
            let entry = record.entry.map(|entry| entry.index);
            settings.dates.announce(&mut fields, table, entry, &self.catalog, record.time);
        }
        if let Some(asked) = progress.forwarded_from {
            fields.insert(API_VERSION_REQUESTED, asked.field.clone());
        }
        if let Ok(Reply::Json(_, Some(preview))) = outcome {
            preview.announce(&mut fields);
        }
        let malformed =
            !record.is_read && matches!(outcome, Err(error) if error.code == ErrorCode::MalformedRequest);
        if self.closes(record.protocol, malformed) {
            fields.insert(header::CONNECTION, CLOSE);
        }
        let body = if *method == Method::HEAD && status != StatusCode::NO_CONTENT {
            // Over HTTP/2 and HTTP/3 nothing else leaves the body of an answer to HEAD out.
            fields.insert(header::CONTENT_LENGTH, length());
            Body::Empty
        } else {
            Body::from(body)
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = fields;
        response
    }

    /// Where else to come, or to go away.
    pub(crate) fn announce(&self, fields: &mut HeaderMap, peer: &Peer, protocol: Protocol, malformed: bool) {
        if let Some(alt_svc) = self.alt_svc(peer, protocol) {
            fields.insert(header::ALT_SVC, alt_svc);
        }
        if self.closes(protocol, malformed) {
            fields.insert(header::CONNECTION, CLOSE);
        }
    }

    /// Where HTTP/3 is spoken, for those who do not speak it; nowhere any more where we end.
    fn alt_svc(&self, peer: &Peer, protocol: Protocol) -> Option<HeaderValue> {
        let alt_svc = peer.listener.alt_svc.as_ref().filter(|_| protocol != Protocol::Http3)?;
        Some(if self.is_draining() { CLEAR } else { alt_svc.clone() })
    }

    /// Whether the answer is the last one of its connection. Over HTTP/2 and HTTP/3 frames say so. Behind a
    /// malformed request nobody knows where the next one begins.
    fn closes(&self, protocol: Protocol, malformed: bool) -> bool {
        (malformed || self.is_draining()) && matches!(protocol, Protocol::Http10 | Protocol::Http11)
    }

    fn error_fields(&self, fields: &mut HeaderMap, error: &Error, record: &Record) {
        let realm = &self.realm;
        let challenge = match error.code {
            ErrorCode::InvalidToken if record.has_credential() => {
                Some(format!(r#"Bearer realm="{realm}", error="invalid_token""#))
            }
            ErrorCode::InvalidToken => Some(format!(r#"Bearer realm="{realm}""#)),
            ErrorCode::PermissionMissing => {
                let scope = error.help.as_ref().and_then(|help| help.required_permission);
                let scope = scope.unwrap_or_default();
                Some(format!(r#"Bearer realm="{realm}", error="insufficient_scope", scope="{scope}""#))
            }
            _ => None,
        };
        if let Some(challenge) = challenge.and_then(|text| HeaderValue::try_from(text).ok()) {
            fields.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(help) = &error.help {
            if let Some(allow) = &help.allow {
                fields.insert(header::ALLOW, allow.clone());
            }
            if let Some(seconds) = help.retry_after_seconds {
                fields.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            }
        }
    }
}
