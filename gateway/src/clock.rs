//! What time it is: the one door to the clocks of the machine.
//!
//! Every rule that depends on time takes a [`Clock`], so that a test can stand at the second where
//! the rule turns. Nothing else in this crate reads the time of day (the linter refuses it). A clock
//! knows nothing of what its readings are used for.

use std::cell::Cell;
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use versions::Instant;

/// Tells the time of day, and the time that has passed.
pub trait Clock: Send + Sync {
    /// The time of day. It may jump in either direction when the machine's clock is set.
    fn now(&self) -> Timestamp;

    /// A reading that only ever grows: the difference of two is the time that has passed.
    fn monotonic(&self) -> Instant;

    /// Both at once, for a request. The time of day may be a millisecond old.
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

/// The clock of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

/// How old the time of day may be where both clocks are read.
const AGE_MAX: Duration = Duration::from_millis(1);

thread_local! {
    /// When the time of day was read last on this thread, and what it was.
    static READ: Cell<Option<(Instant, Timestamp)>> = const { Cell::new(None) };
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one door to the clock")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    /// By the processor's own counter, where it has one that runs evenly. The kernel's clock is read no faster
    /// than the processor ends all that it has begun, which was a twentieth of what a request cost.
    fn monotonic(&self) -> Instant {
        static COUNTER: LazyLock<quanta::Clock> = LazyLock::new(quanta::Clock::new);
        COUNTER.now()
    }

    /// Reads one clock for most requests of a busy worker, since each reading costs as much as a look-up.
    fn both(&self) -> (Timestamp, Instant) {
        let monotonic = self.monotonic();
        let now = match READ.get() {
            Some((at, now)) if monotonic.saturating_duration_since(at) < AGE_MAX => now,
            _ => {
                let now = self.now();
                READ.set(Some((monotonic, now)));
                now
            }
        };
        (now, monotonic)
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
    fn both_readings_are_the_clocks_own_but_for_a_millisecond() {
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
    fn the_end_of_time_is_no_panic() {
        let clock = ManualClock::new(Timestamp::MAX);
        clock.advance(Duration::from_secs(1));
        assert_eq!(clock.now(), Timestamp::MAX);
    }
}
