//! Dates: what a version's name is, and what one date brings.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use serde::{Serialize, Serializer};

use crate::Route;

/// A version of the API: a real date, `2026-02-01`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(Date);

impl Version {
    /// The version of a date, for constants.
    ///
    /// # Panics
    /// Where there is no such day; in a constant that is an error of compilation.
    #[must_use]
    pub const fn new(year: i16, month: i8, day: i8) -> Self {
        Self(Date::constant(year, month, day))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The text is not the name of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a version is a real date: four digits, two, two, as in 2026-02-01")]
pub struct VersionError;

/// Reads exactly ten ASCII characters; no other spelling of a date is a version.
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
        Date::new(number(0..4)?, part(5..7)?, part(8..10)?).map(Self).map_err(|_| VersionError)
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What one date brings over the date before.
pub struct Release {
    /// The date.
    pub version: Version,
    /// Endpoints that are new with it.
    pub added: &'static [Route],
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
}
