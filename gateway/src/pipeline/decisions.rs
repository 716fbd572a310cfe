//! Why calls were refused, for the owners of their credentials: the steps that a call passed, the one that refused it,
//! and how long each took.
//!
//! A refused call costs this record; a good one costs four readings of the clock. The newest refusals of each
//! organization are kept in memory, so that no caller pushes out another organization's, and a restart forgets all.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use lru::LruCache;
use permissions::{Environment, PartnerId};
use versions::management::Decision;
use versions::{Caller, Error, Instant};

use super::exchange::Exchange;
use super::trail::Owner;

/// How many refusals of one organization are kept.
const REFUSALS_MAX: usize = 256;
/// Of how many organizations, the ones that were refused most recently.
const ORGANIZATIONS_MAX: NonZeroUsize = NonZeroUsize::new(1_024).expect("it is not 0");

/// The refusals that are kept.
pub(super) struct Decisions(Mutex<LruCache<PartnerId, VecDeque<Decision>>>);

impl Decisions {
    pub(super) fn new() -> Self {
        Self(Mutex::new(LruCache::new(ORGANIZATIONS_MAX)))
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
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let refusals = kept.get_or_insert_mut(organization, VecDeque::new);
        if refusals.len() >= REFUSALS_MAX {
            refusals.pop_front();
        }
        refusals.push_back(decision);
    }

    /// Why this call was refused, if it was one of the caller's organization and environment.
    pub(super) fn find(&self, caller: &Caller, request_id: &str) -> Option<Decision> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let refusals = kept.get(&caller.organization)?;
        let is_seen = |decision: &&Decision| {
            decision.request_id == request_id
                && (caller.environment == Environment::Production
                    || decision.environment == Environment::Staging)
        };
        refusals.iter().rev().find(is_seen).cloned()
    }
}
