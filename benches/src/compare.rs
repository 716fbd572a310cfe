//! Floor, gateway and peers as paired ratios.
//!
//! On a shared machine the same binary varies by a quarter from one minute to the next. So each round measures all
//! contestants, one right after the other on the same core and each time in another order, and what is reported are the
//! gateway's figures by those of the others within a round. Floor against floor shows the noise that is left.

mod figure;
mod measurements;
mod report;

use std::process::ExitCode;

use crate::contestant::{Contestant, Settings};
use crate::load::Load;
use crate::options::Common;
use crate::peers::{self, Peer};
use crate::protocol::Protocol;
use crate::runner::{block_on, need};
use figure::{Figure, Sample};
use measurements::Run;
use report::{Comparison, Report};

/// The command line of the comparison.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    common: Common,
    /// What to measure of each.
    #[arg(long, value_name = "FIGURE,…", value_delimiter = ',', default_value = "cpu")]
    figures: Vec<Figure>,
    /// The requests to send.
    #[arg(long, default_value = "varied")]
    load: Load,
    /// Servers to compare the gateway with, beside the floor; what is missing is installed below target. An nginx that
    /// was built with HTTP/3 is measured over it too.
    #[arg(long, value_name = "PEER,…", value_delimiter = ',')]
    peers: Vec<Peer>,
    /// Compare the floor with itself: ratios other than 1 are noise.
    #[arg(long, conflicts_with = "gateway")]
    floor_vs_floor: bool,
    /// Stream: the path of the gateway's streamed response; with `--gateway` for a program that has one.
    #[arg(long, value_name = "PATH")]
    stream_path: Option<String>,
    /// Instructions: functions to list for each contestant and protocol.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    functions: usize,
}

/// Compares, prints a report, and exits with 1 if anything failed.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let compared = if options.floor_vs_floor {
        Contestant::floor("again")?
    } else {
        let gateway = Contestant::gateway("gateway", &options.common.gateway, Settings::default())?;
        Contestant { stream_path: options.stream_path.clone(), ..gateway }
    };
    let mut contestants = vec![Contestant::floor("floor")?, compared];
    for &peer in &options.peers {
        contestants.push(peers::contestant(peer)?);
    }
    compare(options, &contestants)
}

/// Compares the CPU of two contestants.
pub(crate) fn cpu(common: &Common, load: Load, contestants: &[Contestant; 2]) -> anyhow::Result<ExitCode> {
    let options = Options {
        common: common.clone(),
        figures: vec![Figure::Cpu],
        load,
        peers: Vec::new(),
        floor_vs_floor: false,
        stream_path: None,
        functions: 0,
    };
    compare(&options, contestants)
}

fn compare(options: &Options, contestants: &[Contestant]) -> anyhow::Result<ExitCode> {
    // Now, and not after an hour.
    for (figure, tool) in [(Figure::Instructions, "valgrind"), (Figure::SystemCalls, "strace")] {
        if options.figures.contains(&figure) {
            need(tool)?;
        }
    }
    let report = block_on(async {
        let machine = report::machine()?;
        let run = Run::start(options, contestants).await?;
        let mut comparisons = Vec::new();
        for &figure in &options.figures {
            for &protocol in &options.common.protocols {
                comparisons.push(run.compare(figure, protocol).await?);
            }
        }
        Ok(Report::new(machine, comparisons, &run.subjects))
    })?;
    print!("{report}");
    Ok(if report.has_failures() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

impl Run<'_> {
    /// All rounds of a figure over a protocol.
    async fn compare(&self, figure: Figure, protocol: Protocol) -> anyhow::Result<Comparison> {
        let rounds = figure.rounds(&self.options.common);
        let title = self.title(figure);
        eprintln!("{title}, {protocol}: {rounds} rounds");
        let rate = if figure == Figure::Latency { self.rate(protocol).await } else { 0 };
        let count = self.subjects.len();
        let mut samples = Vec::new();
        let mut has_failed = vec![false; count];
        for round in 0..rounds as usize {
            let mut samples_of_round: Vec<Option<Sample>> = vec![None; count];
            for index in (0..count).map(|turn| (round + turn) % count) {
                // A number that is missing in one round is none, so the other rounds of a failure are not worth their time.
                if self.subjects[index].contestant.protocols.contains(&protocol) && !has_failed[index] {
                    // A failure loses no figure that was measured before.
                    let sample = self.measure(figure, protocol, &self.subjects[index], rate).await;
                    let sample = sample.unwrap_or_else(|error| Sample::failure(&error));
                    has_failed[index] = sample.failed;
                    samples_of_round[index] = Some(sample);
                }
            }
            samples.push(samples_of_round);
        }
        Ok(Comparison { figure, protocol, title, samples })
    }
}
