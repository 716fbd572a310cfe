//! A key's rate limit, by governor's cell-rate algorithm. Its state is created when the key is first used,
//! because most keys are idle.
//!
//! `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10) are encoded here only,
//! because the draft may still rename their parameters.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use governor::clock::Clock;
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use http::HeaderValue;
use permissions::{Period, Rate};
use versions::Instant;

/// A rate and its response fields. All keys of the same rate share it, for up to [`SHARED_MAX`] rates.
#[derive(Debug)]
pub struct Policy {
    /// The rate.
    pub rate: Rate,
    /// `RateLimit-Policy`: the quota and the window.
    field: HeaderValue,
    /// Prepared values of `RateLimit`, by how many requests of the burst are used.
    prepared: Vec<(Spent, HeaderValue)>,
}

type Shared = HashMap<Rate, Arc<Policy>>;

/// How many rates are shared. Their field values are static: every worker would write a reference count with
/// every response. Each key of any other rate has its own policy, whose `RateLimit-Policy` is
/// reference-counted and whose `RateLimit` is written for each response.
const SHARED_MAX: usize = 128;
/// Up to how many used requests `RateLimit` is prepared. Most callers stay far below their rate and have
/// nearly all of their burst left.
const PREPARED_USED_MAX: u32 = 16;

impl Policy {
    /// Returns the policy of a rate.
    #[must_use]
    pub fn new(rate: Rate) -> Arc<Self> {
        static SHARED: LazyLock<Mutex<Shared>> = LazyLock::new(Mutex::default);
        Self::among(&mut SHARED.lock().unwrap_or_else(PoisonError::into_inner), rate)
    }

    fn among(shared: &mut Shared, rate: Rate) -> Arc<Self> {
        if let Some(policy) = shared.get(&rate) {
            return Arc::clone(policy);
        }
        let field = format!(r#""default";q={};w={}"#, rate.burst, rate.window_seconds());
        if shared.len() >= SHARED_MAX {
            let field = HeaderValue::try_from(field).expect("digits and plain signs");
            return Arc::new(Self { rate, field, prepared: Vec::new() });
        }
        let fixed = |text: &str| HeaderValue::from_static(text.to_owned().leak());
        let prepared = (1..=rate.burst.get().min(PREPARED_USED_MAX)).map(|used| {
            let spent = Spent::of(rate.burst.get() - used, rate);
            let mut text = BytesMut::new();
            spent.write_field(&mut text);
            (spent, fixed(&String::from_utf8_lossy(&text)))
        });
        let policy = Arc::new(Self { rate, field: fixed(&field), prepared: prepared.collect() });
        shared.insert(rate, Arc::clone(&policy));
        policy
    }

    /// `RateLimit-Policy`.
    #[must_use]
    pub fn field(&self) -> HeaderValue {
        self.field.clone()
    }

    /// `RateLimit`, if it is prepared.
    #[must_use]
    pub fn prepared_field(&self, spent: Spent) -> Option<HeaderValue> {
        let used = self.rate.burst.get().checked_sub(spent.remaining)?.checked_sub(1)?;
        let (of, field) = self.prepared.get(used as usize)?;
        (*of == spent).then(|| field.clone())
    }
}

type Limiter = RateLimiter<NotKeyed, InMemoryState, RequestClock, StateInformationMiddleware>;

/// The rate limit of one key. Clones share their state once a request was spent.
#[derive(Clone)]
pub struct RateLimit {
    policy: Arc<Policy>,
    limiter: OnceLock<Arc<Limiter>>,
}

/// What is left of a rate after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// How many more requests may come at once.
    pub remaining: u32,
    /// Seconds until the full burst is available; after a refusal, until the next request is accepted.
    pub reset_seconds: u32,
}

impl RateLimit {
    /// A limit of which nothing is spent.
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
    /// What is left, if that is no request; `reset_seconds` is then at least 1.
    pub fn spend(&self, now: Instant) -> Result<Spent, Spent> {
        let Rate { requests, per, burst } = self.policy.rate;
        let now = RequestClock::set(now);
        let limiter = self.limiter.get_or_init(|| {
            let quota = match per {
                Period::Second => Quota::per_second(requests),
                Period::Minute => Quota::per_minute(requests),
                Period::Hour => Quota::per_hour(requests),
            };
            let quota = quota.allow_burst(burst);
            Arc::new(RateLimiter::direct_with_clock(quota, RequestClock).with_middleware())
        });
        match limiter.check() {
            Ok(state) => Ok(Spent::of(state.remaining_burst_capacity(), self.policy.rate)),
            Err(until) => {
                let wait = until.wait_time_from(now);
                // Rounded up, so that a client that waits this many seconds is served.
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                let reset_seconds = u32::try_from(seconds).unwrap_or(u32::MAX).max(1);
                Err(Spent { remaining: 0, reset_seconds })
            }
        }
    }
}

/// Governor's clock. It returns the time of the request in hand on this thread, because governor takes a
/// clock rather than a time; so the time is read once per request.
#[derive(Clone, Copy, Debug)]
struct RequestClock;

thread_local! {
    static NOW: Cell<u64> = const { Cell::new(0) };
}

impl RequestClock {
    /// Sets the time on this thread.
    fn set(now: Instant) -> Nanos {
        static BEGINNING: OnceLock<Instant> = OnceLock::new();
        // Earlier than any request: another thread may have read its time before this first one.
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
    /// What is left, if `remaining` of the burst remain.
    fn of(remaining: u32, rate: Rate) -> Self {
        let reset_seconds = rate.seconds_to_restore(rate.burst.get().saturating_sub(remaining));
        Self { remaining, reset_seconds }
    }

    /// Writes `RateLimit`: what remains, and when the full burst is available.
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
    fn a_burst_is_served_and_then_the_caller_must_wait() {
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
    fn a_rate_per_minute_or_hour_restores_one_request_at_a_time() {
        for (rate, window, wait) in [("2/m", 60, 30), ("4/h", 3600, 900), ("60/h+2", 120, 60)] {
            let (limit, now) = (limit(rate), Instant::now());
            let burst = limit.policy().rate.burst.get();
            for remaining in (0..burst).rev() {
                let reset_seconds = window / burst * (burst - remaining);
                assert_eq!(limit.spend(now), Ok(Spent { remaining, reset_seconds }), "{rate}");
            }
            assert_eq!(limit.spend(now), Err(Spent { remaining: 0, reset_seconds: wait }), "{rate}");
            let early = now + Duration::from_secs(wait.into()) - Duration::from_millis(1);
            assert!(limit.spend(early).is_err(), "{rate}");
            let later = now + Duration::from_secs(wait.into());
            assert_eq!(limit.spend(later), Ok(Spent { remaining: 0, reset_seconds: window }), "{rate}");
            assert_eq!(limit.policy().field(), format!(r#""default";q={burst};w={window}"#).as_str());
        }
    }

    #[test]
    fn the_slowest_rate_with_the_largest_burst_does_not_overflow() {
        let (limit, now) = (limit("1/s+1000000000"), Instant::now());
        assert_eq!(limit.spend(now).unwrap().remaining, 999_999_999);
        let (limit, now) = (self::limit("1/h+277777"), Instant::now());
        assert_eq!(limit.spend(now).unwrap().remaining, 277_776);
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
        assert_eq!(limit("50/s+120").policy().field(), r#""default";q=120;w=3"#);
        let field = |remaining, reset_seconds| {
            let mut text = BytesMut::new();
            Spent { remaining, reset_seconds }.write_field(&mut text);
            text
        };
        assert_eq!(field(119, 1), r#""default";r=119;t=1"#);
        assert_eq!(field(u32::MAX, u32::MAX), r#""default";r=4294967295;t=4294967295"#);
    }

    #[test]
    fn a_prepared_field_equals_the_written_one() {
        let (limit, now) = (limit("2/s+20"), Instant::now());
        for used in 1..=20 {
            let spent = limit.spend(now).unwrap();
            let mut text = BytesMut::new();
            spent.write_field(&mut text);
            let written = limit.policy().prepared_field(spent);
            assert_eq!(written.is_some(), used <= PREPARED_USED_MAX, "{used}");
            assert!(written.is_none_or(|written| written == text[..]), "{text:?}");
        }
        // The last request of a small burst, and a refused one: the same remains, but the reset differs.
        let limit = self::limit("1/s+2");
        limit.spend(now).unwrap();
        let (last, refused) = (limit.spend(now).unwrap(), limit.spend(now).unwrap_err());
        assert_eq!((last.remaining, refused.remaining), (0, 0));
        assert_eq!(limit.policy().prepared_field(last).unwrap(), r#""default";r=0;t=2"#);
        assert_eq!(limit.policy().prepared_field(refused), None);
    }

    #[test]
    fn no_more_rates_than_the_bound_are_shared_and_prepared() {
        let mut shared = Shared::new();
        for burst in 1..=2 * SHARED_MAX {
            let rate = format!("7/s+{burst}").parse().unwrap();
            let policy = Policy::among(&mut shared, rate);
            let is_shared = burst <= SHARED_MAX;
            assert_eq!(Arc::ptr_eq(&policy, &Policy::among(&mut shared, rate)), is_shared, "{burst}");
            assert_eq!(policy.prepared.is_empty(), !is_shared, "{burst}");
            assert_eq!(policy.field(), format!(r#""default";q={burst};w={}"#, burst.div_ceil(7)).as_str());
        }
        assert_eq!(shared.len(), SHARED_MAX);
    }
}
