//! Floor, gateway and peers in turn, as paired ratios.
//!
//! The same binary varies by a quarter from one minute to the next on a shared machine, so a figure
//! of its own says little. In each round all contestants are given the same, one right after the other on
//! the same core, the order changing from round to round, and what is reported is the gateway's figure by
//! each other's, round by round. Floor against floor shows what is left of the noise.

mod closed_loop;
mod figure;
mod handshakes;
mod instructions;
mod latency;
mod machine;
mod memory;
mod plot;
mod report;
mod system_calls;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};

use crate::callgrind;
use crate::options::Common;
use crate::peers::Peer;
use crate::protocol::Protocol;
use crate::stage::{Contestant, Stage, Subject, turns, until_ended};
use figure::Sample;
pub use figure::{Choice, Figure};
use machine::Machine;
use report::{About, Comparison, Report};

/// The command line of the comparison.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    pub common: Common,
    /// What to measure of each.
    #[arg(long, value_name = "FIGURE,…", value_delimiter = ',', default_value = "cpu")]
    pub figures: Vec<Choice>,
    /// Servers to compare the gateway with, beside the floor; what is missing is installed below target.
    #[arg(long, value_name = "PEER,…", value_delimiter = ',')]
    pub peers: Vec<Peer>,
    /// An nginx from elsewhere, as one more peer; if it was built with HTTP/3, it is compared over that too.
    #[arg(long, value_name = "FILE")]
    pub nginx: Option<PathBuf>,
    /// Compare the floor with itself: every ratio should be 1, what differs is noise.
    #[arg(long, conflicts_with = "gateway")]
    pub floor_vs_floor: bool,
    /// Latency: requests per second [default: half of what the slowest one can].
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub rate: Option<u64>,
    /// Latency: seconds of each run.
    #[arg(long, value_name = "NUMBER", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub seconds: u64,
    /// Handshakes and memory: connections of each run [default: 400 and 2000].
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=4_000))]
    pub connections: Option<u32>,
    /// Instructions: functions to name for each contestant and protocol.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub functions: usize,
    /// Write a plot of every figure that was measured, as SVG.
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
}

/// Everything that is there while rounds are made. Fields are dropped in this order: the servers end
/// before their folder goes.
struct Run<'a> {
    /// The contestants, running.
    subjects: Vec<Subject>,
    /// The floor; then the gateway, or the floor again, whose figures are divided by those of each other;
    /// then the peers.
    contestants: Vec<Contestant>,
    stage: Stage,
    options: &'a Options,
}

/// The place of the one who shows the noise, and of the one who is compared with each other.
const FLOOR: usize = 0;
const SUBJECT: usize = 1;

/// Compares, prints, and says by the exit code whether every request was answered as it should be.
///
/// # Errors
/// If a server cannot be started, does not do its job, or a load ends without figures.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let report = until_ended(compare(options))?;
    if let Some(file) = &options.plot {
        std::fs::write(file, plot::svg(&report)?)
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    if options.common.place.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{report}");
    }
    Ok(if report.errors() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn compare(options: &Options) -> anyhow::Result<Report> {
    let machine = Machine::describe();
    let figures = Figure::chosen(&options.figures);
    check_tools(&figures)?;
    let run = Run::begin(options).await?;
    let mut comparisons = Vec::new();
    for &figure in &figures {
        for &protocol in &options.common.protocols {
            comparisons.push(run.compare(figure, protocol).await?);
        }
    }
    let [floor, subject] = [FLOOR, SUBJECT].map(|place| run.contestants[place].name.clone());
    let contestants = run.subjects.iter().map(About::new).collect::<anyhow::Result<_>>()?;
    Ok(Report { machine, floor, subject, contestants, comparisons })
}

/// Before anything is measured: it would be a pity an hour later.
fn check_tools(figures: &[Figure]) -> anyhow::Result<()> {
    for figure in figures {
        match figure {
            Figure::Instructions => callgrind::check_tool()?,
            Figure::SystemCalls => system_calls::check_tool()?,
            Figure::Cpu | Figure::Latency | Figure::Handshakes | Figure::Memory => {}
        }
    }
    Ok(())
}

impl<'a> Run<'a> {
    /// Finds and starts all contestants on the same core, and sees each do its job.
    async fn begin(options: &'a Options) -> anyhow::Result<Self> {
        let Common { place, protocols, .. } = &options.common;
        let subject = if options.floor_vs_floor {
            Contestant::floor("again")
        } else {
            Contestant::gateway("gateway", &place.gateway)
        };
        let mut contestants = vec![Contestant::floor("floor"), subject];
        for &peer in &options.peers {
            contestants.push(Contestant::peer(peer)?);
        }
        if let Some(binary) = &options.nginx {
            contestants.push(Contestant::nginx(binary)?);
        }
        let stage = Stage::set(place)?;
        let mut subjects = Vec::new();
        for contestant in &contestants {
            let subject = stage.start(contestant, "compare", &stage.setup()).await?;
            for &protocol in protocols.iter().filter(|&&protocol| contestant.speaks(protocol)) {
                stage.prove(&subject, protocol).await?;
            }
            subjects.push(subject);
        }
        for &protocol in protocols {
            let Contestant { name, .. } = &contestants[SUBJECT];
            ensure!(contestants[SUBJECT].speaks(protocol), "{name} does not speak {}", protocol.name());
        }
        Ok(Self { subjects, contestants, stage, options })
    }

    /// All rounds of one figure over one protocol.
    async fn compare(&self, figure: Figure, protocol: Protocol) -> anyhow::Result<Comparison> {
        let rounds = figure.rounds(&self.options.common);
        eprintln!("{}, {}: {rounds} rounds", figure.name(), protocol.name());
        let rate = match figure {
            Figure::Latency => latency::rate(self, protocol).await?,
            _ => 0,
        };
        let count = self.contestants.len();
        let mut samples: Vec<Vec<Option<Sample>>> = Vec::new();
        for round in 0..rounds {
            let mut of_round = vec![None; count];
            for place in turns(round, count) {
                let contestant = &self.contestants[place];
                if contestant.speaks(protocol) {
                    let sample = match figure {
                        Figure::Cpu => closed_loop::sample(self, place, protocol).await,
                        Figure::Instructions => instructions::sample(self, place, protocol).await,
                        Figure::SystemCalls => system_calls::sample(self, place, protocol).await,
                        Figure::Latency => latency::sample(self, place, protocol, rate).await,
                        Figure::Handshakes => handshakes::sample(self, place, protocol).await,
                        Figure::Memory => memory::sample(self, place, protocol).await,
                    };
                    let what =
                        || format!("{} of {} over {}", figure.name(), contestant.name, protocol.name());
                    of_round[place] = Some(sample.with_context(what)?);
                }
            }
            samples.push(of_round);
        }
        let names: Vec<&str> = self.contestants.iter().map(|contestant| contestant.name.as_str()).collect();
        Ok(Comparison::new(figure, protocol, self.describe(figure), &names, &samples))
    }

    /// How a figure is measured.
    fn describe(&self, figure: Figure) -> String {
        match figure {
            Figure::Cpu => closed_loop::describe(self),
            Figure::Instructions => instructions::describe(self),
            Figure::SystemCalls => system_calls::describe(self),
            Figure::Latency => latency::describe(self),
            Figure::Handshakes => handshakes::describe(self),
            Figure::Memory => memory::describe(self),
        }
    }
}
