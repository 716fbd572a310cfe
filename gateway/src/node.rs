//! This process as one of those that serve a store: it shows that it lives, follows what others write,
//! and gives a receipt for each change once requests meet it.
//!
//! Everything that waits for the disk happens on the thread of this module. A store that cannot be
//! reached stops changes, not traffic: what is in memory is served on.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tracing::{error, info, warn};
use uuid::Builder;

use crate::clock::Clock;
use crate::config;
use crate::keys::index::KeyIndex;
use crate::readiness::Readiness;
use crate::store::{Changes, Node, Receipt, Store, StoreError};

/// Follows the store for as long as the process serves.
pub struct Follower {
    store: Store,
    keys: &'static KeyIndex,
    clock: Arc<dyn Clock>,
    settings: config::Store,
    readiness: Arc<Readiness>,
    node: Node,
    /// The last change that requests meet.
    applied: i64,
    /// There is something to apply. It stays so until all of it is done: the doorbell rings once only.
    behind: bool,
    used_since: Timestamp,
}

impl Follower {
    /// Makes the process known, then loads every key: in this order, so that a command that finds no
    /// node knows that whoever comes later loads what it wrote.
    ///
    /// `listeners` is what the process listens on, in the form of the ready file.
    ///
    /// # Errors
    /// What the store says; without keys there is nothing to serve.
    pub fn start(
        mut store: Store,
        keys: &'static KeyIndex,
        clock: Arc<dyn Clock>,
        settings: config::Store,
        readiness: Arc<Readiness>,
        listeners: serde_json::Value,
    ) -> Result<Self, StoreError> {
        let now = clock.now();
        let id = Builder::from_random_bytes(rand::random()).into_uuid();
        let node = Node { id, pid: std::process::id(), started: now, heartbeat: now, listeners };
        store.announce_node(&node)?;
        store.changed()?;
        keys.reserve(store.key_count()?);
        let applied = store.each_key(|key| {
            keys.apply(&key, now);
        })?;
        // For a command that has found this node and waits: what it wrote is loaded.
        store.write_receipt(&Receipt {
            node: id,
            change: applied,
            applied_at: clock.now(),
            connections_closed: 0,
        })?;
        info!(keys = keys.count(), node = %id, "Loaded {} keys", keys.count());
        Ok(Self { store, keys, clock, settings, readiness, node, applied, behind: false, used_since: now })
    }

    /// Follows until `stop` is closed or says so. Blocks its thread.
    pub fn run(mut self, stop: &Receiver<()>) {
        let mut heartbeat = Instant::now();
        let mut last_used = Instant::now();
        while matches!(stop.recv_timeout(self.settings.change_interval), Err(RecvTimeoutError::Timeout)) {
            let outcome = self.follow();
            self.note(outcome);
            if due(&mut heartbeat, self.settings.heartbeat_interval) {
                let outcome = self.show_life();
                self.note(outcome);
            }
            if due(&mut last_used, self.settings.last_used_interval) {
                let outcome = self.write_last_used();
                self.note(outcome);
            }
        }
        let outcome = self.write_last_used().and_then(|()| self.store.leave(self.node.id));
        self.note(outcome);
    }

    fn follow(&mut self) -> Result<(), StoreError> {
        self.behind |= self.store.changed()?;
        if self.behind {
            let changes = self.store.changes_since(self.applied)?;
            self.apply(&changes)?;
            self.behind = false;
        }
        Ok(())
    }

    fn apply(&mut self, changes: &Changes) -> Result<(), StoreError> {
        let now = self.clock.now();
        let mut closed = 0;
        let last = if changes.gap {
            warn!("The change feed no longer reaches back far enough; every key is loaded anew");
            let mut seen = HashSet::new();
            let last = self.store.each_key(|key| {
                seen.insert(key.record.id);
                closed += self.keys.apply(&key, now);
            })?;
            // What the store no longer has, or has in a form that cannot be read, opens nothing.
            closed += self.keys.retain(&seen);
            last
        } else {
            closed += changes.keys.iter().map(|key| self.keys.apply(key, now)).sum::<usize>();
            changes.last
        };
        closed += changes.removed.iter().map(|id| self.keys.remove(*id)).sum::<usize>();
        if last == self.applied {
            return Ok(());
        }
        let applied_at = self.clock.now();
        metrics::counter!("gateway_changes_applied_total")
            .increment(u64::try_from(last - self.applied).unwrap_or(1));
        for key in &changes.keys {
            info!(key_id = %key.record.id, "Applied a change of key {}", key.record.id);
        }
        self.store.write_receipt(&Receipt {
            node: self.node.id,
            change: last,
            applied_at,
            connections_closed: u32::try_from(closed).unwrap_or(u32::MAX),
        })?;
        // Last: where the receipt could not be written, all of this is done again, which changes nothing.
        self.applied = last;
        Ok(())
    }

    fn show_life(&mut self) -> Result<(), StoreError> {
        self.node.heartbeat = self.clock.now();
        if !self.store.heartbeat(self.node.id, self.node.heartbeat)? {
            // It was struck off, after a long sleep of the machine perhaps.
            self.store.announce_node(&self.node)?;
        }
        Ok(())
    }

    fn write_last_used(&mut self) -> Result<(), StoreError> {
        let now = self.clock.now();
        let used = self.keys.used_since(self.used_since);
        if !used.is_empty() {
            self.store.write_last_used(&used)?;
        }
        self.used_since = now;
        Ok(())
    }

    /// Says once that the store fails, and once that it is back.
    fn note(&self, outcome: Result<(), StoreError>) {
        match outcome {
            Ok(()) => {
                if self.readiness.store_failing.swap(false, Ordering::Relaxed) {
                    info!("The store can be used again");
                }
            }
            Err(error) => {
                metrics::counter!("gateway_store_errors_total").increment(1);
                if !self.readiness.store_failing.swap(true, Ordering::Relaxed) {
                    let error = &error as &dyn std::error::Error;
                    error!(error, "The store cannot be used; keys are served from memory and do not change");
                }
            }
        }
    }
}

/// Whether `interval` has passed; if so, it begins again.
fn due(since: &mut Instant, interval: Duration) -> bool {
    let passed = since.elapsed() >= interval;
    if passed {
        *since = Instant::now();
    }
    passed
}
