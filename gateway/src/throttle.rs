//! A bound on how often a log line is written that strangers can provoke.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lets one line through per interval and counts the others.
#[derive(Debug)]
pub(crate) struct Throttle {
    interval: Duration,
    state: Mutex<ThrottleState>,
}

#[derive(Debug)]
struct ThrottleState {
    written: Option<Instant>,
    suppressed: u64,
}

impl Throttle {
    /// A throttle for at most one line per interval.
    #[must_use]
    pub(crate) const fn new(interval: Duration) -> Self {
        Self { interval, state: Mutex::new(ThrottleState { written: None, suppressed: 0 }) }
    }

    /// Whether a line may be written now: then the number of lines that were suppressed before it. A clock that steps
    /// back lets the line through.
    pub(crate) fn admit(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let since = state.written.and_then(|written| now.checked_duration_since(written));
        if since.is_some_and(|since| since < self.interval) {
            state.suppressed += 1;
            return None;
        }
        state.written = Some(now);
        Some(std::mem::take(&mut state.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_per_interval_is_written_and_the_others_are_counted() {
        let throttle = Throttle::new(Duration::from_secs(10));
        let start = Instant::now();
        let at = |seconds| throttle.admit(start + Duration::from_secs(seconds));
        assert_eq!([0, 1, 9, 10, 11, 25].map(at), [Some(0), None, None, Some(2), None, Some(1)]);
        assert_eq!(at(5), Some(0), "the clock has stepped back");
    }
}
