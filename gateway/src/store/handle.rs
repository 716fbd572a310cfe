//! Access to the store for code that must not block: a bounded queue to the thread that owns the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use tokio::sync::oneshot;

use super::{Store, StoreError};

/// How many jobs may wait for the store's thread.
const JOBS_MAX: usize = 64;
/// How long a caller waits for its job, from queueing it to its result.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// Runs jobs on the store's thread. Clones share one queue.
#[derive(Clone)]
pub struct StoreHandle {
    jobs: SyncSender<Job>,
    stopping: Arc<AtomicBool>,
    wait_max: Duration,
}

/// The store's end of the queue.
pub struct Jobs {
    jobs: Receiver<Job>,
    stopping: Arc<AtomicBool>,
}

/// A unit of work: takes the store, or why it cannot be used, and returns how to reply to the caller.
pub type Job = Box<dyn FnOnce(Result<&mut Store, StoreError>) -> Reply + Send>;

/// Sends a job's result to its caller. Takes whether this process has applied what the job wrote.
pub type Reply = Box<dyn FnOnce(Result<(), StoreError>)>;

/// A handle, and the queue's other end, for the store's thread.
#[must_use]
pub fn job_queue() -> (StoreHandle, Jobs) {
    job_queue_of(JOBS_MAX, WAIT_MAX)
}

fn job_queue_of(jobs_max: usize, wait_max: Duration) -> (StoreHandle, Jobs) {
    let (sender, receiver) = sync_channel(jobs_max);
    let stopping = Arc::new(AtomicBool::new(false));
    let handle = StoreHandle { jobs: sender, stopping: Arc::clone(&stopping), wait_max };
    (handle, Jobs { jobs: receiver, stopping })
}

impl StoreHandle {
    /// Runs `work` on the store's thread and returns its result once this process has applied what `work`
    /// wrote. A job whose caller has stopped waiting is not started.
    ///
    /// # Errors
    /// Errors of `work`; [`StoreError::QueueFull`], [`StoreError::TimedOut`], [`StoreError::NotApplied`] and
    /// [`StoreError::Stopped`]; and why the store cannot be used.
    pub async fn run<T, E>(
        &self,
        work: impl FnOnce(&mut Store) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let job: Job = Box::new(move |store| {
            if sender.is_closed() {
                return Box::new(|_| ());
            }
            let result = store.map_err(E::from).and_then(work);
            Box::new(move |applied: Result<(), StoreError>| {
                let result = result.and_then(|value| match applied {
                    Ok(()) => Ok(value),
                    Err(source) => Err(StoreError::NotApplied { source: Box::new(source) }.into()),
                });
                // Sending fails if the caller has stopped waiting.
                let _ = sender.send(result);
            })
        });
        if self.stopping.load(Ordering::Relaxed) {
            return Err(StoreError::Stopped.into());
        }
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::QueueFull { jobs_max: JOBS_MAX },
            TrySendError::Disconnected(_) => StoreError::Stopped,
        })?;
        match tokio::time::timeout(self.wait_max, receiver).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(StoreError::Stopped.into()),
            Err(_) => Err(StoreError::TimedOut { seconds: self.wait_max.as_secs() }.into()),
        }
    }

    /// Stops the store's thread. Jobs that are still queued are not started.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        // Wakes the thread. A full queue means that it is awake.
        let _ = self.jobs.try_send(Box::new(|_| Box::new(|_| ())));
    }
}

impl Jobs {
    /// The next job, or `None` after `wait` without one.
    pub fn next(&self, wait: Duration) -> Option<Job> {
        match self.jobs.recv_timeout(wait) {
            Ok(job) => Some(job),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                // Without any handle left, nothing can stop the thread: it keeps running at the same pace.
                std::thread::sleep(wait);
                None
            }
        }
    }

    /// Whether the thread should stop.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
    }

    #[test]
    fn a_full_queue_is_an_error() {
        let (handle, _jobs) = job_queue_of(1, Duration::from_millis(10));
        let run = || block_on(handle.run(|_| Ok::<_, StoreError>(())));
        let error = run().unwrap_err();
        assert!(matches!(error, StoreError::TimedOut { .. }), "nobody takes the job: {error}");
        let error = run().unwrap_err();
        assert!(matches!(error, StoreError::QueueFull { .. }), "{error}");
    }

    #[test]
    fn a_stopped_thread_is_an_error() {
        let (handle, jobs) = job_queue();
        let other = handle.clone();
        drop(jobs);
        let error = block_on(handle.run(|_| Ok::<_, StoreError>(()))).unwrap_err();
        assert!(matches!(error, StoreError::Stopped), "{error}");
        other.stop();
    }

    #[test]
    fn a_job_whose_caller_gave_up_is_not_started() {
        let (handle, jobs) = job_queue_of(1, Duration::ZERO);
        let work = |_: &mut Store| -> Result<(), StoreError> { panic!("it was started") };
        assert!(matches!(block_on(handle.run(work)), Err(StoreError::TimedOut { .. })));
        let mut fixture = crate::store::tests::Fixture::new();
        jobs.next(Duration::ZERO).unwrap()(Ok(&mut fixture.store))(Ok(()));
    }
}
