//! What every endpoint answers with besides its own body: the errors, their forms, and the fields.

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::{ErrorCode, Route};

/// The media type of a 200 and of a 401.
pub(super) const JSON: &str = "application/json";
/// The media type of every other error (RFC 9457).
const PROBLEM: &str = "application/problem+json";

/// A field of answers.
struct Field {
    name: &'static str,
    tells: &'static str,
    example: &'static str,
    stands: Stands,
}

/// On which answers a field stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stands {
    /// On every one.
    Always,
    /// On every one to a caller whose key was good.
    ForKnown,
    /// On any one, as circumstances are.
    Sometimes,
    /// Where the same call can succeed later.
    WhereLater,
    /// Where the credential is what is wrong.
    WhereRefused,
}

const FIELDS: [Field; 12] = [
    Field {
        name: "api-version",
        tells: "The version that answered; wherever the request was well-formed enough to name one.",
        example: "2026-02-01",
        stands: Stands::Sometimes,
    },
    Field {
        name: "api-version-requested",
        tells: "The version in the path, where it is retired and your key takes the answers of the one that follows.",
        example: "2026-02-01",
        stands: Stands::Sometimes,
    },
    Field {
        name: "x-request-id",
        tells: "Names this call (UUIDv7). Tell it when you report a problem.",
        example: "019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b",
        stands: Stands::Always,
    },
    Field {
        name: "cache-control",
        tells: "An answer is for its caller alone, and for once.",
        example: "no-store",
        stands: Stands::Always,
    },
    Field {
        name: "ratelimit",
        tells: "What is left of the key's rate, and in how many seconds more is there; wherever the key was good.",
        example: "\"key\";r=99;t=1",
        stands: Stands::ForKnown,
    },
    Field {
        name: "ratelimit-policy",
        tells: "The key's rate, as calls in a number of seconds; wherever the key was good.",
        example: "\"key\";q=100;w=1",
        stands: Stands::ForKnown,
    },
    Field {
        name: "alt-svc",
        tells: "Where HTTP/3 is offered; on HTTP/1.1 and HTTP/2.",
        example: "h3=\":443\"; ma=86400",
        stands: Stands::Sometimes,
    },
    Field {
        name: "deprecation",
        tells: "The moment from which on this version is deprecated (RFC 9745); once it is.",
        example: "@1796083200",
        stands: Stands::Sometimes,
    },
    Field {
        name: "sunset",
        tells: "The moment from which on this version answers 410 (RFC 8594); once it is deprecated.",
        example: "Tue, 01 Jun 2027 00:00:00 GMT",
        stands: Stands::Sometimes,
    },
    Field {
        name: "link",
        tells: "Where to read of the deprecation and the sunset, and the version to move to; once it is deprecated.",
        example: "</2026-11-01/ping.json>; rel=\"successor-version\"",
        stands: Stands::Sometimes,
    },
    Field {
        name: "retry-after",
        tells: "In how many seconds to try again.",
        example: "1",
        stands: Stands::WhereLater,
    },
    Field {
        name: "www-authenticate",
        tells: "What the credential lacks (RFC 6750 §3).",
        example: "Bearer realm=\"partner-api\", error=\"invalid_token\"",
        stands: Stands::WhereRefused,
    },
];

/// What can happen to a call of an endpoint, by status, each with the name of its response.
pub(super) fn met_by(route: &Route) -> Vec<(StatusCode, String)> {
    let statuses = errors_by_status().into_iter();
    let met = statuses.filter(|(_, codes)| codes[0] != ErrorCode::TooEarly || !route.early_data_safe);
    met.map(|(status, codes)| (status, response_name(codes[0]))).collect()
}

/// Every error as a response that the operations refer to.
pub(super) fn errors() -> Map<String, Value> {
    let error = |(status, codes): (StatusCode, Vec<ErrorCode>)| {
        let titles: Vec<_> = codes.iter().map(|code| code.title()).collect();
        let (kind, schema) = match codes[0] {
            ErrorCode::InvalidToken => (JSON, "Unauthorized"),
            _ => (PROBLEM, "Problem"),
        };
        let response = json!({
            "description": format!("{}.", titles.join(", or: ")),
            "headers": fields_of(status),
            "content": { kind: { "schema": { "$ref": format!("#/components/schemas/{schema}") } } },
        });
        (response_name(codes[0]), response)
    };
    errors_by_status().into_iter().map(error).collect()
}

/// The errors that an operation can be answered with; the first code of a status names its response.
fn errors_by_status() -> BTreeMap<StatusCode, Vec<ErrorCode>> {
    let mut statuses: BTreeMap<_, Vec<_>> = BTreeMap::new();
    // A method that is not answered is no operation.
    for code in ErrorCode::ALL.into_iter().filter(|code| *code != ErrorCode::MethodNotAllowed) {
        statuses.entry(code.status()).or_default().push(code);
    }
    statuses
}

/// `RateLimited` for `rate-limited`.
fn response_name(code: ErrorCode) -> String {
    let capital = |word: &str| word[..1].to_ascii_uppercase() + &word[1..];
    code.name().split('-').map(capital).collect()
}

/// The fields of an answer with this status, by reference.
pub(super) fn fields_of(status: StatusCode) -> Map<String, Value> {
    let stands = |field: &&Field| match field.stands {
        Stands::Always | Stands::Sometimes => true,
        Stands::ForKnown => status != StatusCode::UNAUTHORIZED,
        Stands::WhereLater => {
            [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(&status)
        }
        Stands::WhereRefused => [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&status),
    };
    let reference = |name: &str| (name.to_owned(), json!({ "$ref": format!("#/components/headers/{name}") }));
    FIELDS.iter().filter(stands).map(|field| reference(field.name)).collect()
}

/// Every field that an answer may have.
pub(super) fn headers() -> Map<String, Value> {
    let header = |field: &Field| {
        let header = json!({
            "description": field.tells,
            "required": field.stands == Stands::Always,
            "schema": { "type": "string" },
            "example": field.example,
        });
        (field.name.to_owned(), header)
    };
    FIELDS.iter().map(header).collect()
}

/// The two forms of an error's body.
pub(super) fn schemas() -> Map<String, Value> {
    let text = |description: &str| json!({ "type": "string", "description": description });
    let names = |description: &str| json!({ "type": "array", "items": { "type": "string" }, "description": description });
    let problem = json!({
        "type": "object",
        "description": "Problem details (RFC 9457): every error but a 401.",
        "properties": {
            "type": { "type": "string", "format": "uri-reference", "description": "The address of the page on this kind of error." },
            "title": text("The kind of error in one line, the same every time."),
            "status": { "type": "integer", "description": "The status of the answer." },
            "detail": text("What was wrong with this call, and what to do."),
            "error": text("The same as `detail`."),
            "requestId": text("Names this call, as `x-request-id` does."),
            "requiredPermission": text("The permission that the endpoint needs."),
            "grantedPermissions": names("The permissions that your key holds."),
            "supportedVersions": names("The versions that can be asked for."),
            "successorVersion": text("The version to move to."),
            "retryAfterSeconds": { "type": "integer", "minimum": 0, "description": "In how many seconds to try again, as `Retry-After` says." },
        },
        "required": ["type", "title", "status", "detail", "error", "requestId"],
    });
    let unauthorized = json!({
        "type": "object",
        "description": "The same for every credential that is not good here, whatever the reason.",
        "properties": { "error": text("What stands there is the same every time.") },
        "required": ["error"],
    });
    [("Problem", problem), ("Unauthorized", unauthorized)]
        .map(|(name, schema)| (name.to_owned(), schema))
        .into_iter()
        .collect()
}
