//! Instructions and allocations of a request beside the committed ones: neither may move unnoticed.
//!
//! Only functions of the program count. Those of aws-lc and libc exist several times for several kinds of
//! CPU, so their figures differ from machine to machine. Over HTTP one stream on one connection is used:
//! how many requests a server finds at once is chance, and a single one is always found alone.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::callgrind::{self, Cost, LONG_RUN, Part, Profile};
use crate::options::Place;
use crate::protocol::Protocol;
use crate::stage::{Contestant, Stage};
use crate::start::{Setup, this_program};

/// How far a figure may move, as a part of the committed one.
const TOLERANCE: f64 = 0.03;
/// Allocations below this are those that only some requests make.
const ALLOCATIONS_TOLERANCE_MIN: f64 = 0.05;
/// Functions whose figures are committed, for each subject.
const FUNCTIONS: usize = 40;
/// Functions that are named when a figure grew.
const NAMED: usize = 5;
/// Requests of the short run.
const REQUESTS: u64 = 2_000;
/// The pipeline alone, beside the protocols.
const PIPELINE: &str = "pipeline";
/// What is guarded over the wire.
const PROTOCOLS: [Protocol; 3] = [Protocol::H1, Protocol::H2Tls, Protocol::H3];

/// The command line.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    pub place: Place,
    /// The committed figures.
    #[arg(long, value_name = "FILE", default_value = "benches/guard.json")]
    pub figures: PathBuf,
    /// Write the figures of this build instead of comparing with them.
    #[arg(long)]
    pub write: bool,
}

/// What is committed: the pipeline and each protocol by name.
type Figures = BTreeMap<String, Figure>;

/// What one request costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Figure {
    instructions: f64,
    allocations: f64,
    /// Instructions of the functions that have most of them, without those of what they call.
    functions: BTreeMap<String, f64>,
    /// Allocations of every function that makes some.
    allocators: BTreeMap<String, f64>,
}

/// The command line of the pipeline's role.
#[derive(Clone, Debug, clap::Args)]
pub struct PipelineOptions {
    /// Requests that are made and thrown away.
    #[arg(long)]
    pub made: u32,
    /// Requests that are made and answered.
    #[arg(long)]
    pub answered: u32,
}

/// Measures, then writes or compares.
pub(super) async fn run(options: &Options) -> anyhow::Result<ExitCode> {
    callgrind::check_tool()?;
    let stage = Stage::set(&options.place)?;
    let gateway = Contestant::gateway("gateway", &options.place.gateway);
    let mut figures = Figures::new();
    eprintln!("{PIPELINE}");
    figures.insert(PIPELINE.to_owned(), Figure::of(&pipeline(&stage).await?));
    for protocol in PROTOCOLS {
        eprintln!("{}", protocol.name());
        let request = callgrind::request(&stage, &gateway, protocol, (1, 1), REQUESTS).await?;
        figures.insert(protocol.name().to_owned(), Figure::of(&request));
    }
    if options.write {
        let text = serde_json::to_string_pretty(&figures)? + "\n";
        std::fs::write(&options.figures, text)
            .with_context(|| format!("cannot write {}", options.figures.display()))?;
    }
    if options.place.json {
        println!("{}", serde_json::to_string_pretty(&figures)?);
    }
    let committed = read(&options.figures)?;
    let mut findings = String::new();
    for (name, figure) in &figures {
        let committed = committed.get(name).with_context(|| format!("no figures of {name} are committed"))?;
        eprintln!(
            "{name:8} {:8.0} instructions ({:+.1} %), {:6.2} allocations ({:+.2})",
            figure.instructions,
            change(figure.instructions, committed.instructions) * 100.0,
            figure.allocations,
            figure.allocations - committed.allocations,
        );
        findings += &figure.compare(committed, name);
    }
    if findings.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprint!("\n{findings}");
    eprintln!(
        "\nIf that is meant, or for the better: {} guard --gateway {} --write, and commit {}",
        this_program()?.file_name().unwrap_or_default().display(),
        options.place.gateway.display(),
        options.figures.display()
    );
    Ok(ExitCode::FAILURE)
}

fn read(path: &Path) -> anyhow::Result<Figures> {
    let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} holds no figures", path.display()))
}

/// The path alone, in a process of its own. Both runs make as many requests, so that only the answers are
/// left between them.
async fn pipeline(stage: &Stage) -> anyhow::Result<Profile> {
    let program = this_program()?;
    let file = stage.file("pipeline.out");
    let mut profiles = Vec::new();
    let more = REQUESTS * (LONG_RUN - 1);
    for (made, answered) in [(more, REQUESTS), (0, REQUESTS + more)] {
        let setup = Setup { callgrind: Some(&file), ..stage.setup() };
        let mut command = setup.command(&program);
        command.arg(PIPELINE).args(["--made", &made.to_string(), "--answered", &answered.to_string()]);
        stage.run(command).await?;
        profiles.push(Profile::read(&file, &program)?);
    }
    #[expect(clippy::cast_precision_loss, reason = "it is a constant of a few thousand")]
    Ok(profiles[1].per_request(&profiles[0], more as f64))
}

/// By which part a figure moved.
fn change(now: f64, committed: f64) -> f64 {
    (now - committed) / committed
}

impl Figure {
    fn of(profile: &Profile) -> Self {
        let round = |number: f64| (number * 100.0).round() / 100.0;
        let mut own: Vec<(&str, &Cost)> = profile.of(Part::Program).collect();
        own.sort_by(|one, other| other.1.own.total_cmp(&one.1.own));
        own.truncate(FUNCTIONS);
        let allocators = profile.top(FUNCTIONS, |cost| cost.allocations).into_iter();
        Self {
            instructions: round(profile.instructions(Part::Program)),
            allocations: round(profile.allocations()),
            functions: own.iter().map(|(name, cost)| ((*name).to_owned(), round(cost.own))).collect(),
            allocators: allocators
                .filter(|(.., cost)| round(cost.allocations) > 0.0)
                .map(|(_, name, cost)| (name.to_owned(), round(cost.allocations)))
                .collect(),
        }
    }

    /// What is wrong with these figures beside the committed ones: nothing, or lines of text.
    fn compare(&self, committed: &Self, name: &str) -> String {
        let mut text = String::new();
        let (now, before) = (self.instructions, committed.instructions);
        let moved = change(now, before);
        if moved.abs() > TOLERANCE {
            let moved = moved * 100.0;
            let _ =
                writeln!(text, "{name}: {now:.0} instructions, committed are {before:.0} ({moved:+.1} %)");
            text += &moves(&self.functions, &committed.functions, now < before);
        }
        let (now, before) = (self.allocations, committed.allocations);
        if (now - before).abs() > (before * TOLERANCE).max(ALLOCATIONS_TOLERANCE_MIN) {
            let _ = writeln!(text, "{name}: {now:.2} allocations, committed are {before:.2}");
            text += &moves(&self.allocators, &committed.allocators, now < before);
        }
        text
    }
}

/// The functions that grew the most, or shrank the most. One that is missing on one side had at most as
/// much as the least one there, and counts as if it had that.
fn moves(now: &BTreeMap<String, f64>, committed: &BTreeMap<String, f64>, shrank: bool) -> String {
    let least = |figures: &BTreeMap<String, f64>| {
        if figures.len() < FUNCTIONS { 0.0 } else { figures.values().copied().fold(f64::INFINITY, f64::min) }
    };
    let (least_now, least_committed) = (least(now), least(committed));
    let mut names: Vec<&String> = now.keys().chain(committed.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let mut moves: Vec<(f64, f64, &String)> = names
        .into_iter()
        .map(|name| {
            let at = |figures: &BTreeMap<String, f64>, least| figures.get(name).copied().unwrap_or(least);
            (at(committed, least_committed), at(now, least_now), name)
        })
        .collect();
    let growth = |(before, after, _): &(f64, f64, &String)| {
        if shrank { before - after } else { after - before }
    };
    moves.sort_by(|one, other| growth(other).total_cmp(&growth(one)));
    let mut text = String::new();
    let verb = if shrank { "shrank" } else { "grew" };
    for (place, (before, after, name)) in moves.iter().take(NAMED).enumerate() {
        if growth(&(*before, *after, *name)) <= 0.0 {
            break;
        }
        let which = if place == 0 { format!("{verb} the most:") } else { "then:".to_owned() };
        let _ = writeln!(text, "  {which:16} {name} ({before:.2} to {after:.2})");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(functions: &[(&str, f64)], allocations: f64) -> Figure {
        let functions: BTreeMap<_, _> =
            functions.iter().map(|(name, own)| ((*name).to_owned(), *own)).collect();
        Figure {
            instructions: functions.values().sum(),
            allocations,
            functions,
            allocators: BTreeMap::from([("alloc::vec".to_owned(), allocations)]),
        }
    }

    #[test]
    fn what_stays_within_three_percent_is_no_finding() {
        let committed = figure(&[("a", 1_000.0), ("b", 1_000.0)], 2.0);
        assert_eq!(figure(&[("a", 1_050.0), ("b", 1_000.0)], 2.04).compare(&committed, "h1"), "");
    }

    #[test]
    fn the_function_that_grew_the_most_is_named_first() {
        let committed = figure(&[("a", 1_000.0), ("b", 1_000.0)], 2.0);
        let text = figure(&[("a", 1_040.0), ("b", 980.0), ("new", 90.0)], 2.0).compare(&committed, "h1");
        assert!(text.starts_with("h1: 2110 instructions, committed are 2000 (+5.5 %)\n"), "{text}");
        assert!(text.contains("grew the most:   new (0.00 to 90.00)\n  then:            a"), "{text}");
        assert!(!text.contains(" b "), "{text}");
    }

    #[test]
    fn one_allocation_more_and_an_improvement_are_findings() {
        let committed = figure(&[("a", 1_000.0)], 2.0);
        let text = figure(&[("a", 1_000.0)], 3.0).compare(&committed, "h2");
        assert_eq!(
            text,
            "h2: 3.00 allocations, committed are 2.00\n  grew the most:   alloc::vec (2.00 to 3.00)\n"
        );
        let text = figure(&[("a", 900.0)], 2.0).compare(&committed, "h2");
        assert!(text.contains("(-10.0 %)") && text.contains("shrank the most: a"), "{text}");
    }
}
