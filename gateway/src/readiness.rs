//! Whether the process can serve, as probes see it: started, not on its way out, and every thread that
//! serving takes is there and at work.
//!
//! A thread that has ended, whatever ended it, never comes back; a worker whose loop no longer goes round
//! may. Either way its share of the connections is not served, so probes are told to look elsewhere.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::{error, info};
use versions::Instant;

use crate::clock::Clock;

/// How often a worker shows that its loop goes round.
const SHOW_INTERVAL: Duration = Duration::from_millis(500);

/// What probes are told.
pub struct Readiness {
    /// Every listener is bound and every key is loaded.
    pub started: AtomicBool,
    /// The process is on its way out.
    pub draining: AtomicBool,
    /// The store cannot be reached: keys are served from memory and cannot change.
    pub store_failing: AtomicBool,
    clock: Arc<dyn Clock>,
    stalled_after: Duration,
    threads: Mutex<Vec<Arc<Thread>>>,
}

/// What is known of a thread.
struct Thread {
    name: String,
    ended: AtomicBool,
    /// When it last showed that it is at work; a thread that never does is only watched for its end.
    seen: Mutex<Option<Instant>>,
    /// Whether the log has been told that it stalls.
    told: AtomicBool,
}

/// A thread's own end of this: kept by the thread for as long as it is to run.
pub struct Alive {
    readiness: Arc<Readiness>,
    thread: Arc<Thread>,
}

/// Whether the process is ready, in a word, and why not.
#[derive(Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether requests should come here.
    pub ready: bool,
    /// `ready`, `starting`, `draining` or `failing`.
    pub status: &'static str,
    /// What fails.
    pub reason: Option<String>,
}

impl Readiness {
    /// Not started yet. A worker that does not show itself for `stalled_after` is taken for stalled.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, stalled_after: Duration) -> Self {
        Self {
            started: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            store_failing: AtomicBool::new(false),
            clock,
            stalled_after,
            threads: Mutex::default(),
        }
    }

    /// Takes note of a thread that serving takes from now on.
    pub fn thread(self: &Arc<Self>, name: &str) -> Alive {
        let thread = Arc::new(Thread {
            name: name.to_owned(),
            ended: AtomicBool::new(false),
            seen: Mutex::default(),
            told: AtomicBool::new(false),
        });
        lock(&self.threads).push(Arc::clone(&thread));
        Alive { readiness: Arc::clone(self), thread }
    }

    /// What a probe is told now.
    pub fn verdict(&self) -> Verdict {
        let is = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        let reason = lock(&self.threads).iter().find_map(|thread| self.failure(thread));
        let (ready, status) = match &reason {
            _ if is(&self.draining) => (false, "draining"),
            _ if !is(&self.started) => (false, "starting"),
            Some(_) => (false, "failing"),
            None => (true, "ready"),
        };
        Verdict { ready, status, reason: reason.filter(|_| status == "failing") }
    }

    /// Says in the log, once each, which worker stalls and which has come back.
    pub fn watch(&self) {
        for thread in lock(&self.threads).iter() {
            let stalled = self.is_stalled(thread);
            if thread.told.swap(stalled, Ordering::Relaxed) == stalled {
                continue;
            }
            if stalled {
                error!(thread = thread.name, "The thread {} stalls; it serves nobody", thread.name);
            } else {
                info!(thread = thread.name, "The thread {} is at work again", thread.name);
            }
        }
    }

    fn failure(&self, thread: &Thread) -> Option<String> {
        if thread.ended.load(Ordering::Relaxed) {
            Some(format!("the thread {} has ended", thread.name))
        } else if self.is_stalled(thread) {
            Some(format!("the thread {} stalls", thread.name))
        } else {
            None
        }
    }

    fn is_stalled(&self, thread: &Thread) -> bool {
        let seen = *lock(&thread.seen);
        seen.is_some_and(|seen| self.clock.monotonic().saturating_duration_since(seen) >= self.stalled_after)
    }
}

impl Alive {
    /// Shows again and again that the loop that this runs on goes round. It has no end of its own.
    pub async fn keep_showing(&self) {
        loop {
            *lock(&self.thread.seen) = Some(self.readiness.clock.monotonic());
            tokio::time::sleep(SHOW_INTERVAL).await;
        }
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.thread.ended.store(true, Ordering::Relaxed);
        let is = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        if std::thread::panicking() || (is(&self.readiness.started) && !is(&self.readiness.draining)) {
            let name = &self.thread.name;
            error!(thread = name, "The thread {name} has ended before its time; restart this process");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Under these locks values are only replaced, read and pushed: one left by a panic is as good as any.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use jiff::Timestamp;

    use super::*;
    use crate::clock::ManualClock;

    const STALLED_AFTER: Duration = Duration::from_secs(10);

    fn started() -> (Arc<Readiness>, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
        let readiness = Readiness::new(Arc::<ManualClock>::clone(&clock), STALLED_AFTER);
        readiness.started.store(true, Ordering::Relaxed);
        (Arc::new(readiness), clock)
    }

    fn ready() -> Verdict {
        Verdict { ready: true, status: "ready", reason: None }
    }

    fn failing(reason: &str) -> Verdict {
        Verdict { ready: false, status: "failing", reason: Some(reason.to_owned()) }
    }

    #[test]
    fn a_thread_that_panics_or_returns_is_named() {
        for panics in [true, false] {
            let (readiness, _) = started();
            let (other, alive) = (readiness.thread("other"), readiness.thread("store"));
            assert_eq!(readiness.verdict(), ready());
            let thread = std::thread::spawn(move || {
                let _alive = alive;
                assert!(!panics, "this is what the test is about");
            });
            assert_eq!(thread.join().is_err(), panics);
            assert_eq!(readiness.verdict(), failing("the thread store has ended"));
            readiness.draining.store(true, Ordering::Relaxed);
            let draining = Verdict { ready: false, status: "draining", reason: None };
            assert_eq!(readiness.verdict(), draining, "a drain ends them all");
            drop(other);
        }
    }

    #[test]
    fn a_worker_whose_loop_hangs_is_named_until_it_goes_round_again() {
        let (readiness, clock) = started();
        let alive = readiness.thread("worker-0");
        let (hang, hanging) = mpsc::channel::<()>();
        let (shown, has_shown) = mpsc::channel();
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let worker = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(async {
                let work = async {
                    // It shows itself before this first sleep is over, and then the loop hangs.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    shown.send(()).unwrap();
                    hanging.recv().unwrap();
                    tokio::time::sleep(SHOW_INTERVAL * 2).await;
                    shown.send(()).unwrap();
                    std::future::pending::<()>().await;
                };
                tokio::select! {
                    () = work => {}
                    () = alive.keep_showing() => {}
                    _ = ended => {}
                }
            });
        });
        has_shown.recv().unwrap();
        assert_eq!(readiness.verdict(), ready());
        clock.advance(STALLED_AFTER);
        assert_eq!(readiness.verdict(), failing("the thread worker-0 stalls"));
        hang.send(()).unwrap();
        has_shown.recv().unwrap();
        assert_eq!(readiness.verdict(), ready());
        drop(end);
        worker.join().unwrap();
        assert_eq!(readiness.verdict(), failing("the thread worker-0 has ended"));
    }

    #[test]
    fn a_thread_that_never_shows_itself_is_not_taken_for_stalled() {
        let (readiness, clock) = started();
        let _alive = readiness.thread("store");
        clock.advance(STALLED_AFTER * 2);
        assert_eq!(readiness.verdict(), ready());
    }
}
