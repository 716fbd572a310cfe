//! CPU time and requests per second, as fast as they are answered.

use super::Run;
use super::figure::{BUSY, CPU, REQUESTS_PER_SECOND, Sample};
use crate::load::Outcome;
use crate::protocol::Protocol;
use crate::stage::LOAD;

const REQUESTS: u64 = 8_000;
const SMOKE_REQUESTS: u64 = 200;
/// One part in so many is sent as a warm-up before each run.
const WARM_UP_SHARE: u64 = 10;

/// How it is measured.
pub(super) fn describe(run: &Run<'_>) -> String {
    format!("{} requests each in a round, as fast as they are answered", requests(run))
}

pub(super) async fn sample(run: &Run<'_>, place: usize, protocol: Protocol) -> anyhow::Result<Sample> {
    let requests = requests(run);
    let load = [("requests", requests.to_string()), ("warm-up", (requests / WARM_UP_SHARE).to_string())];
    let outcome: Outcome = run.stage.drive(LOAD, &run.subjects[place], protocol, &load).await?;
    Ok(Sample { errors: outcome.errors, first_error: outcome.first_error, ..Sample::default() }
        .with(&CPU, outcome.server_cpu_us)
        .with(&REQUESTS_PER_SECOND, outcome.rps)
        .with(&BUSY, outcome.server_busy * 100.0))
}

fn requests(run: &Run<'_>) -> u64 {
    run.options.common.requests(REQUESTS, SMOKE_REQUESTS)
}
