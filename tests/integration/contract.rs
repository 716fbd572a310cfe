//! Constants of the contract, and the assertions that every response must pass.

use std::fmt::Display;

use jiff::fmt::rfc2822::DateTimeParser;
use permissions::ApiAccessPermission;
use serde_json::Value;
use tests::{Client, Protocol, Response, TestGateway, Way};

pub(crate) const PING: &str = "/2026-02-01/ping.json";
/// An endpoint of `test-gateway` that accepts content.
pub(crate) const ECHO: &str = "/test/echo.json";
pub(crate) const CONNECTION: &str = "/2026-02-01/connection.json";

/// A connection over this transport.
pub(crate) async fn connect(gateway: &TestGateway, way: Way) -> Client {
    Client::connect(gateway, way).await.unwrap_or_else(|error| panic!("{way}: {error:#}"))
}

/// The versions from this one on, the oldest first.
pub(crate) fn versions_from(first: &str) -> Vec<String> {
    let versions = versions::RELEASES.iter().map(|release| release.version.to_string());
    versions.skip_while(|version| version != first).collect()
}

/// Settings that let every version after the first be published on this day.
pub(crate) fn published_on(day: &str) -> String {
    let versions = versions_from("2026-02-01");
    versions[1..].iter().map(|version| format!("[versions.{version}]\npublished = \"{day}\"\n")).collect()
}

/// Every permission that the key of a partner can hold.
pub(crate) fn permissions() -> Vec<String> {
    (ApiAccessPermission::all() - ApiAccessPermission::OPERATION).names().collect()
}

/// The body of every 401.
pub(crate) const INVALID_TOKEN: &str = r#"{"error":"Invalid token"}"#;

/// The exact text of a `ping.json`, except for the time.
#[track_caller]
pub(crate) fn assert_ping_body(body: &str, environment: &str, context: impl Display) {
    let time = body
        .strip_prefix(&format!(r#"{{"status":"success","env":"{environment}","RRT":""#))
        .and_then(|rest| rest.strip_suffix(r#" ms"}"#))
        .unwrap_or_else(|| panic!("{context}: {body}"));
    let (milliseconds, decimals) = time.split_once('.').unwrap_or_else(|| panic!("{context}: {body}"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    assert!(digits(milliseconds) && digits(decimals) && decimals.len() == 2, "{context}: {body}");
    assert!(milliseconds == "0" || !milliseconds.starts_with('0'), "{context}: {body}");
}

/// The fields of every response below a date to an authenticated caller.
#[track_caller]
pub(crate) fn assert_fields(gateway: &TestGateway, way: Way, answer: &Response) {
    assert_fields_of_anyone(gateway, way, answer);
    assert_eq!(answer.field("api-version"), Some("2026-02-01"), "{way}: {answer:?}");
    let limit = answer.field("ratelimit").unwrap_or_else(|| panic!("{way}: no ratelimit: {answer:?}"));
    let policy = answer.field("ratelimit-policy").unwrap_or_else(|| panic!("{way}: no policy: {answer:?}"));
    let (name, remaining, reset) = limit_item(limit, "r", "t");
    let (policy_name, quota, window) = limit_item(policy, "q", "w");
    assert_eq!(name, policy_name, "{way}: {limit} is not of {policy}");
    assert!(remaining <= quota && reset <= window && quota > 0 && window > 0, "{way}: {limit}, {policy}");
}

/// A response to an unauthenticated caller does not reveal which dates exist.
#[track_caller]
pub(crate) fn assert_fields_of_stranger(gateway: &TestGateway, way: Way, answer: &Response) {
    assert_fields_of_anyone(gateway, way, answer);
    for name in ["api-version", "deprecation", "sunset", "link", "ratelimit", "ratelimit-policy"] {
        assert_eq!(answer.field(name), None, "{way}: {name} of {answer:?}");
    }
}

/// The fields of every response below a date, for every caller.
#[track_caller]
fn assert_fields_of_anyone(gateway: &TestGateway, way: Way, answer: &Response) {
    let context = format!("{way}: {answer:?}");
    let field =
        |name: &str| answer.field(name).unwrap_or_else(|| panic!("no {name} on {context}")).to_owned();
    assert_eq!(answer.version, way.protocol.version(), "{context}");
    let date = DateTimeParser::new().parse_timestamp(field("date")).expect("the date is an IMF-fixdate");
    let age = tests::now().duration_since(date).as_secs();
    assert!((-1..=5).contains(&age), "the date is {age} s old: {context}");
    assert!(field("date").ends_with(" GMT"), "{context}");
    assert_eq!(field("cache-control"), "no-store", "{context}");
    assert_eq!(field("x-content-type-options"), "nosniff", "{context}");
    let request_id = uuid::Uuid::parse_str(&field("x-request-id")).expect("x-request-id is a UUID");
    assert_eq!(request_id.get_version_num(), 7, "{context}");
    assert_alt_svc(gateway, way, answer);
    if !answer.body.is_empty() {
        assert_eq!(field("content-length"), answer.body.len().to_string(), "{context}");
        let kind = field("content-type");
        assert!(["application/json", "application/problem+json"].contains(&kind.as_str()), "{context}");
    }
}

/// `alt-svc` points from HTTP/1.1 and HTTP/2 to HTTP/3 of the same family, and is not sent over HTTP/3.
#[track_caller]
fn assert_alt_svc(gateway: &TestGateway, way: Way, answer: &Response) {
    let expected = match way.protocol {
        Protocol::H3 => None,
        _ => {
            let port = gateway.listener("https", way.family).address.port();
            Some(format!("h3=\":{port}\"; ma=86400"))
        }
    };
    assert_eq!(answer.field("alt-svc"), expected.as_deref(), "{way}: {answer:?}");
}

/// The parts of `"name";first=1;second=2` (draft-ietf-httpapi-ratelimit-headers-10).
#[track_caller]
pub(crate) fn limit_item(text: &str, first: &str, second: &str) -> (String, u64, u64) {
    let read = || {
        let mut parts = text.split(';');
        let name = parts.next()?.strip_prefix('"')?.strip_suffix('"')?;
        let mut number = |wanted: &str| {
            let (parameter, value) = parts.next()?.split_once('=')?;
            if parameter == wanted { value.parse().ok() } else { None }
        };
        Some((name.to_owned(), number(first)?, number(second)?))
    };
    read().unwrap_or_else(|| panic!("{text} is not \"name\";{first}=N;{second}=N"))
}

/// Asserts a problem (RFC 9457) with every field of the contract; returns it for further checks.
#[track_caller]
pub(crate) fn assert_problem(answer: &Response, status: u16, context: impl Display) -> Value {
    assert_eq!(answer.status.as_u16(), status, "{context}: {answer:?}");
    assert_eq!(answer.field("content-type"), Some("application/problem+json"), "{context}: {answer:?}");
    let request_id = answer.field("x-request-id").map(str::to_owned);
    assert_problem_body(&answer.body, status, request_id.as_deref(), context)
}

/// [`assert_problem`] for a body alone.
#[track_caller]
pub(crate) fn assert_problem_body(
    body: &[u8],
    status: u16,
    request_id: Option<&str>,
    context: impl Display,
) -> Value {
    let body_text = String::from_utf8_lossy(body);
    let problem: Value =
        serde_json::from_slice(body).unwrap_or_else(|error| panic!("{context}: {error}: {body_text}"));
    let text = |member: &str| {
        let text =
            problem[member].as_str().unwrap_or_else(|| panic!("{context}: no {member} in {body_text}"));
        assert!(!text.is_empty(), "{context}: {member} is empty in {body_text}");
        text
    };
    // The URL of its page, on the tests' documentation listener.
    let (docs, name) =
        text("type").split_once("/errors/").unwrap_or_else(|| panic!("{context}: {body_text}"));
    let port = docs.strip_prefix("http://127.0.0.1:").and_then(|port| port.parse::<u16>().ok());
    assert!(port.is_some(), "{context}: {body_text}");
    assert!(versions::ErrorCode::ALL.iter().any(|code| code.name() == name), "{context}: {body_text}");
    assert!(!text("title").is_empty(), "{context}: {body_text}");
    assert_eq!(problem["status"].as_u64(), Some(u64::from(status)), "{context}: {body_text}");
    assert_eq!(text("error"), text("detail"), "{context}: {body_text}");
    assert_eq!(Some(text("requestId")), request_id, "{context}: {body_text}");
    problem
}

/// Asserts a 401: its body, its type, and the right challenge.
#[track_caller]
pub(crate) fn assert_unauthorized(answer: &Response, credential_sent: bool, context: impl Display) {
    assert_eq!(answer.status.as_u16(), 401, "{context}: {answer:?}");
    assert_eq!(answer.text(), INVALID_TOKEN, "{context}");
    assert_eq!(answer.field("content-type"), Some("application/json"), "{context}");
    let challenge = match credential_sent {
        true => r#"Bearer realm="partner-api", error="invalid_token""#,
        false => r#"Bearer realm="partner-api""#,
    };
    assert_eq!(answer.field("www-authenticate"), Some(challenge), "{context}");
}

/// Everything in a response by which an attacker could distinguish two refusals.
pub(crate) fn fingerprint(answer: &Response) -> (u16, Vec<(String, String)>, Vec<u8>) {
    let mut fields: Vec<_> = answer
        .headers
        .iter()
        .filter(|(name, _)| !["date", "x-request-id"].contains(&name.as_str()))
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    fields.sort();
    (answer.status.as_u16(), fields, answer.body.to_vec())
}
