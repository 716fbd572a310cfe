//! When keys were last used, written on a thread and a connection of its own: there may be very many, and neither a
//! change nor a command's write is to wait for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use permissions::Credential;
use tracing::warn;

use crate::callers::index::KeyIndex;
use crate::store::{Store, StoreError};

/// How many keys are written in one transaction. A command that writes waits for one at most where it is lucky; it
/// tries again in steps of milliseconds, so there is more pause than work.
const ROWS_MAX: usize = 100;
/// The pause between two transactions, in which others get to write.
const PAUSE: Duration = Duration::from_millis(5);

/// Writes the last use of all keys, from time to time.
pub(super) struct LastUsed {
    keys: &'static KeyIndex,
    /// What was used before is written, or being written.
    since: Timestamp,
    writing: Option<Writing>,
}

/// A round that is under way.
struct Writing {
    thread: JoinHandle<Result<(), StoreError>>,
    since: Timestamp,
    stopping: Arc<AtomicBool>,
}

impl LastUsed {
    pub(super) const fn new(keys: &'static KeyIndex, now: Timestamp) -> Self {
        Self { keys, since: now, writing: None }
    }

    /// Begins a round, unless one is under way.
    pub(super) fn begin(&mut self, store: &Store, now: Timestamp) -> Result<(), StoreError> {
        if self.writing.is_some() {
            return Ok(());
        }
        let mut connection = store.connect_again()?;
        let (keys, since, stopping) = (self.keys, self.since, Arc::new(AtomicBool::new(false)));
        let stop = Arc::clone(&stopping);
        let write = move || {
            for rows in used_since(keys, since).chunks(ROWS_MAX) {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                connection.write_last_used(rows)?;
                std::thread::sleep(PAUSE);
            }
            Ok(())
        };
        match std::thread::Builder::new().name("last-used".to_owned()).spawn(write) {
            Ok(thread) => (self.writing, self.since) = (Some(Writing { thread, since, stopping }), now),
            // Tried again after the next interval.
            Err(error) => warn!(%error, "Cannot start a thread to write the last use of keys"),
        }
        Ok(())
    }

    /// What became of a round that has ended; its keys are written again with the next one where it failed.
    pub(super) fn take_outcome(&mut self) -> Result<(), StoreError> {
        let Some(Writing { thread, since, .. }) = self.writing.take_if(|round| round.thread.is_finished())
        else {
            return Ok(());
        };
        let outcome = thread.join();
        if !matches!(outcome, Ok(Ok(()))) {
            self.since = since;
        }
        outcome.unwrap_or(Ok(()))
    }

    /// Writes all that is left, without a pause: the process ends.
    pub(super) fn finish(&mut self, store: &mut Store) -> Result<(), StoreError> {
        if let Some(Writing { thread, since, stopping }) = self.writing.take() {
            stopping.store(true, Ordering::Relaxed);
            // Whatever it has written is written again.
            let _ = thread.join();
            self.since = since;
        }
        let used = used_since(self.keys, self.since);
        used.chunks(ROWS_MAX).try_for_each(|rows| store.write_last_used(rows))
    }
}

/// In the store's order: neighbours are on the same pages.
fn used_since(keys: &KeyIndex, since: Timestamp) -> Vec<(Credential, Timestamp)> {
    let mut used = keys.used_since(since);
    used.sort_unstable_by_key(|(id, _)| *id);
    used
}
