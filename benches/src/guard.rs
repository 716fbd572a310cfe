//! Instructions and allocations of a request beside the committed ones: neither may change unnoticed.
//!
//! Only functions of the program count: aws-lc and libc choose theirs by the CPU. Over HTTP one stream on one connection
//! is used: how many requests a server finds at once is chance, and a single one is always found alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};

use crate::callgrind::{self, Cost, LONG_RUN, Part, Profile, REQUESTS, WARM_UP};
use crate::contestant::{Contestant, Settings};
use crate::launch::{need, this_program};
use crate::load::{self, Load};
use crate::options::{GATEWAY, name};
use crate::protocol::Protocol;
use crate::runner::{Runner, block_on};

/// How far a figure may move, as a part of the committed one.
const TOLERANCE: f64 = 0.03;
/// How far allocations may always move: some requests make one more than others.
const ALLOCATIONS_TOLERANCE_MIN: f64 = 0.05;
/// Functions whose figures are committed, for each subject.
const FUNCTIONS: usize = 40;
/// Functions that are named when a figure grew.
const NAMED: usize = 5;
const THEN: &str = "then:";
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Figure {
    instructions: f64,
    allocations: f64,
    /// Instructions of the functions with the most of them, without the functions that they call.
    functions: BTreeMap<String, f64>,
    /// Allocations of every function that makes some.
    allocators: BTreeMap<String, f64>,
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
    eprintln!("\nIf that is intended, or an improvement: benches guard --write, and commit {FILE}");
    Ok(ExitCode::FAILURE)
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
        let mut command = runner.launch(1, Some(&file)).command(&program);
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

/// How far a figure moved, as a part of the committed one.
fn change(now: f64, committed: f64) -> f64 {
    (now - committed) / committed
}

impl Figure {
    fn of(profile: &Profile) -> Self {
        let round = |number: f64| (number * 100.0).round() / 100.0;
        let named = |part: Option<Part>, figure: fn(&Cost) -> f64| {
            let functions = profile.top(usize::MAX, figure).into_iter();
            let functions = functions.filter(|(of, ..)| part.is_none_or(|part| part == *of)).take(FUNCTIONS);
            let named = functions.map(|(_, name, cost)| (name.to_owned(), round(figure(&cost))));
            named.filter(|(_, figure)| *figure > 0.0).collect()
        };
        Self {
            instructions: round(profile.instructions(Some(Part::Program))),
            allocations: round(profile.allocations()),
            functions: named(Some(Part::Program), |cost| cost.instructions),
            allocators: named(None, |cost| cost.allocations),
        }
    }

    /// The figures that moved too far from the committed ones, as lines of text.
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

/// The functions that grew the most, or shrank the most. One that is missing on one side counts as the least one there,
/// of which it had at most as much.
fn moves(now: &BTreeMap<String, f64>, committed: &BTreeMap<String, f64>, shrank: bool) -> String {
    let of = |figures: &BTreeMap<String, f64>, name: &String| {
        let is_complete = figures.len() < FUNCTIONS;
        let least = if is_complete { 0.0 } else { figures.values().copied().fold(f64::INFINITY, f64::min) };
        figures.get(name).copied().unwrap_or(least)
    };
    let names: BTreeSet<&String> = now.keys().chain(committed.keys()).collect();
    let moves = names.into_iter().map(|name| {
        let (before, after) = (of(committed, name), of(now, name));
        (if shrank { before - after } else { after - before }, before, after, name)
    });
    let mut moves: Vec<_> = moves.filter(|(growth, ..)| *growth > 0.0).collect();
    moves.sort_by(|one, other| other.0.total_cmp(&one.0));
    let first = if shrank { "shrank the most:" } else { "grew the most:" };
    let mut text = String::new();
    for ((_, before, after, name), which) in moves.iter().zip([first].into_iter().chain([THEN; NAMED - 1])) {
        let _ = writeln!(text, "  {which:16} {name} ({before:.2} to {after:.2})");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(functions: &[(&str, f64)], allocations: f64) -> Figure {
        let functions: BTreeMap<_, _> =
            functions.iter().map(|(name, figure)| ((*name).to_owned(), *figure)).collect();
        Figure {
            instructions: functions.values().sum(),
            allocations,
            functions,
            allocators: BTreeMap::from([("alloc::vec".to_owned(), allocations)]),
        }
    }

    #[test]
    fn a_change_within_three_percent_is_no_finding() {
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
