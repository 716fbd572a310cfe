//! A key's requests per second: governor's cell-rate algorithm, one cell in the key's own record.
//!
//! The one encoder of `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10)
//! stands here, because the draft may yet rename its parameters.

use std::sync::Arc;

use governor::clock::{Clock as _, MonotonicClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use http::HeaderValue;
use permissions::Rate;

/// A rate with its field, made once for all keys that share it.
#[derive(Debug)]
pub struct Policy {
    /// The rate.
    pub rate: Rate,
    /// `RateLimit-Policy`: so many requests in such a window.
    pub field: HeaderValue,
}

impl Policy {
    /// The policy of a rate.
    #[must_use]
    pub fn new(rate: Rate) -> Arc<Self> {
        let text = format!(r#""default";q={};w={}"#, rate.burst, rate.window_seconds());
        let field = HeaderValue::try_from(text).expect("digits and plain signs");
        Arc::new(Self { rate, field })
    }
}

/// One rate, spent by one key.
pub struct RateLimit {
    cell: RateLimiter<NotKeyed, InMemoryState, MonotonicClock, StateInformationMiddleware>,
    policy: Arc<Policy>,
}

/// What one request left of its key's rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// Requests that may come at once now.
    pub remaining: u32,
    /// Seconds until the whole burst is back; where nothing remains, until the next request may come.
    pub reset_seconds: u32,
}

impl RateLimit {
    /// Nothing is spent of it yet.
    #[must_use]
    pub fn new(policy: Arc<Policy>) -> Self {
        let quota = Quota::per_second(policy.rate.per_second).allow_burst(policy.rate.burst);
        let cell = RateLimiter::direct_with_clock(quota, MonotonicClock).with_middleware();
        Self { cell, policy }
    }

    /// The rate and its field.
    #[must_use]
    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// Spends one request.
    ///
    /// # Errors
    /// The same figures where none is left; `reset_seconds` is then at least 1.
    pub fn spend(&self) -> Result<Spent, Spent> {
        let Rate { per_second, burst } = self.policy.rate;
        match self.cell.check() {
            Ok(state) => {
                let remaining = state.remaining_burst_capacity();
                let reset_seconds = burst.get().saturating_sub(remaining).div_ceil(per_second.get());
                Ok(Spent { remaining, reset_seconds })
            }
            Err(until) => {
                let wait = until.wait_time_from(MonotonicClock.now());
                // Rounded up: a client that comes back after this many seconds is served.
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                let reset_seconds = u32::try_from(seconds).unwrap_or(u32::MAX).max(1);
                Err(Spent { remaining: 0, reset_seconds })
            }
        }
    }
}

/// Fifteen characters and two numbers of at most ten digits.
const FIELD_BYTES_MAX: usize = 40;

impl Spent {
    /// `RateLimit`: what remains, and when the whole is back.
    #[must_use]
    pub fn field(self) -> HeaderValue {
        // Written on the stack first: the field is then one allocation of its exact length.
        let mut text = [0; FIELD_BYTES_MAX];
        let mut length = 0;
        let (mut remaining, mut reset) = (itoa::Buffer::new(), itoa::Buffer::new());
        let parts =
            [r#""default";r="#, remaining.format(self.remaining), ";t=", reset.format(self.reset_seconds)];
        for part in parts {
            text[length..length + part.len()].copy_from_slice(part.as_bytes());
            length += part.len();
        }
        HeaderValue::from_bytes(&text[..length]).expect("digits and plain signs")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(rate: &str) -> RateLimit {
        RateLimit::new(Policy::new(rate.parse().unwrap()))
    }

    #[test]
    fn a_burst_is_served_and_then_the_caller_is_told_to_wait() {
        let limit = limit("1/s+3");
        for remaining in [2, 1, 0] {
            assert_eq!(limit.spend(), Ok(Spent { remaining, reset_seconds: 3 - remaining }));
        }
        assert_eq!(limit.spend(), Err(Spent { remaining: 0, reset_seconds: 1 }));
    }

    #[test]
    fn fields_are_structured_as_the_draft_says() {
        assert_eq!(limit("50/s+120").policy().field, r#""default";q=120;w=3"#);
        assert_eq!(Spent { remaining: 119, reset_seconds: 1 }.field(), r#""default";r=119;t=1"#);
        let longest = Spent { remaining: u32::MAX, reset_seconds: u32::MAX }.field();
        assert_eq!(longest, r#""default";r=4294967295;t=4294967295"#);
    }
}
