//! How arguments are read: names, ids, networks, moments, spans of time, and words that take a setting
//! away.
//!
//! Each reader answers a wrong word with what is wrong with it and what it would have understood.

use std::ffi::OsStr;
use std::net::IpAddr;
use std::sync::LazyLock;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Arg, Command};
use ipnet::IpNet;
use jiff::{SpanRelativeTo, Timestamp};
use permissions::{ApiAccessPermission, Environment, KeyId, OnRetired, Rate};
use versions::{RELEASES, Version};

/// No command waits longer than this.
const WAIT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The name of an environment; a shell can complete it.
pub(super) fn environment() -> impl TypedValueParser<Value = Environment> {
    PossibleValuesParser::new(Environment::ALL.map(Environment::name))
        .try_map(|name| name.parse::<Environment>())
}

/// What answers calls to a retired version; a shell can complete it.
pub(super) fn on_retired() -> impl TypedValueParser<Value = OnRetired> {
    PossibleValuesParser::new(OnRetired::ALL.map(OnRetired::name)).map(|name| {
        let choice = OnRetired::ALL.into_iter().find(|choice| choice.name() == name);
        choice.unwrap_or_default()
    })
}

/// A version that there is; a shell can complete it.
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

/// An option that takes several values takes an id behind it for one more of them.
const ID_FIRST: &str = "the id of a key stands before options that take several values: `partner-gateway key update ID --permission NAME NAME`";

fn is_id(text: &str) -> bool {
    text.parse::<KeyId>().is_ok()
}

/// The id of a key. Whoever pastes the key itself is told so, and it is not said again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Id;

impl TypedValueParser for Id {
    type Value = KeyId;

    fn parse_ref(&self, command: &Command, _: Option<&Arg>, value: &OsStr) -> Result<KeyId, clap::Error> {
        let text = value.to_string_lossy();
        let told = match text.parse() {
            Ok(id) => return Ok(id),
            Err(_) if Environment::ALL.iter().any(|at| text.contains(&format!("_{}_", at.key_mark()))) => {
                "what was given is the text of a key, which is secret; a key's id".to_owned()
            }
            Err(_) => {
                format!("`{}` is not the id of a key, which", text.chars().take(64).collect::<String>())
            }
        };
        let told = format!(
            "{told} is a UUID such as 019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b; `partner-gateway key list` shows them\n"
        );
        Err(clap::Error::raw(ErrorKind::ValueValidation, told).with_cmd(command))
    }
}

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
    text.parse::<Timestamp>().map_err(|_| {
        let wrong = if text.parse::<jiff::civil::Date>().is_ok() && text.len() <= "2027-01-01".len() {
            "it has neither a time of day nor an offset"
        } else if text.parse::<jiff::civil::DateTime>().is_ok() {
            "it has no offset, such as Z or +02:00"
        } else {
            "it is no moment of the calendar"
        };
        format!("{wrong}; write it as RFC 3339 does: 2027-01-01T00:00:00Z")
    })
}

/// A network, or one address.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    if is_id(text) {
        return Err(ID_FIRST.to_owned());
    }
    let network: IpNet = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).map_err(|_| {
        "it is no network; write a network or an address: 192.0.2.0/24, 2001:db8::/32, 192.0.2.7".to_owned()
    })?;
    // Whoever writes host bits means either the network or the address: both are a guess.
    if network == network.trunc() {
        Ok(network)
    } else {
        let (whole, one) = (network.trunc(), network.addr());
        Err(format!("it has bits behind its prefix; the network is {whole}, the one address is {one}"))
    }
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

/// How long to wait for something that may not be: `0s` to `24h`.
pub(super) fn wait(text: &str) -> Result<Duration, String> {
    span(text).ok().filter(|wait| *wait <= WAIT_MAX).ok_or_else(|| {
        "it is no time to wait; write a number and a unit, from 0s to 24h: 250ms, 10s".to_owned()
    })
}

/// How long an answer may take: `1ms` to `24h`.
pub(super) fn timeout(text: &str) -> Result<Duration, String> {
    let long_enough = |timeout: &Duration| *timeout >= Duration::from_millis(1);
    wait(text).ok().filter(long_enough).ok_or_else(|| {
        "it is no time to wait; write a number and a unit, from 1ms to 24h: 250ms, 10s".to_owned()
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
    fn a_wait_has_an_end() {
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
        for (given, whole, one) in [
            ("10.1.2.3/8", "10.0.0.0/8", "10.1.2.3"),
            ("192.0.2.1/24", "192.0.2.0/24", "192.0.2.1"),
            ("2001:db8::1/32", "2001:db8::/32", "2001:db8::1"),
            ("10.0.0.1/0", "0.0.0.0/0", "10.0.0.1"),
        ] {
            let told = network(given).unwrap_err();
            assert!(told.contains(&format!(" {whole},")) && told.ends_with(one), "{told}");
            assert!(network_or_any(given).is_err(), "{given}");
        }
        for good in ["10.1.2.3/32", "2001:db8::1/128", "0.0.0.0/0", "::/0"] {
            assert!(network(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn a_moment_says_its_offset() {
        assert_eq!(moment("2027-01-01T01:00:00+01:00").unwrap().to_string(), "2027-01-01T00:00:00Z");
        for (given, wrong) in [
            ("2027-01-01T01:00:00", "no offset"),
            ("2027-01-01 01:00", "no offset"),
            ("2027-01-01", "neither a time of day"),
            ("2027-02-30T00:00:00Z", "no moment"),
            ("2027-01-01T25:00:00Z", "no moment"),
            ("tomorrow", "no moment"),
            ("", "no moment"),
            ("1800000000", "no moment"),
        ] {
            let told = moment(given).unwrap_err();
            assert!(told.contains(wrong) && told.ends_with(": 2027-01-01T00:00:00Z"), "{given}: {told}");
        }
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
