//! Why calls were refused, for the owners of their credentials: the steps that a call passed, the one that refused it,
//! and how long each took.
//!
//! A refused call costs this record; a good one costs four readings of the clock. Each worker keeps the newest refusals of
//! each organization in memory, so that no caller pushes out another organization's, and a restart forgets all.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use permissions::{Environment, PartnerId};
use versions::management::Decision;
use versions::{Caller, Error, Instant};

use super::exchange::Exchange;
use super::trail::Owner;
use crate::http::worker;

/// How many refusals of one organization a worker keeps.
const REFUSALS_MAX: usize = 64;
/// Of how many organizations, the ones that it refused most recently.
const ORGANIZATIONS_MAX: NonZeroUsize = NonZeroUsize::new(1_024).expect("it is not 0");

/// The refusals that a worker keeps. Only those who ask for one lock it beside the worker.
type Refusals = Mutex<LruCache<PartnerId, VecDeque<Decision>>>;

/// The refusals that all workers keep.
pub(super) struct Decisions(Box<[Refusals]>);

impl Decisions {
    pub(super) fn new(workers: usize) -> Self {
        // Grows with the organizations: `LruCache::new` would allocate for all of them at once.
        let refusals = || {
            let mut kept = LruCache::unbounded();
            kept.resize(ORGANIZATIONS_MAX);
            Mutex::new(kept)
        };
        Self(std::iter::repeat_with(refusals).take(workers.max(1)).collect())
    }

    /// Keeps why a call was refused, if its owner is known.
    pub(super) fn record(&self, exchange: &Exchange<'_>, error: &Error, ended: Instant) {
        let Some(Owner { credential, organization, environment }) = exchange.owner else { return };
        let record = &exchange.record;
        let decision = Decision {
            request_id: record.id().to_owned(),
            at: record.time,
            credential,
            environment,
            method: exchange.head.method.to_string(),
            endpoint: exchange.entry.map(|entry| entry.template.clone()),
            status: error.code.status().as_u16(),
            error: error.code.name(),
            reason: record.auth_failure,
            detail: error.detail.to_string(),
            steps: exchange.trail.steps(record.received, ended),
        };
        let mut kept = lock(&self.0[worker() % self.0.len()]);
        let refusals = kept.get_or_insert_mut(organization, VecDeque::new);
        if refusals.len() >= REFUSALS_MAX {
            refusals.pop_front();
        }
        refusals.push_back(decision);
    }

    /// Why this call was refused, if it was one of the caller's organization and environment.
    pub(super) fn find(&self, caller: &Caller, request_id: &str) -> Option<Decision> {
        let is_seen = |decision: &&Decision| {
            decision.request_id == request_id
                && (caller.environment == Environment::Production
                    || decision.environment == Environment::Staging)
        };
        self.0
            .iter()
            .find_map(|kept| lock(kept).peek(&caller.organization)?.iter().rev().find(is_seen).cloned())
    }
}

/// A poisoned lock is used all the same: each refusal is whole or absent.
fn lock(kept: &Refusals) -> MutexGuard<'_, LruCache<PartnerId, VecDeque<Decision>>> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}
