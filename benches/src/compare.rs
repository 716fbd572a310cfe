//! Floor, gateway and peers as paired ratios.
//!
//! On a shared machine the same binary varies by a quarter from one minute to the next. So each round measures all
//! contestants, one right after the other on the same core and each time in another order, and what is reported are the
//! gateway's figures by those of the others within a round. Floor against floor shows the noise that is left.

mod figure;
mod measurements;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::ensure;

use crate::contestant::{Contestant, Settings};
use crate::launch::need;
use crate::load::Load;
use crate::peers::Peer;
use crate::runner::block_on;
pub use figure::Figure;
use figure::{Case, Sample};
pub(crate) use measurements::MeasurementOptions;
use measurements::Run;
use report::{Comparison, Report};

/// The command line of the comparison.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    measure: MeasurementOptions,
    /// What to measure of each.
    #[arg(long, value_name = "FIGURE,…", value_delimiter = ',', default_value = "cpu")]
    figures: Vec<Figure>,
    /// The requests to send [default: what the figure needs; for CPU varied, then repeated].
    #[arg(long, value_name = "LOAD,…", value_delimiter = ',')]
    load: Vec<Load>,
    /// Servers to compare the gateway with, beside the floor; what is missing is installed below target.
    #[arg(long, value_name = "PEER,…", value_delimiter = ',')]
    peers: Vec<Peer>,
    /// One more nginx by its binary; over HTTP/3 too if it was built with it.
    #[arg(long, value_name = "FILE")]
    nginx: Option<PathBuf>,
    /// Compare the floor with itself: ratios other than 1 are noise.
    #[arg(long, conflicts_with = "gateway")]
    floor_vs_floor: bool,
}

/// Compares, prints a report, and exits with 1 if anything failed.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    for (index, peer) in options.peers.iter().enumerate() {
        ensure!(!options.peers[..index].contains(peer), "--peers names {} twice", peer.name());
    }
    let report = block_on(async {
        let mut contestants = vec![Contestant::floor("floor")];
        contestants.push(if options.floor_vs_floor {
            Contestant::floor("again")
        } else {
            Contestant::gateway("gateway", &options.measure.common.gateway, Settings::default())
        });
        for &peer in &options.peers {
            contestants.push(Contestant::peer(peer)?);
        }
        contestants.extend(options.nginx.as_deref().map(Contestant::nginx).transpose()?);
        compare(&options.measure, &options.figures, &options.load, contestants).await
    })?;
    print!("{report}");
    Ok(if report.has_failures() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Starts the contestants and measures the figures of the options.
pub(crate) async fn compare(
    options: &MeasurementOptions,
    figures: &[Figure],
    loads: &[Load],
    contestants: Vec<Contestant>,
) -> anyhow::Result<Report> {
    let (machine, figures) = (report::machine()?, Figure::expand(figures));
    // Now, and not after an hour.
    for figure in &figures {
        match figure {
            Figure::Instructions => need("valgrind")?,
            Figure::SystemCalls => need("strace")?,
            _ => {}
        }
    }
    let run = Run::start(options, contestants).await?;
    let mut comparisons = Vec::new();
    for &figure in &figures {
        for &load in figure.loads(loads) {
            for &protocol in &options.common.protocols {
                comparisons.push(run.compare(Case { figure, load, protocol }).await?);
            }
        }
    }
    Ok(Report::new(machine, comparisons, &run.subjects))
}

impl Run<'_> {
    /// All rounds of one case.
    async fn compare(&self, case: Case) -> anyhow::Result<Comparison> {
        let Case { figure, protocol, .. } = case;
        let rounds = figure.rounds(&self.options.common);
        eprintln!("{}, {protocol}: {rounds} rounds", case.title());
        let rate = if figure == Figure::Latency { self.rate(case).await } else { 0 };
        let count = self.contestants.len();
        let mut samples: Vec<Vec<Option<Sample>>> = Vec::new();
        let mut has_failed = vec![false; count];
        for round in 0..rounds as usize {
            let mut samples_of_round = vec![None; count];
            for index in (0..count).map(|turn| (round + turn) % count) {
                // A number that is missing in one round is none, so the other rounds of a failure are not worth their time.
                if self.contestants[index].supports(protocol) && !has_failed[index] {
                    // A failure loses no figure that was measured before.
                    let sample =
                        self.measure(case, index, rate).await.unwrap_or_else(|error| Sample::failure(&error));
                    has_failed[index] = sample.failed;
                    samples_of_round[index] = Some(sample);
                }
            }
            samples.push(samples_of_round);
        }
        let names: Vec<&str> = self.contestants.iter().map(|contestant| contestant.name.as_str()).collect();
        Ok(Comparison::new(case, self.method(figure), &names, &samples))
    }
}
