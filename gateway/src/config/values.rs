//! How single values are read and written: switches, counts, sizes, durations, addresses, names.
//!
//! The type that reads a value holds its bounds, so an invalid one is refused where it is written, with what is
//! allowed. Nothing here depends on which option it reads.

use std::fmt;
use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytesize::ByteSize;
use ipnet::IpNet;
use jiff::civil::Date;
use jiff::fmt::friendly::{SpanParser, SpanPrinter};
use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serializer};
use versions::Version;

/// Reads `true` or `false`.
pub(super) fn switch<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    deserializer.deserialize_any(Switch)
}

struct Switch;

impl Visitor<'_> for Switch {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`true` or `false`")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<bool, E> {
        Ok(value)
    }
}

/// Reads an integer from `MIN` to `MAX`.
pub(super) fn count<'de, const MIN: u64, const MAX: u64, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: TryFrom<u64>,
    D: Deserializer<'de>,
{
    let number = deserializer.deserialize_any(Count::<MIN, MAX>)?;
    T::try_from(number).map_err(|_| D::Error::invalid_value(Unexpected::Unsigned(number), &Count::<MIN, MAX>))
}

struct Count<const MIN: u64, const MAX: u64>;

impl<const MIN: u64, const MAX: u64> Visitor<'_> for Count<MIN, MAX> {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an integer from {MIN} to {MAX}")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<u64, E> {
        u64::try_from(number)
            .ok()
            .filter(|number| (MIN..=MAX).contains(number))
            .ok_or_else(|| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
        if (MIN..=MAX).contains(&number) {
            Ok(number)
        } else {
            Err(E::invalid_value(Unexpected::Unsigned(number), &self))
        }
    }
}

/// Reads a size from `MIN` to `MAX` bytes: a number of bytes, or text such as `16KiB`.
pub(super) fn size<'de, const MIN: u64, const MAX: u64, D>(deserializer: D) -> Result<usize, D::Error>
where
    D: Deserializer<'de>,
{
    let bytes = deserializer.deserialize_any(Size::<MIN, MAX>)?;
    usize::try_from(bytes)
        .map_err(|_| D::Error::invalid_value(Unexpected::Unsigned(bytes), &Size::<MIN, MAX>))
}

struct Size<const MIN: u64, const MAX: u64>;

impl<const MIN: u64, const MAX: u64> Visitor<'_> for Size<MIN, MAX> {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a size from {} to {}, such as `16KiB`", size_text(MIN), size_text(MAX))
    }

    fn visit_i64<E: Error>(self, bytes: i64) -> Result<u64, E> {
        u64::try_from(bytes)
            .ok()
            .filter(|bytes| (MIN..=MAX).contains(bytes))
            .ok_or_else(|| E::invalid_value(Unexpected::Signed(bytes), &self))
    }

    fn visit_u64<E: Error>(self, bytes: u64) -> Result<u64, E> {
        if (MIN..=MAX).contains(&bytes) {
            Ok(bytes)
        } else {
            Err(E::invalid_value(Unexpected::Unsigned(bytes), &self))
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
        text.parse::<ByteSize>()
            .ok()
            .map(|size| size.as_u64())
            .filter(|bytes| (MIN..=MAX).contains(bytes))
            .ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

/// Writes a size in the largest binary unit that is exact.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
pub(super) fn write_size<S: Serializer>(bytes: &usize, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&size_text(*bytes as u64))
}

fn size_text(bytes: u64) -> String {
    [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)]
        .into_iter()
        .find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor))
        .map_or_else(|| format!("{bytes}B"), |(unit, factor)| format!("{}{unit}", bytes / factor))
}

/// Bounds of durations, in milliseconds.
pub(super) const SECOND: u64 = 1000;
pub(super) const MINUTE: u64 = 60 * SECOND;
pub(super) const HOUR: u64 = 60 * MINUTE;
pub(super) const DAY: u64 = 24 * HOUR;

/// Reads a duration from `MIN` to `MAX` milliseconds, such as `250ms` or `1m 30s`.
pub(super) fn duration<'de, const MIN: u64, const MAX: u64, D>(deserializer: D) -> Result<Duration, D::Error>
where
    D: Deserializer<'de>,
{
    deserializer.deserialize_any(Span::<MIN, MAX>)
}

struct Span<const MIN: u64, const MAX: u64>;

impl<const MIN: u64, const MAX: u64> Visitor<'_> for Span<MIN, MAX> {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [min, max] = [MIN, MAX].map(|bound| duration_text(&Duration::from_millis(bound)));
        write!(f, "a duration with its unit from {min} to {max}, such as `10s`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
        SpanParser::new()
            .parse_duration(text)
            .ok()
            .and_then(|duration| Duration::try_from(duration).ok())
            .filter(|duration| (Duration::from_millis(MIN)..=Duration::from_millis(MAX)).contains(duration))
            .ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

/// Writes a duration in the form that is read.
pub(super) fn write_duration<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&duration_text(duration))
}

pub(super) fn duration_text(duration: &Duration) -> String {
    SpanPrinter::new().unsigned_duration_to_string(duration)
}

/// A kind of text: what it is parsed into, and what is allowed.
pub(super) trait Kind {
    type Value;
    const EXPECTED: &str;
    fn read(text: &str) -> Option<Self::Value>;
}

/// An address to bind to.
pub(super) enum Address {}

impl Kind for Address {
    type Value = SocketAddr;
    const EXPECTED: &str = "an IP address and a port, such as `127.0.0.1:8080` or `[::1]:8080`";

    fn read(text: &str) -> Option<SocketAddr> {
        text.parse().ok()
    }
}

/// A day, or none.
pub(super) enum Day {}

impl Kind for Day {
    type Value = Option<Date>;
    const EXPECTED: &str = "a day in quotes, such as \"2027-01-01\", or \"\" for none";

    fn read(text: &str) -> Option<Option<Date>> {
        // A day is written exactly as a version is.
        if text.is_empty() { Some(None) } else { text.parse::<Version>().ok().map(Version::date) }
    }
}

/// Writes a day in the form that is read.
#[expect(clippy::ref_option, reason = "serde hands out references")]
pub(super) fn write_day<S: Serializer>(day: &Option<Date>, serializer: S) -> Result<S::Ok, S::Error> {
    match day {
        Some(day) => serializer.collect_str(day),
        None => serializer.serialize_str(""),
    }
}

/// A network of proxies; one address is a network of itself.
pub(super) enum Network {}

impl Kind for Network {
    type Value = IpNet;
    const EXPECTED: &str =
        "a network or an IP address, such as `10.0.0.0/8` or `::1`, without bits after the prefix";

    fn read(text: &str) -> Option<IpNet> {
        let network = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        // `10.1.2.3/8` may mean the address or the network, which is not guessed: the list says who is trusted.
        network.filter(|network| *network == network.trunc())
    }
}

/// A host name of requests, as DNS compares names: in lower case, without the dot of the root.
pub(super) enum Host {}

impl Kind for Host {
    type Value = String;
    const EXPECTED: &str = "a host name without port, such as `api.example.com`, `10.0.0.1` or `[::1]`; an empty list `[]` allows every name";

    fn read(text: &str) -> Option<String> {
        let name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if let Some(address) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
            return matches!(address.parse(), Ok(IpAddr::V6(_))).then(|| text.to_ascii_lowercase());
        }
        let text = text.strip_suffix('.').unwrap_or(text);
        let is_name = (1..=253).contains(&text.len()) && text.bytes().all(name) && !text.ends_with('.');
        is_name.then(|| text.to_ascii_lowercase())
    }
}

/// Text of a quoted string in a header field (RFC 9110 §5.6.4), which must not end it.
pub(super) enum QuotedText {}

impl Kind for QuotedText {
    type Value = String;
    const EXPECTED: &str = "1 to 200 printable ASCII characters, none of them `\"` or `\\`";

    fn read(text: &str) -> Option<String> {
        let plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
        ((1..=200).contains(&text.len()) && text.bytes().all(plain)).then(|| text.to_owned())
    }
}

/// The name of an environment variable.
pub(super) enum Variable {}

impl Kind for Variable {
    type Value = String;
    const EXPECTED: &str =
        "the name of an environment variable: 1 to 64 of A-Z, a-z, 0-9 and `_`, not beginning with a digit";

    fn read(text: &str) -> Option<String> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let begins = text.bytes().next().is_some_and(|first| !first.is_ascii_digit());
        (begins && text.len() <= 64 && text.bytes().all(plain)).then(|| text.to_owned())
    }
}

/// The start of a link: a path on this server, a URL, or nothing.
pub(super) enum Link {}

impl Kind for Link {
    type Value = String;
    const EXPECTED: &str = "a path such as `/docs`, or a URL with `https://` or `http://`; in ASCII, without spaces, quotes or `\\`; \"\" means where it is served";

    fn read(text: &str) -> Option<String> {
        link(text, &["/", "https://", "http://"])
    }
}

/// The start of a URL, or nothing.
pub(super) enum Origin {}

impl Kind for Origin {
    type Value = String;
    const EXPECTED: &str = "a URL such as `https://api.example.com`; in ASCII, without spaces, quotes or `\\`; \"\" means where it is served";

    fn read(text: &str) -> Option<String> {
        link(text, &["https://", "http://"])
    }
}

/// The origin of a site of ours, or nothing.
pub(super) enum SiteOrigin {}

impl Kind for SiteOrigin {
    type Value = String;
    const EXPECTED: &str = "an origin such as `https://portal.example.com`: in lower case, with a port where it is not the scheme's, without a path; \"\" means where it is served";

    fn read(text: &str) -> Option<String> {
        if text.is_empty() { Some(String::new()) } else { WebOrigin::read(text) }
    }
}

/// The origin of a web page, as browsers send it.
pub(super) enum WebOrigin {}

impl Kind for WebOrigin {
    type Value = String;
    const EXPECTED: &str = "an origin such as `https://app.example.com`: in lower case, with a port where it is not the scheme's, without a path";

    fn read(text: &str) -> Option<String> {
        let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
        let is_plain =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.:[]".contains(&byte);
        let is_default = text.starts_with("https://") && host.ends_with(":443")
            || text.starts_with("http://") && host.ends_with(":80");
        let authority = host.parse::<http::uri::Authority>().ok()?;
        (!authority.host().is_empty() && host.bytes().all(is_plain) && !is_default).then(|| text.to_owned())
    }
}

/// Where people are reached: a URI of a web page, a mailbox or a telephone (RFC 9116 §2.5.3).
pub(super) enum Contact {}

impl Kind for Contact {
    type Value = String;
    const EXPECTED: &str = "a URI such as `mailto:security@example.com`, `https://example.com/security` or `tel:+1-201-555-0123`; in ASCII, without spaces, quotes or `\\`";

    fn read(text: &str) -> Option<String> {
        let is_mailbox = |mailbox: &str| matches!(mailbox.split_once('@'), Some((name, host)) if !name.is_empty() && !host.is_empty() && !host.contains('@'));
        let is_number = |number: &str| {
            let digits = number.bytes().filter(u8::is_ascii_digit).count();
            digits > 0 && number.bytes().all(|byte| byte.is_ascii_digit() || b"+-.()".contains(&byte))
        };
        let is_known = match text.split_once(':')? {
            ("https", _) => return SecureUrl::read(text),
            ("mailto", mailbox) => is_mailbox(mailbox),
            ("tel", number) => is_number(number),
            _ => false,
        };
        link(text, &["mailto:", "tel:"]).filter(|_| is_known)
    }
}

/// A URL of a web page over TLS, or nothing.
pub(super) enum SecureUrl {}

impl Kind for SecureUrl {
    type Value = String;
    const EXPECTED: &str = "a URL such as `https://example.com/security-policy`; in ASCII, without spaces, quotes or `\\`; \"\" is none";

    fn read(text: &str) -> Option<String> {
        let has_host = |url: &String| url.is_empty() || !url["https://".len()..].starts_with(['/', '?', '#']);
        link(text, &["https://"]).filter(has_host)
    }
}

/// A tag of a language (RFC 5646).
pub(super) enum Language {}

impl Kind for Language {
    type Value = String;
    const EXPECTED: &str = "the tag of a language, such as `en` or `pt-BR`";

    fn read(text: &str) -> Option<String> {
        let is_subtag =
            |tag: &str| (1..=8).contains(&tag.len()) && tag.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let begins = text.bytes().take_while(u8::is_ascii_alphabetic).count() >= 2;
        (begins && text.len() <= 35 && text.split('-').all(is_subtag)).then(|| text.to_owned())
    }
}

/// A link with one of these starts, without a slash at its end; or nothing.
fn link(text: &str, starts: &[&str]) -> Option<String> {
    if text.is_empty() {
        return Some(String::new());
    }
    let begins = starts.iter().any(|start| text.starts_with(start) && text.len() > start.len());
    let text =
        QuotedText::read(text).filter(|text| begins && !text.contains(['\'', ' ', '<', '>', '$', '`']))?;
    Some(text.trim_end_matches('/').to_owned())
}

/// Reads one text of a kind.
pub(super) fn text<'de, K: Kind, D: Deserializer<'de>>(deserializer: D) -> Result<K::Value, D::Error> {
    One::<K>::deserialize(deserializer).map(|one| one.0)
}

/// Reads a list of texts of a kind; an error points at the invalid element.
pub(super) fn list<'de, K: Kind, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<K::Value>, D::Error> {
    Vec::<One<K>>::deserialize(deserializer).map(|list| list.into_iter().map(|one| one.0).collect())
}

struct One<K: Kind>(K::Value);

impl<'de, K: Kind> Deserialize<'de> for One<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(OneVisitor::<K>(PhantomData)).map(Self)
    }
}

struct OneVisitor<K>(PhantomData<K>);

impl<K: Kind> Visitor<'_> for OneVisitor<K> {
    type Value = K::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(K::EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<K::Value, E> {
        K::read(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_written_in_the_largest_exact_unit() {
        for (bytes, text) in
            [(0, "0B"), (1000, "1000B"), (16 << 10, "16KiB"), (3 << 20, "3MiB"), (1 << 30, "1GiB")]
        {
            assert_eq!(size_text(bytes), text);
            assert_eq!(Size::<0, { u64::MAX }>.visit_str::<serde::de::value::Error>(text), Ok(bytes));
        }
    }

    #[test]
    fn a_duration_reads_back() {
        for text in ["250ms", "10s", "5m", "24h", "1m 30s", "1h 1m 1s 1ms"] {
            let read = |text: &str| Span::<1, DAY>.visit_str::<serde::de::value::Error>(text);
            let duration = read(text).unwrap();
            assert_eq!(read(&duration_text(&duration)), Ok(duration), "{text}");
        }
    }

    #[test]
    fn text_that_is_not_a_duration_is_refused() {
        for text in ["", "10", "-1s", "10s ago", "25h", "0s", "1us", "1 day", "soon", "99999999999999999999h"]
        {
            assert!(Span::<1, DAY>.visit_str::<serde::de::value::Error>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_host_is_normalised_and_has_no_port_space_or_wildcard() {
        for host in ["api.example.com", "localhost", "127.0.0.1", "[::1]", "API.Example.COM"] {
            assert_eq!(Host::read(host), Some(host.to_ascii_lowercase()));
        }
        assert_eq!(Host::read("API.example.com.").as_deref(), Some("api.example.com"));
        for host in [
            "",
            "a:80",
            "[::1]:80",
            "::1",
            "a b",
            "*",
            "*.example.com",
            "https://a",
            "a/b",
            "[a]",
            "bücher.de",
            ".",
            "a..",
            "[::1].",
        ] {
            assert_eq!(Host::read(host), None, "{host}");
        }
    }

    #[test]
    fn a_network_has_no_bits_after_its_prefix() {
        for valid in ["10.0.0.0/8", "10.1.2.3", "10.1.2.3/32", "::1", "2001:db8::/32", "0.0.0.0/0"] {
            assert!(Network::read(valid).is_some(), "{valid}");
        }
        for wrong in ["10.1.2.3/8", "2001:db8::1/32", "1.0.0.0/0", "10.0.0.0/33", "example.com", ""] {
            assert!(Network::read(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn text_cannot_end_a_quoted_string() {
        assert_eq!(QuotedText::read("partner-api (v2)").as_deref(), Some("partner-api (v2)"));
        for text in ["", "a\"b", "a\\b", "a\nb", "a\tb", "ä", "\u{7f}"] {
            assert_eq!(QuotedText::read(text), None, "{text:?}");
        }
        for text in ["PARTNER_API_KEY", "_k1"] {
            assert_eq!(Variable::read(text).as_deref(), Some(text));
        }
        for text in ["", "1A", "A B", "A-B", "A$B", "A\nB", &"A".repeat(65)] {
            assert_eq!(Variable::read(text), None, "{text:?}");
        }
        for text in ["docs", "javascript:x", "/do cs", "/docs<", "ftp://a", "/", "https://", "https://$a"] {
            assert_eq!(Link::read(text), None, "{text:?}");
        }
        for (text, read) in [("", ""), ("/docs/", "/docs"), ("https://docs.example", "https://docs.example")]
        {
            assert_eq!(Link::read(text).as_deref(), Some(read), "{text:?}");
        }
        for text in ["https://app.example.com", "http://localhost:3000", "http://[::1]:3000"] {
            assert_eq!(WebOrigin::read(text).as_deref(), Some(text));
        }
        for text in [
            "*",
            "null",
            "",
            "https://",
            "app.example.com",
            "https://a.example/",
            "https://A.example",
            "https://a.example:443",
            "http://a:b:c",
        ] {
            assert_eq!(WebOrigin::read(text), None, "{text:?}");
        }
        assert_eq!(Origin::read("/docs"), None);
        for text in ["mailto:security@example.com", "https://example.com/security", "tel:+1-201-555-0123"] {
            assert_eq!(Contact::read(text).as_deref(), Some(text));
        }
        for text in [
            "",
            "security@example.com",
            "http://example.com",
            "https://",
            "https:///security",
            "mailto:",
            "mailto:security",
            "mailto:@example.com",
            "mailto:a@b@c",
            "mailto:a@example.com\nExpires: 2099-01-01T00:00:00Z",
            "tel:",
            "tel:+",
            "tel:security",
            "openpgp4fpr:5f2d",
        ] {
            assert_eq!(Contact::read(text), None, "{text:?}");
        }
        for (text, is_tag) in [
            ("en", true),
            ("pt-BR", true),
            ("", false),
            ("e", false),
            ("en,de", false),
            ("en-", false),
            ("1n", false),
        ] {
            assert_eq!(Language::read(text).is_some(), is_tag, "{text:?}");
        }
        assert_eq!(Origin::read("https://api.example/").as_deref(), Some("https://api.example"));
    }
}
