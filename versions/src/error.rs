//! The errors that a caller can get, a closed list, and their two forms on the wire.
//!
//! A 401 is always the same bytes, so that it reveals nothing; all others are problem details (RFC 9457) with
//! an additional string `error`. Status, title, documentation page and metric label follow from the code. The
//! source of an error is for the log and never leaves the process.

use std::borrow::Cow;
use std::fmt;

use http::StatusCode;
use permissions::ApiAccessPermission;
use serde::Serialize;

use crate::Version;

/// The kinds of errors that a caller can get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// The request is malformed, or one of its fields is invalid.
    MalformedRequest,
    /// No valid credential; the reason is not revealed.
    InvalidToken,
    /// The key lacks the permission of this endpoint.
    PermissionMissing,
    /// The person must authenticate again first.
    StepUpRequired,
    /// There is no such date.
    UnknownVersion,
    /// The date is past its sunset.
    RetiredVersion,
    /// There is no such resource at this date.
    UnknownResource,
    /// The resource does not answer this method.
    MethodNotAllowed,
    /// The caller accepts none of the available media types.
    NotAcceptable,
    /// The request did not arrive in time.
    RequestTimeout,
    /// The request contradicts what is stored, or the first of two calls with one `Idempotency-Key` is still running.
    Conflict,
    /// The `Idempotency-Key` was used for another call.
    IdempotencyKeyReused,
    /// The content is larger than the limit.
    ContentTooLarge,
    /// The target is longer than the limit.
    UriTooLong,
    /// The content's type or coding is not supported.
    UnsupportedMediaType,
    /// The request is for a host that this listener does not serve.
    MisdirectedRequest,
    /// The request came as early data, and a replay could do harm.
    TooEarly,
    /// The caller's rate limit is reached.
    RateLimited,
    /// Too many failed authentications from one address.
    TooManyFailures,
    /// The fields are larger or more than the limit.
    HeadersTooLarge,
    /// An internal error.
    Internal,
    /// Too many requests at the same time.
    Overloaded,
}

impl ErrorCode {
    /// Every code.
    pub const ALL: [Self; 22] = [
        Self::MalformedRequest,
        Self::InvalidToken,
        Self::PermissionMissing,
        Self::StepUpRequired,
        Self::UnknownVersion,
        Self::RetiredVersion,
        Self::UnknownResource,
        Self::MethodNotAllowed,
        Self::NotAcceptable,
        Self::RequestTimeout,
        Self::Conflict,
        Self::IdempotencyKeyReused,
        Self::ContentTooLarge,
        Self::UriTooLong,
        Self::UnsupportedMediaType,
        Self::MisdirectedRequest,
        Self::TooEarly,
        Self::RateLimited,
        Self::TooManyFailures,
        Self::HeadersTooLarge,
        Self::Internal,
        Self::Overloaded,
    ];

    /// Status, name (the last part of the problem type) and title.
    const fn row(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::MalformedRequest => {
                (StatusCode::BAD_REQUEST, "malformed-request", "The request is malformed")
            }
            Self::InvalidToken => (StatusCode::UNAUTHORIZED, "invalid-token", "The token is not valid"),
            Self::PermissionMissing => {
                (StatusCode::FORBIDDEN, "permission-missing", "The key lacks a permission")
            }
            Self::StepUpRequired => {
                (StatusCode::FORBIDDEN, "step-up-required", "A recent authentication is required")
            }
            Self::Conflict => {
                (StatusCode::CONFLICT, "conflict", "The request contradicts the state of the resource")
            }
            Self::IdempotencyKeyReused => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency-key-reused",
                "The idempotency key was used for another call",
            ),
            Self::UnknownVersion => (StatusCode::NOT_FOUND, "unknown-version", "There is no such version"),
            Self::RetiredVersion => (StatusCode::GONE, "retired-version", "The version is retired"),
            Self::UnknownResource => (StatusCode::NOT_FOUND, "unknown-resource", "There is no such resource"),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "The resource does not answer this method",
            ),
            Self::NotAcceptable => {
                (StatusCode::NOT_ACCEPTABLE, "not-acceptable", "No acceptable form of the answer exists")
            }
            Self::RequestTimeout => {
                (StatusCode::REQUEST_TIMEOUT, "request-timeout", "The request did not arrive in time")
            }
            Self::ContentTooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, "content-too-large", "The content is too large")
            }
            Self::UriTooLong => (StatusCode::URI_TOO_LONG, "uri-too-long", "The target is too long"),
            Self::UnsupportedMediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "The content's type is not supported",
            ),
            Self::MisdirectedRequest => (
                StatusCode::MISDIRECTED_REQUEST,
                "misdirected-request",
                "This server does not answer for that authority",
            ),
            Self::TooEarly => (StatusCode::TOO_EARLY, "too-early", "The request came as early data"),
            Self::RateLimited => {
                (StatusCode::TOO_MANY_REQUESTS, "rate-limited", "The key's rate limit is reached")
            }
            Self::TooManyFailures => {
                (StatusCode::TOO_MANY_REQUESTS, "too-many-failures", "Too many failed authentications")
            }
            Self::HeadersTooLarge => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "headers-too-large",
                "The request's fields are too large",
            ),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "The gateway failed"),
            Self::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "overloaded", "The gateway is overloaded"),
        }
    }

    /// Whether every endpoint can respond with it; others are declared by the endpoints that can.
    #[must_use]
    pub const fn is_general(self) -> bool {
        !matches!(self, Self::StepUpRequired | Self::Conflict | Self::IdempotencyKeyReused)
    }

    /// The status of the response.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        self.row().0
    }

    /// The name in the problem type, the log and metrics: `permission-missing`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().1
    }

    /// One line for people, the same for every occurrence (RFC 9457 §3.1.3).
    #[must_use]
    pub const fn title(self) -> &'static str {
        self.row().2
    }
}

/// Additional fields that help the caller to correct the request; absent ones are not sent.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Help {
    /// The permission that the endpoint requires.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_name")]
    pub required_permission: Option<ApiAccessPermission>,
    /// The permissions that the key holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub granted_permissions: Option<ApiAccessPermission>,
    /// The required permissions that the caller lacks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing_permissions: Option<ApiAccessPermission>,
    /// Where to ask for them: the path of `create_access_request`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_requests: Option<&'static str>,
    /// The dates that the caller may use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supported_versions: Option<Vec<Version>>,
    /// The date to move to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub successor_version: Option<Version>,
    /// When to try again; also sent as `Retry-After`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<u32>,
    /// The methods that the resource supports; sent as `Allow`.
    #[serde(skip)]
    pub allow: Option<http::HeaderValue>,
}

fn as_name<S: serde::Serializer>(
    permission: &Option<ApiAccessPermission>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match permission {
        Some(permission) => serializer.collect_str(permission),
        None => serializer.serialize_none(),
    }
}

/// An error response.
#[derive(Debug)]
pub struct Error {
    /// The kind of error.
    pub code: ErrorCode,
    /// What is wrong with this request and what to do, for the caller.
    pub detail: Cow<'static, str>,
    /// Additional fields.
    pub help: Option<Box<Help>>,
    /// The cause, for the log only.
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error with a detail about this request.
    pub fn new(code: ErrorCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into(), help: None, source: None }
    }

    /// Adds fields that help the caller.
    #[must_use]
    pub fn with_help(self, help: Help) -> Self {
        Self { help: Some(Box::new(help)), ..self }
    }

    /// Adds the cause, for the log.
    #[must_use]
    pub fn caused_by(self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { source: Some(source.into()), ..self }
    }

    /// An internal error, which reveals nothing about its cause.
    pub fn internal(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::new(
            ErrorCode::Internal,
            "The gateway failed to answer. Try again; if it persists, report the request id.",
        )
        .caused_by(source)
    }

    /// The problem details (RFC 9457) of every error but a 401, as JSON.
    ///
    /// `docs_url` is where problem types are documented; `request_id` identifies the request in the log.
    #[must_use]
    pub fn problem(&self, docs_url: &str, request_id: &str) -> Vec<u8> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Problem<'a> {
            r#type: Type<'a>,
            title: &'static str,
            status: u16,
            detail: &'a str,
            error: &'a str,
            request_id: &'a str,
            #[serde(flatten)]
            help: Option<&'a Help>,
        }
        struct Type<'a>(&'a str, &'static str);
        impl Serialize for Type<'_> {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(&format_args!("{}/errors/{}", self.0, self.1))
            }
        }
        let problem = Problem {
            r#type: Type(docs_url, self.code.name()),
            title: self.code.title(),
            status: self.code.status().as_u16(),
            detail: &self.detail,
            error: &self.detail,
            request_id,
            help: self.help.as_deref(),
        };
        serde_json::to_vec(&problem).expect("text, numbers and lists of text are always JSON")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.name(), self.detail)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_plain() {
        let mut names: Vec<&str> = ErrorCode::ALL.iter().map(|code| code.name()).collect();
        assert!(names.iter().all(|name| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ErrorCode::ALL.len());
    }

    #[test]
    fn a_problem_has_its_members_in_order_and_no_source() {
        let error = Error::new(ErrorCode::PermissionMissing, "This key lacks `connection:read`.")
            .with_help(Help {
                required_permission: Some(ApiAccessPermission::CONNECTION_READ),
                granted_permissions: Some(ApiAccessPermission::PING_READ),
                ..Help::default()
            })
            .caused_by("a secret of the inside");
        let json = String::from_utf8(error.problem("https://docs.example", "the-id")).unwrap();
        assert_eq!(
            json,
            "{\"type\":\"https://docs.example/errors/permission-missing\",\
             \"title\":\"The key lacks a permission\",\"status\":403,\
             \"detail\":\"This key lacks `connection:read`.\",\"error\":\"This key lacks `connection:read`.\",\
             \"requestId\":\"the-id\",\"requiredPermission\":\"connection:read\",\
             \"grantedPermissions\":[\"ping:read\"]}"
        );
    }
}
