//! What time it is: the one door to the clocks of the machine.
//!
//! Every rule that depends on time takes a [`Clock`], so that a test can stand at the second where
//! the rule turns. Nothing else in this crate reads the time of day (the linter refuses it). A clock
//! knows nothing of what its readings are used for.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

/// Tells the time of day, and the time that has passed.
pub trait Clock: Send + Sync {
    /// The time of day. It may jump in either direction when the machine's clock is set.
    fn now(&self) -> Timestamp;

    /// A reading that only ever grows: the difference of two is the time that has passed.
    fn monotonic(&self) -> Instant;
}

/// The clock of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one door to the clock")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn monotonic(&self) -> Instant {
        Instant::now()
    }
}

/// A clock that stands still until it is moved by hand, for tests and simulations.
#[derive(Debug)]
pub struct ManualClock {
    reading: Mutex<(Timestamp, Instant)>,
}

impl ManualClock {
    /// A clock that stands at `now`.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self { reading: Mutex::new((now, Instant::now())) }
    }

    /// Lets time pass: both readings grow.
    pub fn advance(&self, by: Duration) {
        self.change(|(now, monotonic)| {
            let signed = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
            *now = now.checked_add(signed).unwrap_or(Timestamp::MAX);
            *monotonic += by;
        });
    }

    /// Sets the time of day, as an administrator or NTP does: no time passes.
    pub fn set(&self, to: Timestamp) {
        self.change(|(now, _)| *now = to);
    }

    /// A reading is two plain values, so one left by a thread that panicked is as good as any.
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
    fn the_end_of_time_is_no_panic() {
        let clock = ManualClock::new(Timestamp::MAX);
        clock.advance(Duration::from_secs(1));
        assert_eq!(clock.now(), Timestamp::MAX);
    }
}
