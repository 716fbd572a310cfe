//! `/.well-known/security.txt`: how vulnerabilities are reported (RFC 9116).

use jiff::{SignedDuration, Timestamp};
use versions::docs::pages::Document;

use crate::config::{Api, Docs};

const ADDRESS: &str = "/.well-known/security.txt";
/// How far `Expires` is ahead. RFC 9116 §2.5.5 asks for less than a year; an installation that is left alone for this
/// long says nothing any more that nobody stands for.
const VALID_DAYS: i64 = 90;
const DAY_SECONDS: i64 = 24 * 60 * 60;

/// The midnight after `now`, when the file is written anew.
pub(super) fn next_midnight(now: Timestamp) -> Timestamp {
    let seconds = (now.as_second().div_euclid(DAY_SECONDS) + 1) * DAY_SECONDS;
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
}

/// The file, where there is anybody to report to.
pub(super) fn document(docs: &Docs, api: &Api, now: Timestamp) -> Option<Document> {
    if docs.security_contacts.is_empty() {
        return None;
    }
    let mut text = String::new();
    let mut add = |name: &str, value: &str| text.extend([name, ": ", value, "\n"]);
    for contact in &docs.security_contacts {
        add("Contact", contact);
    }
    let expires = next_midnight(now).saturating_add(SignedDuration::from_hours(24 * VALID_DAYS));
    add("Expires", &expires.unwrap_or(Timestamp::MAX).to_string());
    if let Some(rest) = api.docs_url.strip_prefix("https://") {
        let host = rest.split('/').next().unwrap_or_default();
        add("Canonical", &format!("https://{host}{ADDRESS}"));
    }
    if !docs.security_policy.is_empty() {
        add("Policy", &docs.security_policy);
    }
    if !docs.security_languages.is_empty() {
        add("Preferred-Languages", &docs.security_languages.join(", "));
    }
    let media_type = "text/plain; charset=utf-8";
    Some(Document { address: ADDRESS.to_owned(), route: ADDRESS, media_type, content: text.into() })
}
