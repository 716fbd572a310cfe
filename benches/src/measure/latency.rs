//! Latency at a constant rate of arrivals: half of what each server just answered at most.

use super::paired::{Report, Rounds, rounds};
use super::stage::{Common, Running, Stage, Subject};
use crate::load::Outcome;

const SMOKE_RATE: u64 = 1_000;

/// The command line.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub running: Running,
    #[command(flatten)]
    pub rounds: Rounds,
    /// Seconds of each run at the rate.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub seconds: u64,
    /// Requests per second for both, instead of half of what each one can.
    #[arg(long)]
    pub rate: Option<u64>,
}

pub(super) async fn measure(options: &Options) -> anyhow::Result<Report> {
    let stage = Stage::set(&options.common)?;
    let (seconds, rate) =
        if options.common.smoke { (1, Some(SMOKE_RATE)) } else { (options.seconds, options.rate) };
    let number = options.rounds.number(7, options.common.smoke);
    let [floor, subject] = stage.both(&options.running).await?;
    let mut report = Report::new(
        format!("latency in an open loop, runs of {seconds} s, {number} rounds"),
        [floor.name, subject.name],
    );
    for &protocol in &options.common.protocols {
        eprintln!("{}: {number} rounds", protocol.name());
        let pairs = rounds(number, [&floor, &subject], async |subject: &Subject| {
            let rate = match rate {
                Some(rate) => rate,
                None => {
                    let closed = [("seconds", "1".to_owned())];
                    let most: Outcome = stage.drive("load", subject, protocol, &closed).await?;
                    half(most.rps)
                }
            };
            let open = [("seconds", seconds.to_string()), ("rate", rate.to_string())];
            stage.drive::<Outcome>("load", subject, protocol, &open).await
        })
        .await?;
        let name = |figure: &str| format!("{} {figure}", protocol.name());
        report.row(name("rate"), "per s", &pairs, |outcome| outcome.rps);
        report.row(name("p50"), "µs", &pairs, |outcome| outcome.p50_us);
        report.row(name("p99"), "µs", &pairs, |outcome| outcome.p99_us);
        report.row(name("p99.9"), "µs", &pairs, |outcome| outcome.p999_us);
    }
    Ok(report)
}

/// Half of a rate, and at least 1.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate is small and positive")]
fn half(rate: f64) -> u64 {
    ((rate / 2.0) as u64).max(1)
}
