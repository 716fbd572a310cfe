//! This process as a node: it registers with the store, follows the change feed, runs the jobs that endpoints
//! queue for the store, and confirms each change once it applies to requests.
//!
//! Everything that waits for the disk happens on this module's thread, and what takes long on another. A store
//! that cannot be reached stops changes, not traffic: keys are served from memory.

mod last_used;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use permissions::{Credential, MembershipId, PartnerId, RoleId};
use tracing::{error, info, warn};
use uuid::Builder;

use last_used::LastUsed;

use crate::callers::index::KeyIndex;
use crate::clock::Clock;
use crate::config;
use crate::readiness::Readiness;
use crate::store::people::MemberFilter;
use crate::store::{Changes, Job, Jobs, Node, Receipt, Store, StoreError, StoreHandle, job_queue};

/// How often opening a replaced or missing store is retried.
const REOPEN_INTERVAL: Duration = Duration::from_secs(1);

/// Follows the store while the process serves.
pub struct Follower {
    store: Store,
    jobs: Jobs,
    keys: &'static KeyIndex,
    clock: Arc<dyn Clock>,
    settings: config::Store,
    readiness: Arc<Readiness>,
    node: Node,
    /// The last change that applies to requests.
    applied: i64,
    /// Whether there are changes to apply. Stays set until all are applied, because the store reports each
    /// once.
    behind: bool,
    /// Whether every key must be loaded again.
    reload: bool,
    reopen_tried: Option<Instant>,
    last_used: LastUsed,
}

impl Follower {
    /// Registers the process, then loads every key: in this order, a command that finds no node can be sure
    /// that a process that starts later loads what the command wrote.
    ///
    /// `listeners` is what the process listens on, in the form of the ready file.
    ///
    /// # Errors
    /// Errors of the store; without keys there is nothing to serve.
    pub fn start(
        mut store: Store,
        keys: &'static KeyIndex,
        clock: Arc<dyn Clock>,
        settings: config::Store,
        readiness: Arc<Readiness>,
        listeners: serde_json::Value,
    ) -> Result<(Self, StoreHandle), StoreError> {
        let now = clock.now();
        let id = Builder::from_random_bytes(rand::random()).into_uuid();
        let node = Node { id, pid: std::process::id(), started: now, heartbeat: now, listeners };
        store.announce_node(&node)?;
        store.changed()?;
        keys.reserve(store.key_count()?);
        let applied = load(&mut store, keys, now, &mut Seen::default())?;
        // A command may have found this node and be waiting: its change is loaded.
        store.write_receipt(&Receipt {
            node: id,
            change: applied,
            applied_at: clock.now(),
            connections_closed: 0,
        })?;
        info!(keys = keys.count(), node = %id, "Loaded {} keys", keys.count());
        readiness.store_was_followed();
        let (handle, jobs) = job_queue();
        let follower = Self {
            store,
            jobs,
            keys,
            clock,
            settings,
            readiness,
            node,
            applied,
            behind: false,
            reload: false,
            reopen_tried: None,
            last_used: LastUsed::new(keys, now),
        };
        Ok((follower, handle))
    }

    /// Follows until [`StoreHandle::stop`]. Blocks its thread.
    pub fn run(mut self) {
        let mut heartbeat = Instant::now();
        let mut last_used = Instant::now();
        while !self.jobs.is_stopping() {
            if let Some(job) = self.jobs.next(self.settings.change_interval) {
                self.run_job(job);
            }
            let followed = self.follow();
            let mut written = Ok(());
            if due(&mut heartbeat, self.settings.heartbeat_interval) {
                written = self.send_heartbeat();
            }
            written = written.and(self.last_used.take_outcome());
            if followed.is_ok() && due(&mut last_used, self.settings.last_used_interval) {
                written = written.and(self.last_used.begin(&self.store, self.clock.now()));
            }
            let outcome = followed.and(written);
            self.report(&outcome);
        }
        let outcome = self.leave();
        self.report(&outcome);
    }

    /// Runs a job; its caller gets the result once this process has applied what the job wrote.
    fn run_job(&mut self, job: Job) {
        // A write to a file that was replaced would be lost.
        let reply = match self.stay_current() {
            Ok(()) => job(Ok(&mut self.store)),
            Err(error) => job(Err(error)),
        };
        reply(self.follow());
    }

    fn follow(&mut self) -> Result<(), StoreError> {
        let current = self.stay_current();
        // A file that was moved is still followed until another file takes its place.
        let followed = self.follow_feed();
        current.and(followed)?;
        self.readiness.store_was_followed();
        Ok(())
    }

    fn follow_feed(&mut self) -> Result<(), StoreError> {
        self.behind |= self.store.changed()?;
        if self.reload {
            self.apply(&Changes { gap: true, ..Changes::default() })?;
        } else if self.behind {
            let changes = self.store.changes_since(self.applied)?;
            self.apply(&changes)?;
        }
        self.behind = false;
        Ok(())
    }

    /// Reopens the store if its file was replaced.
    fn stay_current(&mut self) -> Result<(), StoreError> {
        let current = self.store.check_current().or_else(|error| self.reopen(error));
        self.readiness.store_detached.store(current.is_err(), Ordering::Relaxed);
        current
    }

    fn reopen(&mut self, error: StoreError) -> Result<(), StoreError> {
        if self.reopen_tried.is_some_and(|tried| tried.elapsed() < REOPEN_INTERVAL) {
            return Err(error);
        }
        self.reopen_tried = Some(Instant::now());
        self.store.reopen()?;
        self.reopen_tried = None;
        self.reload = true;
        self.node.heartbeat = self.clock.now();
        self.store.announce_node(&self.node)?;
        warn!("The store was replaced; every key is loaded again");
        Ok(())
    }

    fn apply(&mut self, changes: &Changes) -> Result<(), StoreError> {
        let now = self.clock.now();
        let mut closed = 0;
        let last = if changes.gap {
            warn!("The change feed does not reach back far enough; every key is loaded again");
            let mut seen = Seen::default();
            let last = load(&mut self.store, self.keys, now, &mut seen)?;
            // What was removed or cannot be read is refused.
            closed += seen.closed;
            let Seen { credentials, members, roles, organizations, .. } = &seen;
            let people = self.keys.people();
            people.retain(
                |id| members.contains(&id),
                |id| roles.contains(&id),
                |id| organizations.contains(&id),
            );
            closed += self.keys.retain(credentials);
            closed += self.keys.people_changed();
            last
        } else {
            closed += self.apply_people(changes);
            closed += changes.keys.written.iter().map(|key| self.keys.apply(key, now)).sum::<usize>();
            closed +=
                changes.tokens.written.iter().map(|token| self.keys.apply_token(token, now)).sum::<usize>();
            changes.last
        };
        let keys = changes.keys.removed.iter().copied().map(Credential::Key);
        let tokens = changes.tokens.removed.iter().copied().map(Credential::Token);
        closed += self.keys.remove(&keys.chain(tokens).collect());
        if last == self.applied && !self.reload {
            return Ok(());
        }
        let applied_at = self.clock.now();
        metrics::counter!("gateway_changes_applied_total")
            .increment(u64::try_from(last.saturating_sub(self.applied)).unwrap_or(1));
        for partner in &changes.partners.written {
            info!(partner.id = %partner.id, "Applied a change of partner {}", partner.id);
        }
        for key in &changes.keys.written {
            info!(key_id = %key.record.id, "Applied a change of key {}", key.record.id);
        }
        self.store.write_receipt(&Receipt {
            node: self.node.id,
            change: last,
            applied_at,
            connections_closed: u32::try_from(closed).unwrap_or(u32::MAX),
        })?;
        // Last: if the receipt cannot be written, all of this is repeated, which is harmless.
        self.applied = last;
        self.reload = false;
        Ok(())
    }

    /// Applies changes of organizations, roles and memberships, whose credentials follow.
    fn apply_people(&self, changes: &Changes) -> usize {
        let Changes { partners, members, roles, .. } = changes;
        let people = self.keys.people();
        partners.written.iter().for_each(|partner| people.apply_organization(partner));
        people.remove_organizations(&partners.removed);
        roles.written.iter().for_each(|role| people.apply_role(role));
        people.remove_roles(&roles.removed);
        for (user, identities) in &changes.users.written {
            people.apply_identities(*user, identities.iter().cloned());
        }
        changes.users.removed.iter().for_each(|user| people.apply_identities(*user, None));
        members.written.iter().for_each(|member| people.apply_member(member));
        people.remove_members(&members.removed);
        let is_changed =
            !(changes.users.is_empty() && partners.is_empty() && members.is_empty() && roles.is_empty());
        if is_changed { self.keys.people_changed() } else { 0 }
    }

    fn send_heartbeat(&mut self) -> Result<(), StoreError> {
        self.node.heartbeat = self.clock.now();
        if !self.store.heartbeat(self.node.id, self.node.heartbeat)? {
            // The node was removed, for example after the machine slept for long.
            self.store.announce_node(&self.node)?;
        }
        Ok(())
    }

    fn leave(&mut self) -> Result<(), StoreError> {
        self.last_used.finish(&mut self.store)?;
        self.store.leave(self.node.id)
    }

    /// Logs once when the store fails, and once when it works again.
    fn report(&self, outcome: &Result<(), StoreError>) {
        match outcome {
            Ok(()) => {
                if self.readiness.store_failing.swap(false, Ordering::Relaxed) {
                    info!("The store can be used again");
                }
            }
            Err(error) => {
                metrics::counter!("gateway_store_errors_total").increment(1);
                if !self.readiness.store_failing.swap(true, Ordering::Relaxed) {
                    let error = error as &dyn std::error::Error;
                    error!(error, "The store cannot be used; keys are served from memory and do not change");
                }
            }
        }
    }
}

/// What a load has found.
#[derive(Default)]
struct Seen {
    credentials: HashSet<Credential>,
    members: HashSet<MembershipId>,
    roles: HashSet<RoleId>,
    organizations: HashSet<PartnerId>,
    /// How many connections it closed.
    closed: usize,
}

/// Loads everything that requests are checked against; returns the number of the last change before it.
///
/// What changes meanwhile is loaded in its newer state, or again with the change.
fn load(
    store: &mut Store,
    keys: &KeyIndex,
    now: jiff::Timestamp,
    seen: &mut Seen,
) -> Result<i64, StoreError> {
    let last = store.each_key(&mut |key| {
        seen.credentials.insert(Credential::Key(key.record.id));
        seen.closed += keys.apply(&key, now);
    })?;
    for partner in store.list_partners()? {
        seen.organizations.insert(partner.id);
        keys.people().apply_organization(&partner);
    }
    for role in store.list_roles(None)? {
        seen.roles.insert(role.id);
        keys.people().apply_role(&role);
    }
    for member in store.list_members(MemberFilter::default())? {
        seen.members.insert(member.membership.id);
        keys.people().apply_member(&member);
    }
    keys.people().set_identities(store.list_identities()?);
    store.each_token(&mut |token| {
        seen.credentials.insert(Credential::Token(token.record.id));
        seen.closed += keys.apply_token(&token, now);
    })?;
    Ok(last)
}

/// Whether `interval` has passed; if so, restarts it.
fn due(since: &mut Instant, interval: Duration) -> bool {
    let passed = since.elapsed() >= interval;
    if passed {
        *since = Instant::now();
    }
    passed
}

#[cfg(test)]
mod tests;
