//! How arguments are read: networks, moments, spans of time, and words that take a setting away.
//!
//! Each reader answers a wrong word with what it would have understood.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use jiff::{SpanRelativeTo, Timestamp};
use permissions::Rate;

/// A setting that is given, or taken away by a word such as `never`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setting<T> {
    /// Take it away.
    Unset,
    /// Set it to this.
    To(T),
}

impl<T> From<Setting<T>> for Option<T> {
    fn from(setting: Setting<T>) -> Self {
        match setting {
            Setting::Unset => None,
            Setting::To(value) => Some(value),
        }
    }
}

fn setting<T>(
    text: &str,
    word: &str,
    read: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Setting<T>, String> {
    if text == word { Ok(Setting::Unset) } else { read(text).map(Setting::To) }
}

/// `2027-01-01T00:00:00Z`, with any offset.
pub(super) fn moment(text: &str) -> Result<Timestamp, String> {
    text.parse()
        .map_err(|_| "write a moment with its offset, as RFC 3339 does: 2027-01-01T00:00:00Z".to_owned())
}

/// A network, or one address.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    text.parse()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| "write a network or an address: 192.0.2.0/24, 2001:db8::/32, 192.0.2.7".to_owned())
}

/// `50/s`, `50/s+100`.
pub(super) fn rate(text: &str) -> Result<Rate, String> {
    text.parse().map_err(|error: permissions::RateError| error.to_string())
}

/// A moment, or `never`.
pub(super) fn expires(text: &str) -> Result<Setting<Timestamp>, String> {
    setting(text, "never", moment).map_err(|error| format!("{error}, or never"))
}

/// A moment, or `none`.
pub(super) fn not_before(text: &str) -> Result<Setting<Timestamp>, String> {
    setting(text, "none", moment).map_err(|error| format!("{error}, or none"))
}

/// A network, or `any`.
pub(super) fn network_or_any(text: &str) -> Result<Setting<IpNet>, String> {
    setting(text, "any", network).map_err(|error| format!("{error}, or any"))
}

/// A rate, or `default`.
pub(super) fn rate_or_default(text: &str) -> Result<Setting<Rate>, String> {
    setting(text, "default", rate).map_err(|error| format!("{error}, or write default"))
}

/// `250ms`, `10s`, `24h`, `7d`; a day has 24 hours.
pub(super) fn span(text: &str) -> Result<Duration, String> {
    let read = || -> Option<Duration> {
        let span: jiff::Span = text.parse().ok()?;
        span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?.try_into().ok()
    };
    read().ok_or_else(|| "write a number and a unit: 250ms, 10s, 24h, 7d".to_owned())
}

/// `limits.key_rate=50/s`.
pub(super) fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write an option's name and its value: limits.key_rate=50/s".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_a_unit() {
        assert_eq!(span("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(span("0s"), Ok(Duration::ZERO));
        assert_eq!(span("24h"), Ok(Duration::from_secs(86_400)));
        assert_eq!(span("7d"), Ok(Duration::from_secs(7 * 86_400)));
        assert_eq!(span("1h30m"), Ok(Duration::from_secs(5_400)));
        for wrong in ["", "5", "-5s", "1y", "soon", "1 fortnight", "5s ago"] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn one_address_is_a_network() {
        assert_eq!(network("192.0.2.7").unwrap().to_string(), "192.0.2.7/32");
        assert_eq!(network("2001:db8::1").unwrap().to_string(), "2001:db8::1/128");
        assert_eq!(network("192.0.2.0/24").unwrap().to_string(), "192.0.2.0/24");
        assert!(network("example.com").unwrap_err().contains("192.0.2.0/24"));
    }

    #[test]
    fn a_moment_says_its_offset() {
        assert_eq!(moment("2027-01-01T01:00:00+01:00").unwrap().to_string(), "2027-01-01T00:00:00Z");
        assert!(moment("2027-01-01T01:00:00").is_err());
        assert!(moment("2027-01-01").is_err());
        assert_eq!(expires("never"), Ok(Setting::Unset));
        assert!(expires("none").unwrap_err().ends_with("or never"));
    }

    #[test]
    fn an_assignment_keeps_what_follows_the_first_sign() {
        assert_eq!(assignment("a.b=c=d"), Ok(("a.b".to_owned(), "c=d".to_owned())));
        assert_eq!(assignment("a="), Ok(("a".to_owned(), String::new())));
        assert!(assignment("=a").is_err() && assignment("a").is_err());
    }
}
