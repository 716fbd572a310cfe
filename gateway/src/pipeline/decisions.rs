//! Why calls were refused, for the owners of their credentials: the steps that a call passed, the one that refused it,
//! and how long each took.
//!
//! A refused call costs this record; a good one costs four readings of the clock. The newest refusals of each
//! organization are kept in memory, so that no caller pushes out another organization's, and a restart forgets all.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lru::LruCache;
use permissions::{Credential, Environment, PartnerId};
use versions::management::{Decision, DecisionStep, StepResult};
use versions::{Caller, Error, Instant};

use super::exchange::Exchange;

/// How many refusals of one organization are kept.
const REFUSALS_MAX: usize = 256;
/// Of how many organizations, the ones that were refused most recently.
const ORGANIZATIONS_MAX: NonZeroUsize = NonZeroUsize::new(1_024).expect("it is not 0");

/// The steps of a request's path, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// There is a free place, and the head is valid.
    Admit,
    /// Who is calling.
    Authenticate,
    /// Which date, resource and endpoint.
    Dispatch,
    /// May they, and not too often.
    Authorize,
    /// The endpoint's own answer.
    Handle,
}

impl Step {
    const ALL: [Self; 5] = [Self::Admit, Self::Authenticate, Self::Dispatch, Self::Authorize, Self::Handle];

    const fn name(self) -> &'static str {
        match self {
            Self::Admit => "admit",
            Self::Authenticate => "authenticate",
            Self::Dispatch => "dispatch",
            Self::Authorize => "authorize",
            Self::Handle => "handle",
        }
    }
}

/// When the steps so far were passed.
#[derive(Clone, Copy, Default)]
pub(super) struct Trail([Option<Instant>; 4]);

impl Trail {
    /// The step was passed at this moment.
    pub(super) const fn passed(&mut self, step: Step, now: Instant) {
        let place = step as usize;
        if place < self.0.len() {
            self.0[place] = Some(now);
        }
    }

    /// What became of each step of a call that began and ended at these moments, the last one refused.
    fn steps(&self, began: Instant, ended: Instant) -> Vec<DecisionStep> {
        let (mut since, mut refused) = (began, false);
        let steps = Step::ALL.into_iter().enumerate().map(|(place, step)| {
            let passed = self.0.get(place).copied().flatten().filter(|_| !refused);
            let (result, until) = match passed {
                Some(at) => (StepResult::Passed, at),
                None if refused => (StepResult::NotReached, since),
                None => (StepResult::Refused, ended),
            };
            refused |= result == StepResult::Refused;
            let took: Duration = until.saturating_duration_since(since);
            since = until;
            let microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            DecisionStep { step: step.name(), result, microseconds }
        });
        steps.collect()
    }
}

/// Whose call it is, once that is known.
#[derive(Clone, Copy)]
pub(super) struct Owner {
    pub(super) credential: Credential,
    pub(super) organization: PartnerId,
    pub(super) environment: Environment,
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_step_that_refused_is_the_first_that_was_not_passed() {
        let began = Instant::now();
        let after = |microseconds| began + Duration::from_micros(microseconds);
        let mut trail = Trail::default();
        trail.passed(Step::Admit, after(2));
        trail.passed(Step::Authenticate, after(5));
        let steps = trail.steps(began, after(9));
        let shown: Vec<_> = steps.iter().map(|step| (step.step, step.result, step.microseconds)).collect();
        assert_eq!(
            shown,
            [
                ("admit", StepResult::Passed, 2),
                ("authenticate", StepResult::Passed, 3),
                ("dispatch", StepResult::Refused, 4),
                ("authorize", StepResult::NotReached, 0),
                ("handle", StepResult::NotReached, 0),
            ]
        );
    }
}
