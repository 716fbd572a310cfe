//! A key's requests per second: governor's cell-rate algorithm, one cell in the key's own record, made
//! when the key is first used: most keys are idle.
//!
//! The one encoder of `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10)
//! stands here, because the draft may yet rename its parameters.

use std::cell::Cell;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::BytesMut;
use governor::clock::Clock;
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use permissions::Rate;
use versions::Instant;

/// A rate with its field, made once for all keys that share it.
#[derive(Debug)]
pub struct Policy {
    /// The rate.
    pub rate: Rate,
    /// `RateLimit-Policy`: so many requests in such a window.
    pub field: String,
}

impl Policy {
    /// The policy of a rate.
    #[must_use]
    pub fn new(rate: Rate) -> Arc<Self> {
        let text = format!(r#""default";q={};w={}"#, rate.burst, rate.window_seconds());
        Arc::new(Self { rate, field: text })
    }
}

type Limiter = RateLimiter<NotKeyed, InMemoryState, RequestClock, StateInformationMiddleware>;

/// One rate, spent by one key. Clones spend the same, once anything of it is spent.
#[derive(Clone)]
pub struct RateLimit {
    policy: Arc<Policy>,
    limiter: OnceLock<Arc<Limiter>>,
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
    pub const fn new(policy: Arc<Policy>) -> Self {
        Self { policy, limiter: OnceLock::new() }
    }

    /// The rate and its field.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Spends one request at `now`.
    ///
    /// # Errors
    /// The same figures where none is left; `reset_seconds` is then at least 1.
    pub fn spend(&self, now: Instant) -> Result<Spent, Spent> {
        let Rate { per_second, burst } = self.policy.rate;
        let now = RequestClock::set(now);
        let limiter = self.limiter.get_or_init(|| {
            let quota = Quota::per_second(per_second).allow_burst(burst);
            Arc::new(RateLimiter::direct_with_clock(quota, RequestClock).with_middleware())
        });
        match limiter.check() {
            Ok(state) => {
                let remaining = state.remaining_burst_capacity();
                let reset_seconds = burst.get().saturating_sub(remaining).div_ceil(per_second.get());
                Ok(Spent { remaining, reset_seconds })
            }
            Err(until) => {
                let wait = until.wait_time_from(now);
                // Rounded up: a client that comes back after this many seconds is served.
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                let reset_seconds = u32::try_from(seconds).unwrap_or(u32::MAX).max(1);
                Err(Spent { remaining: 0, reset_seconds })
            }
        }
    }
}

/// Governor's clock. It tells the moment of the request that this thread is judging, because governor
/// asks a clock where it could take the time: so none is read twice for one request.
#[derive(Clone, Copy, Debug)]
struct RequestClock;

thread_local! {
    static NOW: Cell<u64> = const { Cell::new(0) };
}

impl RequestClock {
    /// From now on, on this thread, it is this moment.
    fn set(now: Instant) -> Nanos {
        static BEGINNING: OnceLock<Instant> = OnceLock::new();
        // Before the moment of any request: another thread's may have been read earlier than this first one.
        let beginning = || now.checked_sub(Duration::from_secs(60)).unwrap_or(now);
        let since = now.saturating_duration_since(*BEGINNING.get_or_init(beginning));
        let nanoseconds = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        NOW.set(nanoseconds);
        nanoseconds.into()
    }
}

impl Clock for RequestClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        NOW.get().into()
    }
}

impl Spent {
    /// `RateLimit`: what remains, and when the whole is back.
    pub fn write_field(self, text: &mut BytesMut) {
        let (mut remaining, mut reset) = (itoa::Buffer::new(), itoa::Buffer::new());
        text.extend_from_slice(br#""default";r="#);
        text.extend_from_slice(remaining.format(self.remaining).as_bytes());
        text.extend_from_slice(b";t=");
        text.extend_from_slice(reset.format(self.reset_seconds).as_bytes());
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
        let (limit, now) = (limit("1/s+3"), Instant::now());
        for remaining in [2, 1, 0] {
            assert_eq!(limit.spend(now), Ok(Spent { remaining, reset_seconds: 3 - remaining }));
        }
        assert_eq!(limit.spend(now), Err(Spent { remaining: 0, reset_seconds: 1 }));
        let later = now + Duration::from_millis(999);
        assert_eq!(limit.spend(later), Err(Spent { remaining: 0, reset_seconds: 1 }));
        let later = now + Duration::from_secs(1);
        assert_eq!(limit.spend(later), Ok(Spent { remaining: 0, reset_seconds: 3 }));
    }

    #[test]
    fn clones_spend_the_same() {
        let (limit, now) = (limit("1/s+2"), Instant::now());
        limit.spend(now).unwrap();
        let clone = limit.clone();
        assert_eq!(clone.spend(now), Ok(Spent { remaining: 0, reset_seconds: 2 }));
        assert!(limit.spend(now).is_err());
    }

    #[test]
    fn fields_are_structured_as_the_draft_says() {
        assert_eq!(limit("50/s+120").policy().field, r#""default";q=120;w=3"#);
        let field = |remaining, reset_seconds| {
            let mut text = BytesMut::new();
            Spent { remaining, reset_seconds }.write_field(&mut text);
            text
        };
        assert_eq!(field(119, 1), r#""default";r=119;t=1"#);
        assert_eq!(field(u32::MAX, u32::MAX), r#""default";r=4294967295;t=4294967295"#);
    }
}
