//! What the responses of all endpoints have in common: errors and headers.

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::{ErrorCode, Route};

/// The media type of a 200 and of a 401.
pub(super) const JSON: &str = "application/json";
/// The media type of every other error (RFC 9457).
const PROBLEM: &str = "application/problem+json";

/// A response header.
struct Header {
    name: &'static str,
    description: &'static str,
    example: &'static str,
    sent: Sent,
}

/// On which responses a header is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sent {
    Always,
    /// On every response to an authenticated call.
    Authenticated,
    /// On some responses of any status.
    Sometimes,
    /// On some responses of a successful call.
    WithSuccess,
    /// If the same call can succeed later.
    WithRetry,
    /// If the credential is at fault.
    WithChallenge,
}

const HEADERS: [Header; 16] = [
    Header {
        name: "api-version",
        description: "The version that produced the response. Missing if the request named no version or was not authenticated.",
        example: "2026-02-01",
        sent: Sent::Sometimes,
    },
    Header {
        name: "api-version-requested",
        description: "The version in the path, if that version is retired and the key is set to receive its successor's responses.",
        example: "2026-02-01",
        sent: Sent::Sometimes,
    },
    Header {
        name: "api-version-preview",
        description: "The version that the call asked to preview.",
        example: "2026-11-01",
        sent: Sent::WithSuccess,
    },
    Header {
        name: "api-version-preview-status",
        description: "The status that the previewed version would have responded with.",
        example: "200",
        sent: Sent::WithSuccess,
    },
    Header {
        name: "api-version-preview-patch",
        description: "A JSON Patch (RFC 6902) from this response body to that of the previewed version.",
        example: "[{\"op\":\"remove\",\"path\":\"/RRT\"}]",
        sent: Sent::WithSuccess,
    },
    Header {
        name: "api-version-preview-omitted",
        description: "Why there is no patch: `too-large` for a header, or `not-safe` to make the call a second time.",
        example: "too-large;bytes=9000",
        sent: Sent::WithSuccess,
    },
    Header {
        name: "x-request-id",
        description: "Identifies the call (UUIDv7). Include it when you report a problem.",
        example: "019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b",
        sent: Sent::Always,
    },
    Header {
        name: "cache-control",
        description: "Always `no-store`: responses must not be cached.",
        example: "no-store",
        sent: Sent::Always,
    },
    Header {
        name: "ratelimit",
        description: "How many calls the key has left (`r`), and the seconds until it has more (`t`). Sent on authenticated calls.",
        example: "\"key\";r=99;t=1",
        sent: Sent::Authenticated,
    },
    Header {
        name: "ratelimit-policy",
        description: "The key's rate limit: `q` calls in `w` seconds. Sent on authenticated calls.",
        example: "\"key\";q=100;w=1",
        sent: Sent::Authenticated,
    },
    Header {
        name: "alt-svc",
        description: "Where HTTP/3 is available. Sent over HTTP/1.1 and HTTP/2.",
        example: "h3=\":443\"; ma=86400",
        sent: Sent::Sometimes,
    },
    Header {
        name: "deprecation",
        description: "When the version was deprecated (RFC 9745). Sent by deprecated and retired versions.",
        example: "@1796083200",
        sent: Sent::Sometimes,
    },
    Header {
        name: "sunset",
        description: "When the version is retired and responds with 410 (RFC 8594). Sent by deprecated and retired versions.",
        example: "Tue, 01 Jun 2027 00:00:00 GMT",
        sent: Sent::Sometimes,
    },
    Header {
        name: "link",
        description: "The version's page and the version to move to. Sent by deprecated and retired versions.",
        example: "</2026-11-01/ping.json>; rel=\"successor-version\"",
        sent: Sent::Sometimes,
    },
    Header {
        name: "retry-after",
        description: "How many seconds to wait before you try again.",
        example: "1",
        sent: Sent::WithRetry,
    },
    Header {
        name: "www-authenticate",
        description: "What is wrong with the credential (RFC 6750 §3).",
        example: "Bearer realm=\"partner-api\", error=\"invalid_token\"",
        sent: Sent::WithChallenge,
    },
];

/// The errors of an endpoint by status, each with the name of its response.
pub(super) fn errors_of(route: &Route) -> Vec<(StatusCode, String)> {
    codes_of(route).into_iter().map(|(status, codes)| (status, response_name(&codes))).collect()
}

/// The errors of these endpoints as responses that operations refer to: those of every endpoint first.
pub(super) fn errors<'r>(routes: impl Iterator<Item = &'r Route>) -> Map<String, Value> {
    let general = by_status(ErrorCode::ALL.into_iter().filter(|code| code.is_general()));
    let special = routes.flat_map(codes_of).filter(|(_, codes)| codes.iter().any(|code| !code.is_general()));
    let special: BTreeMap<String, (StatusCode, Vec<ErrorCode>)> =
        special.map(|(status, codes)| (response_name(&codes), (status, codes))).collect();
    let error = |(status, codes): (StatusCode, Vec<ErrorCode>)| {
        let titles: Vec<_> = codes.iter().map(|code| code.title()).collect();
        let (kind, schema) = match codes[0] {
            ErrorCode::InvalidToken => (JSON, "Unauthorized"),
            _ => (PROBLEM, "Problem"),
        };
        let response = json!({
            "description": format!("{}.", titles.join(", or: ")),
            "headers": headers_of(status),
            "content": { kind: { "schema": { "$ref": format!("#/components/schemas/{schema}") } } },
        });
        (response_name(&codes), response)
    };
    general.into_iter().chain(special.into_values()).map(error).collect()
}

/// The errors that an endpoint can respond with.
fn codes_of(route: &Route) -> BTreeMap<StatusCode, Vec<ErrorCode>> {
    let keyed: &[_] = if route.takes_idempotency_key {
        &[ErrorCode::Conflict, ErrorCode::IdempotencyKeyReused]
    } else {
        &[]
    };
    by_status(ErrorCode::ALL.into_iter().filter(|code| match code {
        ErrorCode::TooEarly => !route.early_data_safe,
        ErrorCode::NotAcceptable => route.media_type.is_some(),
        code => code.is_general() || route.errors.contains(code) || keyed.contains(code),
    }))
}

fn by_status(codes: impl Iterator<Item = ErrorCode>) -> BTreeMap<StatusCode, Vec<ErrorCode>> {
    let mut statuses: BTreeMap<_, Vec<_>> = BTreeMap::new();
    // A method that is not allowed is not an operation.
    for code in codes.filter(|code| *code != ErrorCode::MethodNotAllowed) {
        statuses.entry(code.status()).or_default().push(code);
    }
    statuses
}

/// The first code names a response, but where an endpoint has an error of its own with that status, that one does.
fn response_name(codes: &[ErrorCode]) -> String {
    let own = codes.iter().rfind(|code| !code.is_general());
    camel_case(own.or(codes.first()).map_or("", |code| code.name()), '-')
}

/// `RateLimited` for `rate-limited`.
pub(super) fn camel_case(words: &str, separator: char) -> String {
    let capital = |word: &str| word[..1].to_ascii_uppercase() + &word[1..];
    words.split(separator).filter(|word| !word.is_empty()).map(capital).collect()
}

/// The headers of a response with this status, by reference.
pub(super) fn headers_of(status: StatusCode) -> Map<String, Value> {
    let sent = |header: &&Header| match header.sent {
        Sent::Always | Sent::Sometimes => true,
        Sent::Authenticated => status != StatusCode::UNAUTHORIZED,
        Sent::WithSuccess => status == StatusCode::OK,
        Sent::WithRetry => [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(&status),
        Sent::WithChallenge => [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&status),
    };
    let reference = |name: &str| (name.to_owned(), json!({ "$ref": format!("#/components/headers/{name}") }));
    HEADERS.iter().filter(sent).map(|header| reference(header.name)).collect()
}

/// Every response header.
pub(super) fn headers() -> Map<String, Value> {
    let header = |header: &Header| {
        let value = json!({
            "description": header.description,
            "required": header.sent == Sent::Always,
            "schema": { "type": "string" },
            "example": header.example,
        });
        (header.name.to_owned(), value)
    };
    HEADERS.iter().map(header).collect()
}

/// The two forms of an error's body.
pub(super) fn schemas() -> Map<String, Value> {
    let text = |description: &str| json!({ "type": "string", "description": description });
    let names = |description: &str| json!({ "type": "array", "items": { "type": "string" }, "description": description });
    let problem = json!({
        "type": "object",
        "description": "Problem details (RFC 9457): the body of every error except 401.",
        "properties": {
            "type": { "type": "string", "format": "uri-reference", "description": "The URL of the page about this type of error." },
            "title": text("A short summary that is the same for every error of this type."),
            "status": { "type": "integer", "description": "The HTTP status code." },
            "detail": text("What was wrong with this call, and what to do about it."),
            "error": text("The same text as `detail`."),
            "requestId": text("Identifies the call; the same as the `x-request-id` header."),
            "requiredPermission": text("The permission that the endpoint requires."),
            "grantedPermissions": names("The permissions that the key has."),
            "supportedVersions": names("The versions that you can use."),
            "successorVersion": text("The version to move to."),
            "retryAfterSeconds": { "type": "integer", "minimum": 0, "description": "How many seconds to wait before you try again; the same as the `retry-after` header." },
        },
        "required": ["type", "title", "status", "detail", "error", "requestId"],
    });
    let unauthorized = json!({
        "type": "object",
        "description": "The body of a 401. It is the same for every reason.",
        "properties": { "error": text("The same text for every reason.") },
        "required": ["error"],
    });
    [("Problem", problem), ("Unauthorized", unauthorized)]
        .map(|(name, schema)| (name.to_owned(), schema))
        .into_iter()
        .collect()
}
