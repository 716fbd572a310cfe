//! A constant rate of arrivals: requests begin when they are due, not when the last one was answered.
//!
//! What is late because the server or its connections were busy counts from when it was due, so a slow
//! server is not asked less often (no coordinated omission).

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

/// When each request is due.
pub(super) struct Pace {
    per_second: u64,
    total: u64,
    start: OnceLock<Instant>,
    next: AtomicU64,
    /// One permit for each request that is due and has not begun.
    due: Semaphore,
}

impl Pace {
    pub(super) fn new(per_second: u64, seconds: u64) -> Self {
        let (start, next, due) = (OnceLock::new(), AtomicU64::new(0), Semaphore::new(0));
        Self { per_second, total: per_second * seconds, start, next, due }
    }

    /// How many requests there are in all.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Requests that nobody has taken.
    pub(super) fn left(&self) -> u64 {
        self.total.saturating_sub(self.next.load(Ordering::Relaxed))
    }

    /// Waits until the next request is due, and gives that moment; nothing when all have been taken.
    pub(super) async fn next(&self) -> Option<Instant> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if number >= self.total {
            return None;
        }
        // They are handed out in the order in which they were asked for: this one's is the one of `number`.
        self.due.acquire().await.ok()?.forget();
        Some(self.moment(number))
    }

    /// Lets each request begin when it is due. It looks at the clock all the time: the runtime's timers go
    /// by milliseconds, in which dozens are due.
    pub(super) async fn release(&self) {
        self.moment(0);
        for number in 0..self.total {
            while Instant::now() < self.moment(number) {
                tokio::task::yield_now().await;
            }
            self.due.add_permits(1);
        }
    }

    fn moment(&self, number: u64) -> Instant {
        #[expect(clippy::cast_precision_loss, reason = "no run comes near 2^53 requests")]
        let offset = Duration::from_secs_f64(number as f64 / self.per_second as f64);
        *self.start.get_or_init(Instant::now) + offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn requests_are_due_one_after_the_other_however_late_they_are_taken() {
        let pace = Pace::new(100, 1);
        let take = async {
            let mut moments = Vec::new();
            while let Some(moment) = pace.next().await {
                assert!(moment <= Instant::now());
                moments.push(moment);
                if moments.len() == 10 {
                    tokio::time::sleep(Duration::from_millis(300)).await;
                }
            }
            moments
        };
        let (moments, ()) = tokio::join!(take, pace.release());
        assert_eq!(moments.len(), 100);
        let gaps = moments.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(gaps.clone().all(|gap| gap.abs_diff(Duration::from_millis(10)) < Duration::from_micros(2)));
        assert_eq!(pace.left(), 0);
    }
}
