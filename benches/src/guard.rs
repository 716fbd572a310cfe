//! Instructions and allocations of a request beside the committed ones: neither may change unnoticed.
//!
//! Only functions of the program count: aws-lc and libc choose theirs by the CPU. Over HTTP one stream on one connection
//! is used: how many requests a server finds at once is chance, and a single one is always found alone.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};

use crate::callgrind::{self, LONG_RUN, Profile, REQUESTS, WARM_UP};
use crate::contestant::{Contestant, Settings, this_program};
use crate::load::{self, Load};
use crate::options::GATEWAY;
use crate::protocol::{Protocol, name};
use crate::runner::{Runner, block_on, need};

/// How far a figure may move, as a part of the committed one.
const TOLERANCE: f64 = 0.03;
/// How far allocations may always move: some requests make one more than others.
const ALLOCATIONS_TOLERANCE_MIN: f64 = 0.05;
/// The pipeline alone, beside the protocols.
const PIPELINE: &str = "pipeline";
const PROTOCOLS: [Protocol; 3] = [Protocol::H1, Protocol::H2Tls, Protocol::H3];
/// The committed figures.
const FILE: &str = "benches/guard.json";

/// The command line.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Write the figures of this build instead of comparing with them.
    #[arg(long)]
    write: bool,
}

/// The committed figures: of the pipeline and of each protocol, by name.
type Figures = BTreeMap<String, Figure>;

/// The cost of one request.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Figure {
    instructions: f64,
    allocations: f64,
}

/// Measures, then writes or compares.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    need("valgrind")?;
    let figures = block_on(measure())?;
    if options.write {
        let text = serde_json::to_string_pretty(&figures)? + "\n";
        std::fs::write(FILE, text).with_context(|| format!("cannot write {FILE}"))?;
    }
    let committed = std::fs::read(FILE).with_context(|| format!("cannot read {FILE}"))?;
    let committed: Figures =
        serde_json::from_slice(&committed).with_context(|| format!("{FILE} has another form"))?;
    let mut has_moved = false;
    for (name, figure) in &figures {
        let committed = committed.get(name).with_context(|| format!("no figures of {name} are committed"))?;
        let (now, before) = (figure.allocations, committed.allocations);
        let moved = if figure.is_near(*committed) {
            ""
        } else {
            has_moved = true;
            "  MOVED"
        };
        let (instructions, change) = (figure.instructions, figure.growth(*committed) * 100.0);
        println!(
            "{name:8} {instructions:8.0} instructions ({change:+.1} %), {now:6.2} allocations ({:+.2}){moved}",
            now - before
        );
    }
    if has_moved {
        println!("\n`benches compare --figures instructions --functions 40` lists the functions of a build.");
        println!("If the change is intended, or an improvement: benches guard --write, and commit {FILE}");
    }
    Ok(if has_moved { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn measure() -> anyhow::Result<Figures> {
    let runner = Runner::new()?;
    let gateway = Contestant::gateway("gateway", Path::new(GATEWAY), Settings::default())?;
    let mut figures = Figures::new();
    eprintln!("{PIPELINE}");
    figures.insert(PIPELINE.to_owned(), Figure::of(&pipeline(&runner).await?));
    for protocol in PROTOCOLS {
        eprintln!("{protocol}");
        let load = load::Options { shape: Some((1, 1)), ..runner.options(Load::Varied, WARM_UP, REQUESTS) };
        let request = callgrind::request(&runner, &gateway, protocol, load).await?;
        figures.insert(name(protocol), Figure::of(&request));
    }
    Ok(figures)
}

/// The cost of a request in the pipeline alone: both runs make as many requests, and the second one has more of them
/// answered.
async fn pipeline(runner: &Runner) -> anyhow::Result<Profile> {
    let (program, file) = (this_program()?, runner.file("pipeline.out"));
    let run = async |made: u64, answered: u64| {
        let mut command = runner.command(&program, 1, Some(&file));
        command.args(["exercise", "--made", &made.to_string(), "--answered", &answered.to_string()]);
        let mut command = tokio::process::Command::from(command);
        let ended = command.kill_on_drop(true).status();
        let ended = runner.within(async { Ok(ended.await?) }).await?;
        ensure!(ended.success(), "the pipeline ended with {ended}");
        Profile::read(&file, &program)
    };
    let more = REQUESTS * (LONG_RUN - 1);
    let (short, long) = (run(more, REQUESTS).await?, run(0, REQUESTS + more).await?);
    #[expect(clippy::cast_precision_loss, reason = "it is a constant of a few thousand")]
    Ok(long.per_request(&short, more as f64))
}

impl Figure {
    fn of(profile: &Profile) -> Self {
        let round = |number: f64| (number * 100.0).round() / 100.0;
        Self {
            instructions: round(profile.program_instructions()),
            allocations: round(profile.allocations()),
        }
    }

    /// How far the instructions moved, as a part of the committed ones.
    fn growth(self, committed: Self) -> f64 {
        (self.instructions - committed.instructions) / committed.instructions
    }

    /// Whether nothing moved too far from the committed figures.
    fn is_near(self, committed: Self) -> bool {
        let allocations = (self.allocations - committed.allocations).abs();
        let tolerance = (committed.allocations * TOLERANCE).max(ALLOCATIONS_TOLERANCE_MIN);
        self.growth(committed).abs() <= TOLERANCE && allocations <= tolerance
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_percent_more_or_fewer_instructions_and_one_allocation_more_are_found() {
        let committed = Figure { instructions: 2_000.0, allocations: 2.0 };
        let is_near = |instructions, allocations| Figure { instructions, allocations }.is_near(committed);
        assert!(is_near(2_050.0, 2.04) && is_near(1_950.0, 1.96));
        assert!(!is_near(2_110.0, 2.0) && !is_near(1_800.0, 2.0));
        assert!(!is_near(2_000.0, 3.0) && !is_near(2_000.0, 1.0));
    }
}
