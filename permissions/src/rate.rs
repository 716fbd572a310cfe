//! The rate limit of a key: requests per second, and a burst.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Requests per second, and how many may arrive at once.
///
/// As text, `50/s`, or `50/s+100` if the burst is different.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    /// Requests per second, sustained.
    pub per_second: NonZeroU32,
    /// Requests that may arrive at once; the quota in `RateLimit-Policy`.
    pub burst: NonZeroU32,
}

impl Rate {
    /// The time in which a used burst is restored, in seconds, rounded up.
    #[must_use]
    pub const fn window_seconds(self) -> u32 {
        self.burst.get().div_ceil(self.per_second.get())
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", self.per_second)?;
        if self.burst != self.per_second {
            write!(f, "+{}", self.burst)?;
        }
        Ok(())
    }
}

/// The text is not a rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a rate; write requests per second and, if it differs, the burst: `50/s` or `50/s+100`, each from 1 to 1000000000"
)]
pub struct RateError(pub String);

/// The largest number in a rate: a thousand million, one request per nanosecond.
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
            let (per_second, burst) = text.split_once("/s")?;
            let per_second = number(per_second)?;
            let burst = match burst {
                "" => per_second,
                _ => number(burst.strip_prefix('+')?)?,
            };
            Some(Self { per_second, burst })
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
        for text in ["1/s", "50/s", "50/s+100", "1000000000/s+1"] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
        }
        assert_eq!("5/s+5".parse::<Rate>().unwrap().to_string(), "5/s");
        assert_eq!("50/s+120".parse::<Rate>().unwrap().window_seconds(), 3);
    }

    #[test]
    fn what_is_no_rate_is_named() {
        for text in ["", "0/s", "5", "5/m", "5/s+0", "-1/s", "+5/s", "5 /s", "5/s+", "1000000001/s", "5/s100"]
        {
            assert_eq!(text.parse::<Rate>(), Err(RateError(text.to_owned())));
        }
    }
}
