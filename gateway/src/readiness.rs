//! Readiness for probes: the process has started, is not draining, and every thread that it needs is running.
//!
//! A thread that has ended never comes back; a worker whose event loop is blocked may. In both cases its connections are
//! not served, so the process reports that it is not ready.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::{error, info};
use versions::Instant;

use crate::clock::Clock;

/// How often a worker reports that its event loop runs.
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(500);

/// The state that probes report.
pub struct Readiness {
    /// Every listener is bound and every key is loaded.
    pub started: AtomicBool,
    /// The process is shutting down.
    pub draining: AtomicBool,
    /// The store cannot be reached: keys are served from memory and do not change.
    pub store_failing: AtomicBool,
    /// The store's file was replaced or moved, and what is at its place cannot be opened.
    pub store_detached: AtomicBool,
    clock: Arc<dyn Clock>,
    stalled_after: Duration,
    staleness_limit: Duration,
    /// When the store was read last.
    followed: Mutex<Option<Instant>>,
    threads: Mutex<Vec<Arc<Thread>>>,
}

/// The state of a thread.
struct Thread {
    name: String,
    ended: AtomicBool,
    /// The last heartbeat; a thread without any is only watched for its end.
    heartbeat: Mutex<Option<Instant>>,
    /// Whether it has been logged that it stalls.
    stall_logged: AtomicBool,
}

/// Kept by a thread while it runs: when it is dropped, the thread counts as ended.
pub struct ThreadGuard {
    readiness: Arc<Readiness>,
    thread: Arc<Thread>,
}

/// Whether the process is ready, and why not.
#[derive(Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it should receive requests.
    pub ready: bool,
    /// `ready`, `starting`, `draining` or `failing`.
    pub status: &'static str,
    /// What is failing.
    pub reason: Option<String>,
}

impl Readiness {
    /// Not started yet. A worker without a heartbeat for `stalled_after` counts as stalled, and keys that were not
    /// compared with the store for `staleness_limit` as stale.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, stalled_after: Duration, staleness_limit: Duration) -> Self {
        Self {
            started: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            store_failing: AtomicBool::new(false),
            store_detached: AtomicBool::new(false),
            clock,
            stalled_after,
            staleness_limit,
            followed: Mutex::default(),
            threads: Mutex::default(),
        }
    }

    /// Registers a thread that must run from now on.
    pub fn register_thread(self: &Arc<Self>, name: &str) -> ThreadGuard {
        let thread = Arc::new(Thread {
            name: name.to_owned(),
            ended: AtomicBool::new(false),
            heartbeat: Mutex::default(),
            stall_logged: AtomicBool::new(false),
        });
        lock(&self.threads).push(Arc::clone(&thread));
        ThreadGuard { readiness: Arc::clone(self), thread }
    }

    /// The current state.
    pub fn verdict(&self) -> Verdict {
        let is = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        let thread = lock(&self.threads).iter().find_map(|thread| self.failure(thread));
        let reason = thread.or_else(|| self.store_failure());
        let (ready, status) = match &reason {
            _ if is(&self.draining) => (false, "draining"),
            _ if !is(&self.started) => (false, "starting"),
            Some(_) => (false, "failing"),
            None => (true, "ready"),
        };
        Verdict { ready, status, reason: reason.filter(|_| status == "failing") }
    }

    /// Logs, once each, which workers stall and which have recovered.
    pub fn log_stalls(&self) {
        for thread in lock(&self.threads).iter() {
            let stalled = self.is_stalled(thread);
            if thread.stall_logged.swap(stalled, Ordering::Relaxed) == stalled {
                continue;
            }
            if stalled {
                error!(
                    thread = thread.name,
                    "The thread {} stalls; its connections are not served", thread.name
                );
            } else {
                info!(thread = thread.name, "The thread {} has recovered", thread.name);
            }
        }
    }

    /// All changes in the store up to now are applied.
    pub fn store_was_followed(&self) {
        *lock(&self.followed) = Some(self.clock.monotonic());
    }

    /// The store's state for `/readyz`, and unless it is `ok`, how many seconds ago the keys in memory were
    /// last compared with the store.
    pub fn store_report(&self) -> (&'static str, Option<u64>) {
        // The second is known before the first, and both are read without a lock.
        let failing =
            self.store_failing.load(Ordering::Relaxed) || self.store_detached.load(Ordering::Relaxed);
        match self.store_age() {
            Some(age) if age >= self.staleness_limit => ("stale", Some(age.as_secs())),
            Some(age) if failing => ("failing", Some(age.as_secs())),
            _ if failing => ("failing", None),
            _ => ("ok", None),
        }
    }

    fn store_age(&self) -> Option<Duration> {
        let followed = (*lock(&self.followed))?;
        Some(self.clock.monotonic().saturating_duration_since(followed))
    }

    fn store_failure(&self) -> Option<String> {
        if self.store_detached.load(Ordering::Relaxed) {
            return Some("the store was replaced, moved or unmounted, and cannot be opened".to_owned());
        }
        let age = self.store_age().filter(|age| *age >= self.staleness_limit)?;
        Some(format!("the keys in memory were last compared with the store {} s ago", age.as_secs()))
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
        let heartbeat = *lock(&thread.heartbeat);
        heartbeat.is_some_and(|at| self.clock.monotonic().saturating_duration_since(at) >= self.stalled_after)
    }
}

impl ThreadGuard {
    /// Reports repeatedly, without end, that the event loop runs.
    pub async fn heartbeat(&self) {
        loop {
            *lock(&self.thread.heartbeat) = Some(self.readiness.clock.monotonic());
            tokio::time::sleep(HEARTBEAT_INTERVAL).await;
        }
    }
}

impl Drop for ThreadGuard {
    fn drop(&mut self) {
        self.thread.ended.store(true, Ordering::Relaxed);
        let is = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        if std::thread::panicking() || (is(&self.readiness.started) && !is(&self.readiness.draining)) {
            let name = &self.thread.name;
            error!(thread = name, "The thread {name} has ended unexpectedly; restart this process");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A poisoned lock is used all the same: a panic cannot leave these values half-written.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use jiff::Timestamp;

    use super::*;
    use crate::clock::ManualClock;

    const STALLED_AFTER: Duration = Duration::from_secs(10);
    const STALENESS_LIMIT: Duration = Duration::from_secs(60);

    fn started() -> (Arc<Readiness>, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
        let readiness = Readiness::new(Arc::<ManualClock>::clone(&clock), STALLED_AFTER, STALENESS_LIMIT);
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
            let (other, alive) = (readiness.register_thread("other"), readiness.register_thread("store"));
            assert_eq!(readiness.verdict(), ready());
            let thread = std::thread::spawn(move || {
                let _alive = alive;
                assert!(!panics, "the test panics here");
            });
            assert_eq!(thread.join().is_err(), panics);
            assert_eq!(readiness.verdict(), failing("the thread store has ended"));
            readiness.draining.store(true, Ordering::Relaxed);
            let draining = Verdict { ready: false, status: "draining", reason: None };
            assert_eq!(readiness.verdict(), draining, "a drain ends all threads");
            drop(other);
        }
    }

    #[test]
    fn a_blocked_worker_is_named_until_it_recovers() {
        let (readiness, clock) = started();
        let alive = readiness.register_thread("worker-0");
        let (hang, hanging) = mpsc::channel::<()>();
        let (sent, has_sent) = mpsc::channel();
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let worker = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(async {
                let work = async {
                    // Its first heartbeat comes before this sleep is over; then the loop blocks.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    sent.send(()).unwrap();
                    hanging.recv().unwrap();
                    tokio::time::sleep(HEARTBEAT_INTERVAL * 2).await;
                    sent.send(()).unwrap();
                    std::future::pending::<()>().await;
                };
                tokio::select! {
                    () = work => {}
                    () = alive.heartbeat() => {}
                    _ = ended => {}
                }
            });
        });
        has_sent.recv().unwrap();
        assert_eq!(readiness.verdict(), ready());
        clock.advance(STALLED_AFTER);
        assert_eq!(readiness.verdict(), failing("the thread worker-0 stalls"));
        hang.send(()).unwrap();
        has_sent.recv().unwrap();
        assert_eq!(readiness.verdict(), ready());
        drop(end);
        worker.join().unwrap();
        assert_eq!(readiness.verdict(), failing("the thread worker-0 has ended"));
    }

    #[test]
    fn keys_that_were_not_compared_with_the_store_for_too_long_are_stale() {
        let (readiness, clock) = started();
        readiness.store_was_followed();
        readiness.store_failing.store(true, Ordering::Relaxed);
        clock.advance(STALENESS_LIMIT - Duration::from_secs(1));
        assert_eq!((readiness.verdict(), readiness.store_report()), (ready(), ("failing", Some(59))));
        clock.advance(Duration::from_secs(1));
        let stale = failing("the keys in memory were last compared with the store 60 s ago");
        assert_eq!((readiness.verdict(), readiness.store_report()), (stale, ("stale", Some(60))));
        readiness.store_was_followed();
        readiness.store_failing.store(false, Ordering::Relaxed);
        assert_eq!((readiness.verdict(), readiness.store_report()), (ready(), ("ok", None)));
        readiness.store_detached.store(true, Ordering::Relaxed);
        assert_eq!(readiness.store_report(), ("failing", Some(0)), "also before the store was next used");
    }

    #[test]
    fn a_thread_without_heartbeats_is_not_taken_for_stalled() {
        let (readiness, clock) = started();
        let _alive = readiness.register_thread("store");
        clock.advance(STALLED_AFTER * 2);
        assert_eq!(readiness.verdict(), ready());
    }
}
