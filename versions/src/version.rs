//! The name of a version: a date, or a label for an API that predates dates.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

/// A version of the API: a real date, `2026-02-01`, or a label without a date, `v1`.
///
/// Labels are for APIs that predate dates. They sort before every date, and their endpoints are not inherited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(Name);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Name {
    Label(&'static str),
    Date(Date),
}

impl Version {
    /// A date, for constants.
    ///
    /// # Panics
    /// If the date does not exist; in a constant that is a compile error.
    #[must_use]
    pub const fn new(year: i16, month: i8, day: i8) -> Self {
        Self(Name::Date(Date::constant(year, month, day)))
    }

    /// A label, for constants: a letter, then up to 14 of `a` to `z`, `0` to `9` and `-`.
    ///
    /// # Panics
    /// If the text is not a label; in a constant that is a compile error.
    #[must_use]
    pub const fn label(label: &'static str) -> Self {
        let bytes = label.as_bytes();
        assert!(!bytes.is_empty() && bytes.len() <= Self::NAME_BYTES_MAX, "a label has 1 to 15 characters");
        assert!(bytes[0].is_ascii_lowercase(), "a label begins with a lowercase letter");
        let mut index = 1;
        while index < bytes.len() {
            let byte = bytes[index];
            assert!(
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-',
                "a label is a-z, 0-9, -"
            );
            index += 1;
        }
        Self(Name::Label(label))
    }

    /// The date, unless it is a label.
    #[must_use]
    pub const fn date(self) -> Option<Date> {
        match self.0 {
            Name::Date(date) => Some(date),
            Name::Label(_) => None,
        }
    }

    /// The length of the longest name.
    pub const NAME_BYTES_MAX: usize = 15;
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Name::Date(date) => date.fmt(f),
            Name::Label(label) => f.pad(label),
        }
    }
}

/// The text is not the name of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a version is an existing date in the form YYYY-MM-DD, such as 2026-02-01")]
pub struct VersionError;

/// Parses exactly ten ASCII characters; no other spelling of a date is a version. Labels are found by
/// [`crate::Catalog::named`] only.
impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes: &[u8; 10] = text.as_bytes().try_into().map_err(|_| VersionError)?;
        let number = |range: std::ops::Range<usize>| {
            bytes[range].iter().try_fold(0_i16, |sum, byte| {
                byte.is_ascii_digit().then(|| sum * 10 + i16::from(byte - b'0')).ok_or(VersionError)
            })
        };
        if bytes[4] != b'-' || bytes[7] != b'-' {
            return Err(VersionError);
        }
        // Two digits are at most 99, so the narrowing cannot fail.
        let part = |range| number(range).and_then(|value| i8::try_from(value).map_err(|_| VersionError));
        let date = Date::new(number(0..4)?, part(5..7)?, part(8..10)?);
        date.map(|date| Self(Name::Date(date))).map_err(|_| VersionError)
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Name::Label(label) => serializer.serialize_str(label),
            Name::Date(date) => {
                // By hand: this is in responses, and a formatter takes five times as long.
                let mut text = *b"0000-00-00";
                let mut write = |range: std::ops::Range<usize>, mut number: i16| {
                    for digit in text[range].iter_mut().rev() {
                        *digit = b'0' + (number % 10) as u8;
                        number /= 10;
                    }
                };
                write(0..4, date.year());
                write(5..7, date.month().into());
                write(8..10, date.day().into());
                serializer.serialize_str(str::from_utf8(&text).unwrap_or_default())
            }
        }
    }
}

impl JsonSchema for Version {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Version".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_date_reads_back() {
        for text in ["2026-02-01", "2024-02-29", "0001-01-01", "9999-12-31"] {
            assert_eq!(text.parse::<Version>().unwrap().to_string(), text);
        }
        assert_eq!("2026-02-01".parse(), Ok(Version::new(2026, 2, 1)));
    }

    #[test]
    fn nothing_else_is_a_version() {
        for text in [
            "",
            "2026-2-1",
            "2026-02-30",
            "2025-02-29",
            "2026-13-01",
            "2026-00-10",
            "2026-02-1",
            "2026-02-011",
            "2026/02/01",
            "20260201",
            "+026-02-01",
            "-026-02-01",
            "2026-02-0a",
            "２０２６-02",
            " 2026-02-01",
            "v1",
            "2026-02-٠١",
        ] {
            assert_eq!(text.parse::<Version>(), Err(VersionError), "{text}");
        }
    }

    #[test]
    fn a_label_is_older_than_every_date() {
        let label = Version::label("v1");
        assert_eq!((label.to_string().as_str(), label.date()), ("v1", None));
        assert!(label < Version::new(1, 1, 1));
        assert!(label < Version::label("v2"));
    }
}
