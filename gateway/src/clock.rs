//! The machine's clocks, and a clock for tests.
//!
//! Every rule that depends on time takes a [`Clock`], so that a test can set it to the second at which the rule
//! changes. Nothing else in this crate reads the time of day; the linter refuses it.

use std::cell::Cell;
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use versions::Instant;

/// The time of day, and a monotonic clock.
pub trait Clock: Send + Sync {
    /// The time of day. It may jump in either direction when the machine's clock is set.
    fn now(&self) -> Timestamp;

    /// A reading for measuring elapsed time.
    fn monotonic(&self) -> Instant;

    /// Both readings, for a request. The time of day may be a millisecond old.
    fn both(&self) -> (Timestamp, Instant) {
        (self.now(), self.monotonic())
    }
}

/// A clock that several share.
impl<C: Clock + ?Sized> Clock for std::sync::Arc<C> {
    fn now(&self) -> Timestamp {
        (**self).now()
    }

    fn monotonic(&self) -> Instant {
        (**self).monotonic()
    }
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

/// How old the cached time of day may be.
const AGE_MAX: Duration = Duration::from_millis(1);
/// How often the cached time of day is used before it is read again, whatever the monotonic clock says. A worker
/// serves fewer requests than this in [`AGE_MAX`], so only a clock that has stopped reaches it.
const USES_MAX: u32 = 1_000;

thread_local! {
    static CACHED: Cell<Option<CachedTime>> = const { Cell::new(None) };
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the only place that reads the time of day")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    /// Reads the processor's own counter where it runs evenly. The kernel's clock waits for all instructions in
    /// flight, which was 5 % of a request's CPU time.
    fn monotonic(&self) -> Instant {
        static COUNTER: LazyLock<quanta::Clock> = LazyLock::new(quanta::Clock::new);
        COUNTER.now()
    }

    /// Caches the time of day per thread: reading it costs as much as looking up a key.
    fn both(&self) -> (Timestamp, Instant) {
        let monotonic = self.monotonic();
        let cached = CachedTime::refresh(CACHED.get(), monotonic, || self.now());
        CACHED.set(Some(cached));
        (cached.now, monotonic)
    }
}

/// A time of day, the monotonic reading at which it was read, and how often it has been used since.
#[derive(Clone, Copy, Debug)]
struct CachedTime {
    now: Timestamp,
    read_at: Instant,
    uses: u32,
}

impl CachedTime {
    /// Keeps the cached time while it is fresh, and reads it again otherwise: also where the monotonic clock has
    /// stepped back or stands still, because an expired key would be accepted for as long as the cache is.
    fn refresh(cached: Option<Self>, monotonic: Instant, read: impl FnOnce() -> Timestamp) -> Self {
        let is_fresh = |cached: &Self| {
            let age = monotonic.checked_duration_since(cached.read_at);
            cached.uses < USES_MAX && age.is_some_and(|age| age < AGE_MAX)
        };
        match cached.filter(is_fresh) {
            Some(cached) => Self { uses: cached.uses + 1, ..cached },
            None => Self { now: read(), read_at: monotonic, uses: 1 },
        }
    }
}

/// A clock that moves only when it is set or advanced, for tests and simulations.
#[derive(Debug)]
pub struct ManualClock {
    reading: Mutex<(Timestamp, Instant)>,
}

impl ManualClock {
    /// A clock that shows `now`.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self { reading: Mutex::new((now, Instant::now())) }
    }

    /// Moves both readings forward.
    pub fn advance(&self, by: Duration) {
        self.change(|(now, monotonic)| {
            let signed = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
            *now = now.checked_add(signed).unwrap_or(Timestamp::MAX);
            *monotonic += by;
        });
    }

    /// Sets the time of day, as an administrator or NTP does; the monotonic reading stays.
    pub fn set(&self, to: Timestamp) {
        self.change(|(now, _)| *now = to);
    }

    /// A poisoned lock is used all the same: a panic cannot leave two plain values half-written.
    fn change<T>(&self, change: impl FnOnce(&mut (Timestamp, Instant)) -> T) -> T {
        let mut reading = self.reading.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        change(&mut reading)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.change(|(now, _)| *now)
    }

    fn monotonic(&self) -> Instant {
        self.change(|(_, monotonic)| *monotonic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_by_hand() {
        let clock = ManualClock::new(Timestamp::constant(1_800_000_000, 0));
        let (now, monotonic) = (clock.now(), clock.monotonic());
        assert_eq!((clock.now(), clock.monotonic()), (now, monotonic));
        clock.advance(Duration::from_millis(1_500));
        assert_eq!(clock.now().duration_since(now), SignedDuration::from_millis(1_500));
        assert_eq!(clock.monotonic() - monotonic, Duration::from_millis(1_500));
        clock.set(now);
        assert_eq!(clock.now(), now);
        assert_eq!(clock.monotonic() - monotonic, Duration::from_millis(1_500));
    }

    #[test]
    fn both_readings_are_at_most_a_millisecond_old() {
        let clock = SystemClock;
        for pause in [Duration::ZERO, AGE_MAX, 2 * AGE_MAX] {
            std::thread::sleep(pause);
            let (before, began) = (clock.now(), clock.monotonic());
            let (now, monotonic) = clock.both();
            assert!(began <= monotonic && monotonic <= clock.monotonic());
            let oldest = before - SignedDuration::try_from(AGE_MAX).unwrap();
            assert!((oldest..=clock.now()).contains(&now), "{before}: {now}");
        }
    }

    #[test]
    fn the_cached_time_of_day_is_kept_for_a_millisecond() {
        let (day, start) = (Timestamp::UNIX_EPOCH, Instant::now());
        let later = day + SignedDuration::from_secs(1);
        let cached = CachedTime::refresh(None, start, || day);
        let kept = CachedTime::refresh(Some(cached), start + AGE_MAX / 2, || later);
        assert_eq!((kept.now, kept.uses), (day, 2));
        assert_eq!(CachedTime::refresh(Some(kept), start + AGE_MAX, || later).now, later);
    }

    #[test]
    fn the_time_of_day_is_read_again_when_the_monotonic_clock_steps_back() {
        let (day, stepped_back) = (Timestamp::UNIX_EPOCH, Instant::now());
        let later = day + SignedDuration::from_secs(3600);
        let cached = CachedTime::refresh(None, stepped_back + Duration::from_secs(3600), || day);
        let refreshed = CachedTime::refresh(Some(cached), stepped_back, || later);
        assert_eq!((refreshed.now, refreshed.read_at), (later, stepped_back));
    }

    #[test]
    fn the_time_of_day_is_read_again_when_the_monotonic_clock_stands_still() {
        let (day, start) = (Timestamp::UNIX_EPOCH, Instant::now());
        let later = day + SignedDuration::from_secs(3600);
        let mut cached = CachedTime::refresh(None, start, || day);
        for _ in 1..USES_MAX {
            cached = CachedTime::refresh(Some(cached), start, || later);
            assert_eq!(cached.now, day);
        }
        assert_eq!(CachedTime::refresh(Some(cached), start, || later).now, later);
    }

    #[test]
    fn the_end_of_time_is_no_panic() {
        let clock = ManualClock::new(Timestamp::MAX);
        clock.advance(Duration::from_secs(1));
        assert_eq!(clock.now(), Timestamp::MAX);
    }
}
