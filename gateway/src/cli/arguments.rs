//! Parsers of arguments: names, ids, networks, times, durations, and keywords that reset a setting.
//!
//! The error of each parser says what is wrong and what is accepted.

use std::ffi::OsStr;
use std::net::IpAddr;
use std::sync::LazyLock;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Arg, Command};
use ipnet::IpNet;
use jiff::{SignedDuration, SpanRelativeTo, Timestamp};
use permissions::{ApiAccessPermission, Environment, KeyId, OnRetired, Rate};
use versions::{RELEASES, Version};

use crate::clock::{Clock, SystemClock};
use crate::config::Profile;

/// The longest wait of a command.
const WAIT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The name of an environment; a shell can complete it.
pub(super) fn environment() -> impl TypedValueParser<Value = Environment> {
    PossibleValuesParser::new(Environment::ALL.map(Environment::name))
        .try_map(|name| name.parse::<Environment>())
}

/// How calls to a retired version are handled; a shell can complete it.
pub(super) fn on_retired() -> impl TypedValueParser<Value = OnRetired> {
    PossibleValuesParser::new(OnRetired::ALL.map(OnRetired::name)).map(|name| {
        let choice = OnRetired::ALL.into_iter().find(|choice| choice.name() == name);
        choice.unwrap_or_default()
    })
}

/// The name of a profile; a shell can complete it.
pub(super) fn profile() -> impl TypedValueParser<Value = Profile> {
    PossibleValuesParser::new(Profile::ALL.map(Profile::name)).try_map(|name| {
        Profile::ALL.into_iter().find(|profile| profile.name() == name).ok_or("there is no such profile")
    })
}

/// A version of this build; a shell can complete it.
pub(super) fn version() -> impl TypedValueParser<Value = Version> {
    static NAMES: LazyLock<Vec<String>> =
        LazyLock::new(|| RELEASES.iter().map(|release| release.version.to_string()).collect());
    PossibleValuesParser::new(NAMES.iter().map(String::as_str)).try_map(|name| {
        let release = RELEASES.iter().find(|release| release.version.to_string() == name);
        release.map(|release| release.version).ok_or("there is no such version")
    })
}

/// The name of a permission; a shell can complete it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Permission;

impl Permission {
    fn names() -> PossibleValuesParser {
        static NAMES: LazyLock<Vec<String>> = LazyLock::new(|| ApiAccessPermission::all().names().collect());
        PossibleValuesParser::new(NAMES.iter().map(String::as_str))
    }
}

impl TypedValueParser for Permission {
    type Value = ApiAccessPermission;

    fn parse_ref(
        &self,
        command: &Command,
        argument: Option<&Arg>,
        value: &OsStr,
    ) -> Result<ApiAccessPermission, clap::Error> {
        if value.to_str().is_some_and(is_id) {
            return Err(
                clap::Error::raw(ErrorKind::ValueValidation, format!("{ID_FIRST}\n")).with_cmd(command)
            );
        }
        let parser = Self::names().try_map(|name| name.parse::<ApiAccessPermission>());
        parser.parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let values: Vec<PossibleValue> = Self::names().possible_values()?.collect();
        Some(Box::new(values.into_iter()))
    }
}

/// An option that takes several values would take an id behind it as another value.
const ID_FIRST: &str = "the id of a key comes before options that take several values: `partner-gateway key update ID --permission NAME NAME`";

fn is_id(text: &str) -> bool {
    text.parse::<KeyId>().is_ok()
}

/// The id of a key. The error for a key pasted by mistake does not repeat it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Id;

impl TypedValueParser for Id {
    type Value = KeyId;

    fn parse_ref(&self, command: &Command, _: Option<&Arg>, value: &OsStr) -> Result<KeyId, clap::Error> {
        let text = value.to_string_lossy();
        let wrong = match text.parse() {
            Ok(id) => return Ok(id),
            Err(_) if Environment::ALL.iter().any(|at| text.contains(&format!("_{}_", at.key_mark()))) => {
                "this is the text of a key, which is secret; a key's id".to_owned()
            }
            Err(_) => {
                format!("`{}` is not the id of a key, which", text.chars().take(64).collect::<String>())
            }
        };
        let message = format!(
            "{wrong} is a UUID such as 019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b; `partner-gateway key list` shows them\n"
        );
        Err(clap::Error::raw(ErrorKind::ValueValidation, message).with_cmd(command))
    }
}

/// A setting that is set, or reset by a keyword such as `never`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setting<T> {
    /// Reset it.
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

/// `2027-01-01T00:00:00Z` with any offset, or `90d`: this long from now.
pub(super) fn moment(text: &str) -> Result<Timestamp, String> {
    moment_from(text, SystemClock.now())
}

fn moment_from(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Ok(span) = span(text) {
        let later = SignedDuration::try_from(span).ok().and_then(|span| now.checked_add(span).ok());
        return later.ok_or_else(|| "it is later than the last time that can be stored".to_owned());
    }
    text.parse::<Timestamp>().map_err(|_| {
        let wrong = if text.parse::<jiff::civil::Date>().is_ok() && text.len() <= "2027-01-01".len() {
            "it has neither a time of day nor an offset"
        } else if text.parse::<jiff::civil::DateTime>().is_ok() {
            "it has no offset, such as Z or +02:00"
        } else {
            "it is not a time"
        };
        format!("{wrong}; write how long from now, such as 90d or 12h, or a time as in RFC 3339: 2027-01-01T00:00:00Z")
    })
}

/// A network, or one address.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    if is_id(text) {
        return Err(ID_FIRST.to_owned());
    }
    let network: IpNet = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).map_err(|_| {
        "it is not a network; write a network or an address: 192.0.2.0/24, 2001:db8::/32, 192.0.2.7"
            .to_owned()
    })?;
    // With host bits it may mean the network or the address, so it is refused.
    if network == network.trunc() {
        Ok(network)
    } else {
        let (network, address) = (network.trunc(), network.addr());
        Err(format!("it has bits after its prefix; the network is {network}, the address is {address}"))
    }
}

/// `50/s`, `100/m`, `5000/h+200`.
pub(super) fn rate(text: &str) -> Result<Rate, String> {
    text.parse().map_err(|error: permissions::RateError| error.to_string())
}

/// A time, or `never`.
pub(super) fn expires(text: &str) -> Result<Setting<Timestamp>, String> {
    setting(text, "never", moment).map_err(|error| format!("{error}, or never"))
}

/// A time, or `none`.
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

/// A permission, or `none`.
pub(super) fn permission_or_none(text: &str) -> Result<Setting<ApiAccessPermission>, String> {
    let read = |text: &str| text.parse::<ApiAccessPermission>().map_err(|error| error.to_string());
    setting(text, "none", read).map_err(|error| format!("{error}; or none"))
}

/// `250ms`, `10s`, `24h`, `7d`; a day has 24 hours.
pub(super) fn span(text: &str) -> Result<Duration, String> {
    let read = || -> Option<Duration> {
        let span: jiff::Span = text.parse().ok()?;
        span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?.try_into().ok()
    };
    read().ok_or_else(|| "write a number and a unit: 250ms, 10s, 24h, 7d".to_owned())
}

/// A wait for something that may not happen: `0s` to `24h`.
pub(super) fn wait(text: &str) -> Result<Duration, String> {
    span(text).ok().filter(|wait| *wait <= WAIT_MAX).ok_or_else(|| {
        "it is not a duration in range; write a number and a unit, from 0s to 24h: 250ms, 10s".to_owned()
    })
}

/// A timeout for a response: `1ms` to `24h`.
pub(super) fn timeout(text: &str) -> Result<Duration, String> {
    let long_enough = |timeout: &Duration| *timeout >= Duration::from_millis(1);
    wait(text).ok().filter(long_enough).ok_or_else(|| {
        "it is not a duration in range; write a number and a unit, from 1ms to 24h: 250ms, 10s".to_owned()
    })
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
    fn a_wait_is_bounded() {
        assert_eq!(wait("0s"), Ok(Duration::ZERO));
        assert_eq!(timeout("24h"), Ok(WAIT_MAX));
        for wrong in ["25h", "-1s", "100y", "soon"] {
            assert!(wait(wrong).unwrap_err().contains("0s to 24h"), "{wrong}");
        }
        for wrong in ["0s", "1us", "25h"] {
            assert!(timeout(wrong).unwrap_err().contains("1ms to 24h"), "{wrong}");
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
    fn a_network_with_host_bits_is_refused_and_named() {
        for (given, covering, one) in [
            ("10.1.2.3/8", "10.0.0.0/8", "10.1.2.3"),
            ("192.0.2.1/24", "192.0.2.0/24", "192.0.2.1"),
            ("2001:db8::1/32", "2001:db8::/32", "2001:db8::1"),
            ("10.0.0.1/0", "0.0.0.0/0", "10.0.0.1"),
        ] {
            let error = network(given).unwrap_err();
            assert!(error.contains(&format!(" {covering},")) && error.ends_with(one), "{error}");
            assert!(network_or_any(given).is_err(), "{given}");
        }
        for valid in ["10.1.2.3/32", "2001:db8::1/128", "0.0.0.0/0", "::/0"] {
            assert!(network(valid).is_ok(), "{valid}");
        }
    }

    #[test]
    fn a_time_has_an_offset() {
        assert_eq!(moment("2027-01-01T01:00:00+01:00").unwrap().to_string(), "2027-01-01T00:00:00Z");
        for (given, wrong) in [
            ("2027-01-01T01:00:00", "no offset"),
            ("2027-01-01 01:00", "no offset"),
            ("2027-01-01", "neither a time of day"),
            ("2027-02-30T00:00:00Z", "not a time"),
            ("2027-01-01T25:00:00Z", "not a time"),
            ("tomorrow", "not a time"),
            ("", "not a time"),
            ("1800000000", "not a time"),
        ] {
            let error = moment(given).unwrap_err();
            assert!(error.contains(wrong) && error.ends_with(": 2027-01-01T00:00:00Z"), "{given}: {error}");
        }
        assert_eq!(expires("never"), Ok(Setting::Unset));
        assert!(expires("none").unwrap_err().ends_with("or never"));
    }

    #[test]
    fn a_time_may_be_relative_to_now() {
        let now: Timestamp = "2026-12-01T12:00:00Z".parse().unwrap();
        for (given, expected) in [
            ("90d", "2027-03-01T12:00:00Z"),
            ("12h", "2026-12-02T00:00:00Z"),
            ("1d 1h", "2026-12-02T13:00:00Z"),
            ("4w", "2026-12-29T12:00:00Z"),
        ] {
            assert_eq!(moment_from(given, now).unwrap().to_string(), expected, "{given}");
        }
        for wrong in ["90", "-90d", "1y", "5000000d", "90d ago"] {
            assert!(moment_from(wrong, now).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_assignment_keeps_what_follows_the_first_sign() {
        assert_eq!(assignment("a.b=c=d"), Ok(("a.b".to_owned(), "c=d".to_owned())));
        assert_eq!(assignment("a="), Ok(("a".to_owned(), String::new())));
        assert!(assignment("=a").is_err() && assignment("a").is_err());
    }
}
