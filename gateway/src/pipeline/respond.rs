//! The one place that turns an outcome into an answer: status, fields, body, for every protocol.

use std::cell::RefCell;
use std::time::{Duration, UNIX_EPOCH};

use bytes::BytesMut;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use jiff::Timestamp;
use versions::{Error, ErrorCode, Protocol};

use super::record::Record;
use super::{Pipeline, Progress, Reply, Settings};
use crate::transport::{Body, Peer};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const CLEAR: HeaderValue = HeaderValue::from_static("clear");
const CLOSE: HeaderValue = HeaderValue::from_static("close");
const API_VERSION: HeaderName = HeaderName::from_static("api-version");
const API_VERSION_REQUESTED: HeaderName = HeaderName::from_static("api-version-requested");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// No answer has more fields: with room for all of them from the start, no map grows on the way.
const FIELDS_MAX: usize = 12;

impl Pipeline {
    /// `fields` is the request's map, whose memory the answer takes over; the body is taken out of `outcome`.
    #[expect(clippy::too_many_arguments, reason = "everything that an answer depends on, and used once")]
    pub(super) fn respond(
        &self,
        outcome: &mut Result<Reply, Error>,
        head: &Parts,
        mut fields: HeaderMap,
        peer: &Peer,
        record: &Record<'_>,
        progress: &Progress,
        settings: &Settings,
    ) -> Response<Body> {
        fields.clear();
        fields.reserve(FIELDS_MAX);
        if matches!(record.protocol, Protocol::Http2 | Protocol::Http3) {
            // Over HTTP/1 hyper writes it, straight into the answer's bytes.
            fields.insert(header::DATE, date(record.time));
        }
        fields.insert(header::CACHE_CONTROL, NO_STORE);
        fields.insert(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
        fields.insert(REQUEST_ID, record.id_field());
        if let Some(table) = progress.version {
            fields.insert(API_VERSION, table.field.clone());
            let entry = record.entry.map(|entry| entry.index);
            settings.dates.announce(&mut fields, table, entry, &self.catalog, record.time);
        }
        if let Some(asked) = progress.forwarded_from {
            fields.insert(API_VERSION_REQUESTED, asked.field.clone());
        }
        if let Some(preview) = &progress.preview {
            preview.announce(&mut fields);
        }
        if let (Some(key), Some(spent)) = (&progress.key, progress.spent) {
            fields.insert(RATE_LIMIT, field(|block| spent.write_field(block)));
            fields.insert(RATE_LIMIT_POLICY, key.rate_limit.policy().field.clone());
        }
        let malformed =
            !progress.is_read && matches!(outcome, Err(error) if error.code == ErrorCode::MalformedRequest);
        self.announce(&mut fields, peer, record.protocol, malformed);
        let (status, body) = match outcome {
            Ok(Reply::Json(body)) => {
                fields.insert(header::CONTENT_TYPE, JSON);
                (StatusCode::OK, std::mem::take(body))
            }
            Ok(Reply::Options(allow)) => {
                fields.insert(header::ALLOW, allow.clone());
                (StatusCode::NO_CONTENT, Default::default())
            }
            Err(error) => {
                self.error_fields(&mut fields, error, record);
                let body = if error.code == ErrorCode::InvalidToken {
                    fields.insert(header::CONTENT_TYPE, JSON);
                    settings.invalid_token.clone()
                } else {
                    fields.insert(header::CONTENT_TYPE, PROBLEM);
                    error.problem(&settings.docs_url, record.id()).into()
                };
                (error.code.status(), body)
            }
        };
        let body = if head.method == Method::HEAD && status != StatusCode::NO_CONTENT {
            // hyper leaves the body of a HEAD answer in over HTTP/2, and h3 knows nothing of it at all.
            fields.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
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
        if protocol == Protocol::Http3 {
            return;
        }
        let draining = self.is_draining();
        if let Some(alt_svc) = &peer.listener.alt_svc {
            fields.insert(header::ALT_SVC, if draining { CLEAR } else { alt_svc.clone() });
        }
        // Behind a malformed request nobody knows where the next one begins.
        if (draining || malformed) && protocol != Protocol::Http2 {
            fields.insert(header::CONNECTION, CLOSE);
        }
    }

    fn error_fields(&self, fields: &mut HeaderMap, error: &Error, record: &Record<'_>) {
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

/// The block of memory that the values of many answers are cut from.
const BLOCK_BYTES: usize = 4096;

/// A value that is this answer's alone, of visible ASCII.
pub(super) fn field(write: impl FnOnce(&mut BytesMut)) -> HeaderValue {
    thread_local! {
        static BLOCK: RefCell<BytesMut> = RefCell::new(BytesMut::with_capacity(BLOCK_BYTES));
    }
    BLOCK.with_borrow_mut(|block| {
        write(block);
        HeaderValue::from_maybe_shared(block.split().freeze()).expect("visible ASCII is written")
    })
}

/// `Date` (RFC 9110 §6.6.1), written once a second on each thread.
pub(crate) fn date(now: Timestamp) -> HeaderValue {
    thread_local! {
        static WRITTEN: RefCell<(i64, HeaderValue)> = const { RefCell::new((i64::MIN, HeaderValue::from_static(""))) };
    }
    WRITTEN.with_borrow_mut(|(second, field)| {
        if *second != now.as_second() {
            *second = now.as_second();
            *field = http_date(now);
        }
        field.clone()
    })
}

/// A moment in the form of HTTP (RFC 9110 §5.6.7).
pub(super) fn http_date(moment: Timestamp) -> HeaderValue {
    let since = Duration::from_secs(u64::try_from(moment.as_second()).unwrap_or(0));
    HeaderValue::try_from(httpdate::fmt_http_date(UNIX_EPOCH + since)).expect("a date is ASCII text")
}
