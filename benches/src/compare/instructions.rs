//! User instructions and allocations of one request, and which functions they are in.
//!
//! A server is run twice under callgrind, and answers five times as many requests the second time. What
//! is left between the two is the requests alone. Nothing but the batching of requests varies from run to
//! run, by about 1 %.

use super::Run;
use super::figure::{ALLOCATIONS, Detail, INSTRUCTIONS, Sample};
use crate::callgrind::{self, Cost, LONG_RUN, Part, Profile};
use crate::protocol::Protocol;

/// Requests of the short run; more would be counted for hours and come to the same.
const REQUESTS: u64 = 2_000;
const SMOKE_REQUESTS: u64 = 50;
/// A part that has less is not shown: not everyone has aws-lc in the program.
const INSTRUCTIONS_SHOWN_MIN: f64 = 0.5;
/// Functions that allocate less often are not shown.
const ALLOCATIONS_SHOWN_MIN: f64 = 0.005;

/// How it is measured.
pub(super) fn describe(run: &Run<'_>) -> String {
    let requests = requests(run);
    format!("callgrind, by runs of {requests} and {} requests", requests * LONG_RUN)
}

pub(super) async fn sample(run: &Run<'_>, place: usize, protocol: Protocol) -> anyhow::Result<Sample> {
    let contestant = &run.contestants[place];
    if let Some(why) = contestant.no_callgrind() {
        return Ok(Sample::missing(why));
    }
    let shape = protocol.usual_shape();
    let profile = callgrind::request(&run.stage, contestant, protocol, shape, requests(run)).await?;
    let parts = [("program", Part::Program), ("aws-lc", Part::Crypto), ("libraries", Part::Library)];
    let parts = parts.map(|(name, part)| (name, profile.instructions(part)));
    let in_all = parts.iter().map(|(_, instructions)| instructions).sum();
    let part = |(name, value): (&str, f64)| Detail {
        of: "instructions",
        name: name.to_owned(),
        value,
        inclusive: None,
    };
    let shown = parts.into_iter().filter(|(_, instructions)| instructions.abs() >= INSTRUCTIONS_SHOWN_MIN);
    let mut details: Vec<Detail> = shown.map(part).collect();
    details.extend(functions(&profile, run.options.functions));
    Ok(Sample { details, ..Sample::default() }
        .with(&INSTRUCTIONS, in_all)
        .with(&ALLOCATIONS, profile.allocations()))
}

/// Those that have most of the instructions, then those that allocate most.
fn functions(profile: &Profile, count: usize) -> impl Iterator<Item = Detail> {
    let own = |(_, name, cost): (Part, &str, Cost)| Detail {
        of: "functions",
        name: name.to_owned(),
        value: cost.own,
        inclusive: Some(cost.inclusive),
    };
    let allocating = |(_, name, cost): (Part, &str, Cost)| Detail {
        of: "allocations",
        name: name.to_owned(),
        value: cost.allocations,
        inclusive: None,
    };
    let most = profile.top(count, |cost| cost.own).into_iter().map(own);
    let allocators = profile.top(count, |cost| cost.allocations).into_iter();
    let shown = allocators.filter(|(.., cost)| cost.allocations >= ALLOCATIONS_SHOWN_MIN);
    most.chain(shown.map(allocating))
}

fn requests(run: &Run<'_>) -> u64 {
    run.options.common.requests(REQUESTS, SMOKE_REQUESTS).min(REQUESTS)
}
