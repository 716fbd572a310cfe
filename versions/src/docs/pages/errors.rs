//! What each error means, what to do about it, and what it looks like.

use super::page::{Block, Code, Page, Section, Table};
use super::text::Text;
use super::{Site, pretty};
use crate::{Error, ErrorCode, Help, State, Version};

/// A request id as it may look, for examples.
const REQUEST_ID: &str = "019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b";

/// What an error means, and what a caller does about it.
struct Advice {
    meaning: &'static str,
    remedy: &'static [&'static str],
}

const fn advice(code: ErrorCode) -> Advice {
    let (meaning, remedy): (_, &[_]) = match code {
        ErrorCode::MalformedRequest => (
            "The request is not well-formed HTTP, or one of its parameters does not have the form that the \
             endpoint declares. `detail` names the part.",
            &[
                "Mend what `detail` names; the same request again gets the same answer.",
                "The connection may be closed behind a request that can be read in two ways. Open another one.",
            ],
        ),
        ErrorCode::InvalidToken => (
            "No key was sent, or none that is good at this address. The answer is the same for a key that is \
             missing, misspelt, unknown, expired, revoked, of the other environment, or used from a network that it \
             is not meant for, so that nobody learns from it.",
            &[
                "Look whether `Authorization` is sent once, as `Bearer`, a blank and the key.",
                "Look whether the key is of the environment that this address serves.",
                "Ask the team that gave you the key: they see which of the reasons it was.",
            ],
        ),
        ErrorCode::PermissionMissing => (
            "The key is good, and lacks the one permission that the endpoint requires. `requiredPermission` names \
             it, `grantedPermissions` lists those that the key holds.",
            &[
                "Ask for the missing permission, or use a key that holds it.",
                "Do not try again before that: nothing changes by itself.",
            ],
        ),
        ErrorCode::UnknownVersion => (
            "The path does not begin with a date of this API, or with one that is not open to the key: previews \
             are for keys of staging.",
            &["Choose one of `supportedVersions`."],
        ),
        ErrorCode::RetiredVersion => (
            "The date is past its sunset. It is never answered in the form of another date, unless the key was set \
             to that.",
            &[
                "Move to `successorVersion`; the [changelog](/changelog) says what is different.",
                "Until you have, the team that gave you the key can set it to be [forwarded](/versions#after-the-sunset).",
            ],
        ),
        ErrorCode::UnknownResource => (
            "The date exists and has nothing at this path. Paths are compared letter by letter: case, slashes and \
             percent-signs count.",
            &["Compare the path with the endpoints of the date."],
        ),
        ErrorCode::MethodNotAllowed => (
            "There is a resource at this path, and it does not answer the method. `Allow` lists those that it does.",
            &["Use one of the methods in `Allow`."],
        ),
        ErrorCode::NotAcceptable => (
            "`Accept` rules out `application/json`, which is the only form of an answer.",
            &["Send `Accept: application/json`, or leave the field out."],
        ),
        ErrorCode::RequestTimeout => (
            "The request began and did not arrive whole in the time that is given to it.",
            &["Send it again. If it keeps happening, look at the network between."],
        ),
        ErrorCode::ContentTooLarge => {
            ("The content has more bytes than are taken; `detail` has the number.", &["Send less."])
        }
        ErrorCode::UriTooLong => (
            "Path and query together have more bytes than are taken; `detail` has the number.",
            &["Shorten the query."],
        ),
        ErrorCode::UnsupportedMediaType => (
            "The content is not `application/json`, or it is compressed.",
            &["Send `Content-Type: application/json` and the content as it is."],
        ),
        ErrorCode::MisdirectedRequest => (
            "The connection leads to a server that does not answer for the host of the request.",
            &["Open a connection of its own for this host."],
        ),
        ErrorCode::TooEarly => (
            "The request came in TLS early data, which others could send again, and the endpoint does not take the \
             risk.",
            &["Send it again when the handshake is done. Most clients do so by themselves."],
        ),
        ErrorCode::RateLimited => (
            "The key has made more calls than its rate allows. `RateLimit` on every answer tells how much is left.",
            &[
                "Wait for as many seconds as `Retry-After` says.",
                "Spread calls over time instead of sending them in bursts.",
                "Ask for a higher rate if you keep meeting this.",
            ],
        ),
        ErrorCode::TooManyFailures => (
            "So many calls from one address came without a good key that further ones are not looked at for a \
             while. Calls with a good key are answered all the same.",
            &["Stop the program that sends a bad key, then wait as `Retry-After` says."],
        ),
        ErrorCode::HeadersTooLarge => (
            "The header fields are more, or larger, than are taken; `detail` has the numbers.",
            &["Leave out fields that the API does not need, cookies above all."],
        ),
        ErrorCode::Internal => (
            "Something failed on our side. The answer says no more; the log does.",
            &["Try again after a moment.", "If it stays, report `requestId`: the log is found by it."],
        ),
        ErrorCode::Overloaded => (
            "More calls are being answered than the gateway takes at once, or it is about to be restarted.",
            &["Try again after `Retry-After`, on a new connection.", "Wait a little longer each time."],
        ),
    };
    Advice { meaning, remedy }
}

/// The address of an error's page.
pub(super) fn address(code: ErrorCode) -> String {
    format!("/errors/{}", code.name())
}

/// The content of an answer with this error, as the gateway would write it but for line breaks.
pub(super) fn example(
    code: ErrorCode,
    version: Version,
    required: permissions::ApiAccessPermission,
    site: &Site<'_>,
) -> String {
    if code == ErrorCode::InvalidToken {
        return pretty(&serde_json::json!({ "error": site.invalid_token_message }));
    }
    let open = |life: &&crate::Life| matches!(life.state(site.now), State::Current | State::Deprecated);
    let supported = || site.calendar.lives().iter().filter(open).map(|life| life.version).collect();
    let help = match code {
        ErrorCode::PermissionMissing => Help {
            required_permission: Some(required),
            granted_permissions: Some(permissions::ApiAccessPermission::all() - required),
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
    // What was just written as JSON reads as such.
    serde_json::from_slice(&body).map(|body: serde_json::Value| pretty(&body)).unwrap_or_default()
}

fn detail(code: ErrorCode, version: Version, required: permissions::ApiAccessPermission) -> String {
    match code {
        ErrorCode::MalformedRequest => "The request has more than one `Host` field.".to_owned(),
        ErrorCode::InvalidToken => String::new(),
        ErrorCode::PermissionMissing => {
            format!("This key lacks the permission `{required}`. Ask for it, or use a key that has it.")
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
            "Every answer that is not a success has a JSON body with a text `error`. All but one are problem \
               details (RFC 9457), whose `type` is the address of a page here."
                .into(),
        version: None,
        notice: None,
        opening: Vec::new(),
        sections: vec![
            Section::new(
                "All of them",
                vec![Block::Table(Table {
                    label: "Errors by status",
                    head: vec!["Status", "Name", "Meaning"],
                    rows: codes.into_iter().map(row).collect(),
                })],
            ),
            Section::new(
                "The form of an error",
                vec![
                    Block::says(
                        "The media type is `application/problem+json`. `error` repeats `detail`; members that help to \
                         mend the call, such as `requiredPermission` or `retryAfterSeconds`, come where they apply. \
                         Build on `type` or `status`: the words of `detail` may change.",
                    ),
                    Block::Code(Code { label: "403", language: "json", text: problem }),
                ],
            ),
            Section::new(
                "The one 401",
                vec![
                    Block::says(
                        "A 401 is `application/json` with the same bytes for every reason, and `WWW-Authenticate` \
                         beside it.",
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
                    label: status.canonical_reason().unwrap_or("Content"),
                    language: "json",
                    text: example(code, version, permission, site),
                })],
            ),
        ],
    }
}
