//! The pages about errors: what each means, what to do about it, and an example.

use super::page::{Block, Code, Page, Section, Table};
use super::text::Text;
use super::{Site, pretty};
use crate::{Error, ErrorCode, Help, Version, VersionState};

/// A request id for examples.
const REQUEST_ID: &str = "019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b";

/// What an error means, and what a caller does about it.
struct Advice {
    meaning: &'static str,
    remedy: &'static [&'static str],
}

const fn advice(code: ErrorCode) -> Advice {
    let (meaning, remedy): (_, &[_]) = match code {
        ErrorCode::MalformedRequest => (
            "The request is not valid HTTP, or a parameter does not match its schema. `detail` names the problem.",
            &[
                "Fix the problem that `detail` names. The same request will fail again.",
                "Open a new connection if the gateway has closed this one, which it does if a request is ambiguous.",
            ],
        ),
        ErrorCode::InvalidToken => (
            "The request has no API key, or one that is not valid at this address. The response is the same whether the \
             key is missing, mistyped, unknown, expired, revoked, for the other environment, or used from a network \
             that it is not allowed for, so that it reveals nothing to attackers.",
            &[
                "Check that the request has exactly one `Authorization` header: `Bearer`, a space and the key.",
                "Check that the key is for the environment that this address serves.",
                "Ask the team that issued the key. They can see the reason.",
            ],
        ),
        ErrorCode::PermissionMissing => (
            "The key is valid but does not have the permission that the endpoint requires. `requiredPermission` names \
             it, and `grantedPermissions` lists the permissions that the key has.",
            &[
                "Ask for the missing permission, or use a key that has it.",
                "Do not retry before you have the permission.",
            ],
        ),
        ErrorCode::StepUpRequired => (
            "The credential may do this, but only shortly after its owner has signed in: production keys, rotation, \
             revocation, members and roles need an authentication of the last 15 minutes. A key cannot sign in, so it \
             cannot do any of these.",
            &[
                "Sign in again, on the device or in the browser, and repeat the call with the new token.",
                "Use a person's token instead of a key.",
            ],
        ),
        ErrorCode::Conflict => (
            "The request contradicts what is stored, such as a name that is taken, or a call with the same \
             `Idempotency-Key` is still running. `detail` says which.",
            &[
                "Read the resource again and decide anew.",
                "If the first call is still running, wait for its response, then repeat the call.",
            ],
        ),
        ErrorCode::IdempotencyKeyReused => (
            "The `Idempotency-Key` was sent with another call within the last 24 hours. Nothing was done.",
            &["Send a new key with each new call, and the same key only with an exact repetition."],
        ),
        ErrorCode::UnknownVersion => (
            "The path does not start with a version of this API, or starts with a preview, which is available to \
             staging keys only.",
            &["Use one of the `supportedVersions`."],
        ),
        ErrorCode::RetiredVersion => (
            "The version is past its sunset date. It does not respond in the format of another version unless your key \
             is set to forward.",
            &[
                "Move to the `successorVersion`. See the [changelog](/changelog) for what is different.",
                "If you need more time, ask for your key to be set to [forward](/versions#retired-versions).",
            ],
        ),
        ErrorCode::UnknownResource => (
            "The version exists but has no endpoint at this path. Paths must match exactly, including case, slashes \
             and percent-encoding.",
            &["Compare the path with the endpoints of the version."],
        ),
        ErrorCode::MethodNotAllowed => (
            "The endpoint does not support this method. The `Allow` header lists the methods that it supports.",
            &["Use one of the methods in `Allow`."],
        ),
        ErrorCode::NotAcceptable => (
            "The `Accept` header excludes `application/json`, which is the only format of responses.",
            &["Send `Accept: application/json`, or omit the header."],
        ),
        ErrorCode::RequestTimeout => (
            "The request was not complete within the time limit.",
            &["Try again. If it keeps happening, check the network connection."],
        ),
        ErrorCode::ContentTooLarge => {
            ("The request body is larger than the limit, which `detail` names.", &["Send a smaller body."])
        }
        ErrorCode::UriTooLong => (
            "The path and query together are longer than the limit, which `detail` names.",
            &["Shorten the query."],
        ),
        ErrorCode::UnsupportedMediaType => (
            "The request body is not `application/json`, or it is compressed.",
            &["Send `Content-Type: application/json` and an uncompressed body."],
        ),
        ErrorCode::MisdirectedRequest => (
            "The connection goes to a server that does not serve the host of the request.",
            &["Open a new connection for this host."],
        ),
        ErrorCode::TooEarly => (
            "The request was sent as TLS early data, which an attacker could replay, and the endpoint does not allow \
             that.",
            &["Send the request again after the handshake. Most clients do so automatically."],
        ),
        ErrorCode::RateLimited => (
            "The key has exceeded its rate limit. The `RateLimit` header of every response says how many calls are left.",
            &[
                "Wait for the number of seconds in `Retry-After`.",
                "Spread calls over time instead of sending them in bursts.",
                "If this happens often, ask for a higher rate limit.",
            ],
        ),
        ErrorCode::TooManyFailures => (
            "Too many requests from your address had no valid key, so further ones are rejected for a while. Requests \
             with a valid key are not affected.",
            &["Stop the program that sends the invalid key, then wait for the time in `Retry-After`."],
        ),
        ErrorCode::HeadersTooLarge => (
            "The request headers are too many or too large. `detail` names the limits.",
            &["Remove headers that the API does not need, such as cookies."],
        ),
        ErrorCode::Internal => (
            "Something failed on our side.",
            &["Try again after a moment.", "If the error persists, report the `requestId`."],
        ),
        ErrorCode::Overloaded => (
            "The gateway has too many requests in progress, or is about to restart.",
            &[
                "Try again after the time in `Retry-After`, on a new connection.",
                "Wait longer after each attempt.",
            ],
        ),
    };
    Advice { meaning, remedy }
}

/// The path of an error's page.
pub(super) fn address(code: ErrorCode) -> String {
    format!("/errors/{}", code.name())
}

/// The body of this error as the gateway sends it, with line breaks added.
pub(super) fn example(
    code: ErrorCode,
    version: Version,
    required: permissions::ApiAccessPermission,
    site: &Site<'_>,
) -> String {
    if code == ErrorCode::InvalidToken {
        return pretty(&serde_json::json!({ "error": site.invalid_token_message }));
    }
    let open = |schedule: &&crate::Schedule| {
        matches!(schedule.state(site.now), VersionState::Current | VersionState::Deprecated)
    };
    let supported =
        || site.calendar.schedules().iter().filter(open).map(|schedule| schedule.version).collect();
    let help = match code {
        ErrorCode::PermissionMissing => Help {
            required_permission: Some(required),
            granted_permissions: Some(permissions::ApiAccessPermission::grantable() - required),
            ..Help::default()
        },
        ErrorCode::UnknownVersion => Help { supported_versions: Some(supported()), ..Help::default() },
        ErrorCode::RetiredVersion => Help {
            supported_versions: Some(supported()),
            successor_version: site.successor_of(version),
            ..Help::default()
        },
        ErrorCode::RateLimited | ErrorCode::TooManyFailures | ErrorCode::Overloaded => {
            Help { retry_after_seconds: Some(1), ..Help::default() }
        }
        _ => Help::default(),
    };
    let error = Error::new(code, detail(code, version, required)).with_help(help);
    let body = error.problem(site.docs_url, REQUEST_ID);
    // It was written as JSON just now.
    serde_json::from_slice(&body).map(|body: serde_json::Value| pretty(&body)).unwrap_or_default()
}

fn detail(code: ErrorCode, version: Version, required: permissions::ApiAccessPermission) -> String {
    match code {
        ErrorCode::MalformedRequest => "The request has more than one `Host` field.".to_owned(),
        ErrorCode::InvalidToken => String::new(),
        ErrorCode::PermissionMissing => {
            format!("This key lacks the permission `{required}`. Ask for it, or use a key that has it.")
        }
        ErrorCode::StepUpRequired => {
            "Sign in again first: this needs an authentication of the last 15 minutes.".to_owned()
        }
        ErrorCode::Conflict => "There is a role `monitoring` already.".to_owned(),
        ErrorCode::IdempotencyKeyReused => {
            "This `Idempotency-Key` was used for another call. Nothing was done; send a new key with a new call."
                .to_owned()
        }
        ErrorCode::UnknownVersion => {
            "The path does not begin with a version that exists; see `supportedVersions`.".to_owned()
        }
        ErrorCode::RetiredVersion => format!("{version} is retired."),
        ErrorCode::UnknownResource => {
            format!("{version} has no such resource; paths are matched to the letter.")
        }
        ErrorCode::MethodNotAllowed => {
            "This resource answers GET, HEAD, OPTIONS, not the method of this request.".to_owned()
        }
        ErrorCode::NotAcceptable => {
            "Answers are `application/json`, which the request's `Accept` does not allow.".to_owned()
        }
        ErrorCode::RequestTimeout => "The content did not arrive in time.".to_owned(),
        ErrorCode::ContentTooLarge => "The content has 2097152 bytes; at most 1048576 are taken.".to_owned(),
        ErrorCode::UriTooLong => "The target has 9000 bytes; at most 8192 are taken.".to_owned(),
        ErrorCode::UnsupportedMediaType => "Content is taken as `application/json` only.".to_owned(),
        ErrorCode::MisdirectedRequest => {
            "This listener does not answer for the host of this request.".to_owned()
        }
        ErrorCode::TooEarly => {
            "The request came as early data. Send it again once the handshake is done.".to_owned()
        }
        ErrorCode::RateLimited => "This key has reached its rate. Wait as `Retry-After` says.".to_owned(),
        ErrorCode::TooManyFailures => {
            "Too many requests from this address had no valid token. Wait as `Retry-After` says.".to_owned()
        }
        ErrorCode::HeadersTooLarge => "The request has 101 fields; at most 100 are taken.".to_owned(),
        ErrorCode::Internal => Error::internal("").detail.into_owned(),
        ErrorCode::Overloaded => {
            "More requests are being answered than this gateway takes at once. Try again shortly.".to_owned()
        }
    }
}

/// The list of all errors, and a page for each.
pub(super) fn pages(site: &Site<'_>) -> Vec<Page> {
    let mut pages = vec![overview(site)];
    pages.extend(ErrorCode::ALL.into_iter().map(|code| page(code, site)));
    pages
}

fn overview(site: &Site<'_>) -> Page {
    let mut codes = ErrorCode::ALL;
    codes.sort_by_key(|code| code.status());
    let row = |code: ErrorCode| {
        let link = format!("[`{}`]({})", code.name(), address(code));
        vec![Text::from(format!("`{}`", code.status().as_u16())), link.into(), code.title().into()]
    };
    let (version, permission) = site.newest();
    let problem = example(ErrorCode::PermissionMissing, version, permission, site);
    let unauthorized = example(ErrorCode::InvalidToken, version, permission, site);
    Page {
        address: "/errors".to_owned(),
        route: "/errors",
        title: "Errors".to_owned(),
        lead:
            "Every error response has a JSON body with a string `error`. Except for the 401, errors are problem details \
               (RFC 9457) whose `type` is the URL of a page in this documentation."
                .into(),
        version: None,
        notice: None,
        opening: Vec::new(),
        sections: vec![
            Section::new(
                "All errors",
                vec![Block::Table(Table {
                    label: "Errors by status",
                    head: vec!["Status", "Name", "Description"],
                    rows: codes.into_iter().map(row).collect(),
                })],
            ),
            Section::new(
                "Error format",
                vec![
                    Block::paragraph(
                        "The media type is `application/problem+json`. `error` is the same text as `detail`. Fields that help you \
                         fix the call, such as `requiredPermission` or `retryAfterSeconds`, are present if they apply. \
                         Rely on `type` or `status`: the text of `detail` may change.",
                    ),
                    Block::Code(Code { label: "403", language: "json", text: problem }),
                ],
            ),
            Section::new(
                "401 responses",
                vec![
                    Block::paragraph(
                        "The body of a 401 is `application/json` and the same for every reason. The response has a \
                         `WWW-Authenticate` header.",
                    ),
                    Block::Code(Code { label: "401", language: "json", text: unauthorized }),
                ],
            ),
        ],
    }
}

fn page(code: ErrorCode, site: &Site<'_>) -> Page {
    let Advice { meaning, remedy } = advice(code);
    let (version, permission) = site.newest();
    let status = code.status();
    let kind = if code == ErrorCode::InvalidToken { "application/json" } else { "application/problem+json" };
    let mut facts = vec![
        ("Status", Text::from(format!("`{status}`"))),
        ("Name", format!("`{}`", code.name()).into()),
        ("Media type", format!("`{kind}`").into()),
    ];
    if code != ErrorCode::InvalidToken {
        facts.push(("Type", format!("`{}{}`", site.docs_url, address(code)).into()));
    }
    Page {
        address: address(code),
        route: "/errors/{code}",
        title: code.title().to_owned(),
        lead: meaning.into(),
        version: None,
        notice: None,
        opening: vec![Block::Facts(facts)],
        sections: vec![
            Section::new("What to do", vec![Block::List(remedy.iter().map(|line| (*line).into()).collect())]),
            Section::new(
                "Example",
                vec![Block::Code(Code {
                    label: status.canonical_reason().unwrap_or("Body"),
                    language: "json",
                    text: example(code, version, permission, site),
                })],
            ),
        ],
    }
}
