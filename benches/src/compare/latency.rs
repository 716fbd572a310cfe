//! Latency at a fixed rate of arrivals, the same for all contestants: half of what the slowest one can.
//!
//! A request counts from when it was due, so a slow server is not asked less often.

use super::Run;
use super::figure::{P50, P99, P999, RATE, Sample};
use crate::load::Outcome;
use crate::protocol::Protocol;
use crate::stage::LOAD;

const SMOKE_RATE: u64 = 1_000;

/// How it is measured.
pub(super) fn describe(run: &Run<'_>) -> String {
    format!("runs of {} s at the same fixed rate, in an open loop", seconds(run))
}

/// The rate over one protocol: the one asked for, or half of what the slowest one answers in a second.
pub(super) async fn rate(run: &Run<'_>, protocol: Protocol) -> anyhow::Result<u64> {
    if run.options.common.place.smoke {
        return Ok(SMOKE_RATE);
    }
    if let Some(rate) = run.options.rate {
        return Ok(rate);
    }
    let mut least = f64::INFINITY;
    for (contestant, subject) in run.contestants.iter().zip(&run.subjects) {
        if contestant.speaks(protocol) {
            let most = run.stage.load(subject, protocol, &[("seconds", "1".to_owned())]).await?;
            least = least.min(most.rps);
        }
    }
    Ok(half(least))
}

pub(super) async fn sample(
    run: &Run<'_>,
    place: usize,
    protocol: Protocol,
    rate: u64,
) -> anyhow::Result<Sample> {
    let open = [("seconds", seconds(run).to_string()), ("rate", rate.to_string())];
    let outcome: Outcome = run.stage.drive(LOAD, &run.subjects[place], protocol, &open).await?;
    Ok(Sample { errors: outcome.errors, first_error: outcome.first_error, ..Sample::default() }
        .with(&P50, outcome.p50_us)
        .with(&P99, outcome.p99_us)
        .with(&P999, outcome.p999_us)
        .with(&RATE, outcome.rps))
}

fn seconds(run: &Run<'_>) -> u64 {
    if run.options.common.place.smoke { 1 } else { run.options.seconds }
}

/// Half of a rate, and at least 1.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate is small and positive")]
fn half(rate: f64) -> u64 {
    ((rate / 2.0) as u64).max(1)
}
