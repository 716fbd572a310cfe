//! The steps that a request has passed, when, and whose request it is: what a decision is made from.

use std::time::Duration;

use permissions::{Credential, Environment, PartnerId};
use versions::Instant;
use versions::management::{DecisionStep, StepResult};

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
    pub(super) fn steps(&self, began: Instant, ended: Instant) -> Vec<DecisionStep> {
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
