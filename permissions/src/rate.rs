//! Rates: requests per second, minute or hour, plus a burst.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Requests per period, and how many may come at once after a pause.
///
/// Its text is `50/s`, `100/m` or `5000/h`, followed by `+BURST` where the burst is not the requests of one period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    /// Requests per period, sustained.
    pub requests: NonZeroU32,
    /// The period.
    pub per: Period,
    /// Requests that may come at once; also the quota that `RateLimit-Policy` announces.
    pub burst: NonZeroU32,
}

/// The period of a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Period {
    /// One second, `s`.
    Second,
    /// 60 seconds, `m`.
    Minute,
    /// 3,600 seconds, `h`.
    Hour,
}

impl Period {
    /// Every period, the shortest first.
    pub const ALL: [Self; 3] = [Self::Second, Self::Minute, Self::Hour];

    /// Its length in seconds.
    #[must_use]
    pub const fn seconds(self) -> u32 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3600,
        }
    }

    /// The English word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
        }
    }

    const fn symbol(self) -> &'static str {
        match self {
            Self::Second => "s",
            Self::Minute => "m",
            Self::Hour => "h",
        }
    }
}

impl Rate {
    /// The window in which the full burst is restored, in whole seconds, rounded up.
    #[must_use]
    pub const fn window_seconds(self) -> u32 {
        self.seconds_to_restore(self.burst.get())
    }

    /// How long it takes to restore this many requests, in whole seconds, rounded up.
    #[must_use]
    pub const fn seconds_to_restore(self, requests: u32) -> u32 {
        let seconds = (requests as u64 * self.per.seconds() as u64).div_ceil(self.requests.get() as u64);
        if seconds > u32::MAX as u64 { u32::MAX } else { seconds as u32 }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.requests, self.per.symbol())?;
        if self.burst != self.requests {
            write!(f, "+{}", self.burst)?;
        }
        Ok(())
    }
}

/// The text is not a rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a rate; write requests per second, minute or hour and, if it differs, the burst: `50/s`, `100/m` or `5000/h+200`, each number from 1 to 1000000000, and a burst that is restored within 1000000000 seconds"
)]
pub struct RateError(pub String);

/// The largest number in a rate (a billion, one request per nanosecond), and the longest window in seconds: rate
/// limiters count in nanoseconds of 64 bits.
const RATE_MAX: u32 = 1_000_000_000;

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |digits: &str| -> Option<NonZeroU32> {
            let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            let number = if plain { digits.parse::<NonZeroU32>().ok()? } else { return None };
            (number.get() <= RATE_MAX).then_some(number)
        };
        let read = || {
            let (requests, rest) = text.split_once('/')?;
            let requests = number(requests)?;
            let per = Period::ALL.into_iter().find(|period| rest.starts_with(period.symbol()))?;
            let burst = match &rest[per.symbol().len()..] {
                "" => requests,
                burst => number(burst.strip_prefix('+')?)?,
            };
            let rate = Self { requests, per, burst };
            (rate.window_seconds() <= RATE_MAX).then_some(rate)
        };
        read().ok_or_else(|| RateError(text.chars().take(64).collect()))
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_reads_back() {
        for text in ["1/s", "50/s", "50/s+100", "1000000000/s+1", "100/m", "1/m+5", "5000/h", "5000/h+200"] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
        }
        assert_eq!("5/s+5".parse::<Rate>().unwrap().to_string(), "5/s");
    }

    #[test]
    fn the_window_restores_the_full_burst() {
        for (text, seconds) in [
            ("50/s", 1),
            ("50/s+120", 3),
            ("100/m", 60),
            ("100/m+50", 30),
            ("7/m+1", 9),
            ("5000/h", 3600),
            ("1/h+2", 7200),
            ("1/s+1000000000", 1_000_000_000),
        ] {
            assert_eq!(text.parse::<Rate>().unwrap().window_seconds(), seconds, "{text}");
        }
        assert_eq!("100/m".parse::<Rate>().unwrap().seconds_to_restore(1), 1);
        assert_eq!("1/h".parse::<Rate>().unwrap().seconds_to_restore(u32::MAX), u32::MAX);
    }

    #[test]
    fn text_that_is_not_a_rate_is_refused_and_quoted() {
        for text in [
            "",
            "0/s",
            "5",
            "5/",
            "5/d",
            "5/ms",
            "5/min",
            "0/m",
            "5/s+0",
            "-1/s",
            "+5/s",
            "5 /s",
            "5/s+",
            "1000000001/s",
            "5/s100",
            "1/m+1000000000",
            "1/h+1000000000",
        ] {
            assert_eq!(text.parse::<Rate>(), Err(RateError(text.to_owned())));
        }
    }
}
