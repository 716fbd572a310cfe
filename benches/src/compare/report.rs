//! The report: a table for each figure, then what the numbers are made up of.

use std::fmt::{self, Formatter};

use procfs::Current as _;
use procfs::{CpuInfo, LoadAverage};

use super::figure::{Case, Detail, Figure, Metric, Sample};
use crate::contestant::Subject;
use crate::proc::memory_bytes;
use crate::statistics::Spread;

/// The index of the contestant whose figures are divided by those of the others.
pub(super) const COMPARED: usize = 1;

/// Stands for a number that is missing.
const NONE: &str = "—";
/// Characters of a number and of a ratio.
const NUMBER: usize = 9;
const RATIO: usize = 24;
/// These details have short names and share a line.
const SHORT_NAMES: [&str; 2] = ["system calls", "instructions"];

/// All figures over all protocols.
pub(crate) struct Report {
    machine: String,
    /// A line about each server.
    servers: Vec<String>,
    comparisons: Vec<Comparison>,
}

/// One case in all rounds.
pub(super) struct Comparison {
    case: Case,
    rounds: usize,
    /// How it was measured.
    method: String,
    /// One for each contestant, in their order.
    rows: Vec<Row>,
}

/// One contestant.
struct Row {
    contestant: String,
    /// One for each of the figure's metrics; none where it was not measured.
    values: Vec<Option<Value>>,
    /// Medians of what the numbers are made up of.
    details: Vec<Detail>,
    /// Why a number is missing or wrong.
    note: Option<String>,
    failed: bool,
}

/// One number over all rounds.
#[derive(Clone, Copy)]
struct Value {
    median: f64,
    /// The compared contestant's number by this one, within each round.
    ratio: Option<Spread>,
}

impl Comparison {
    /// `rounds` has a sample for each of `names`, or none for one that does not support the protocol.
    pub(super) fn new(case: Case, method: String, names: &[&str], rounds: &[Vec<Option<Sample>>]) -> Self {
        let row = |(index, name): (usize, &&str)| Row::new(case.figure, name, index, rounds);
        let rows = names.iter().enumerate().map(row).collect();
        Self { case, rounds: rounds.len(), method, rows }
    }
}

impl Row {
    fn new(figure: Figure, name: &str, index: usize, rounds: &[Vec<Option<Sample>>]) -> Self {
        let samples: Vec<&Sample> = rounds.iter().filter_map(|round| round[index].as_ref()).collect();
        let value = |metric: &Metric| {
            let values: Vec<f64> = samples.iter().filter_map(|sample| sample.value(metric)).collect();
            // A number that is missing in one round would be one of other rounds than its neighbours'.
            if values.is_empty() || values.len() < samples.len() {
                return None;
            }
            let ratio = |round: &Vec<Option<Sample>>| {
                Some(round[COMPARED].as_ref()?.value(metric)? / round[index].as_ref()?.value(metric)?)
            };
            // A run without a response has no ratio.
            let ratios: Vec<f64> =
                rounds.iter().filter_map(ratio).filter(|ratio| ratio.is_finite()).collect();
            let is_compared = metric.is_compared && index != COMPARED && !ratios.is_empty();
            Some(Value { median: Spread::of(values).median, ratio: is_compared.then(|| Spread::of(ratios)) })
        };
        Self {
            contestant: name.to_owned(),
            values: figure.metrics().iter().map(value).collect(),
            details: medians(&samples),
            note: samples.iter().find_map(|sample| sample.note.clone()),
            failed: samples.iter().any(|sample| sample.failed),
        }
    }
}

/// The processor, and what else the machine is doing.
pub(super) fn machine() -> anyhow::Result<String> {
    let (cpus, load) = (CpuInfo::current()?, LoadAverage::current()?.one);
    let model = cpus.model_name(0).unwrap_or("unknown processor");
    Ok(format!("{model}, {} cores, load average {load:.1} at the start", cpus.num_cores()))
}

/// The median of each detail, in the order of their first appearance; in a round without it, it is 0.
fn medians(samples: &[&Sample]) -> Vec<Detail> {
    let mut medians: Vec<Detail> = Vec::new();
    for detail in samples.iter().flat_map(|sample| &sample.details) {
        let same = |other: &&Detail| (other.of, &other.name) == (detail.of, &detail.name);
        if medians.iter().find(same).is_none() {
            let value =
                |sample: &&Sample| sample.details.iter().find(same).map_or(0.0, |detail| detail.value);
            medians.push(Detail { value: Spread::of(samples.iter().map(value)).median, ..detail.clone() });
        }
    }
    medians
}

impl Report {
    pub(super) fn new(machine: String, comparisons: Vec<Comparison>, subjects: &[Subject]) -> Self {
        let server = |subject: &Subject| {
            let (name, ready) = (&subject.name, subject.ready_after().as_secs_f64());
            #[expect(clippy::cast_precision_loss, reason = "no process has 2^53 bytes")]
            let megabytes = |bytes: u64| bytes as f64 / 1e6;
            let (idle, last) = (megabytes(subject.idle_bytes), memory_bytes(subject.pid()).map(megabytes));
            let last =
                last.map_or_else(|error| format!("{error:#}"), |last| format!("{last:.1} MB at the end"));
            format!("{name}: ready after {ready:.2} s, {idle:.1} MB resident, {last}")
        };
        let servers = subjects.iter().map(server).collect();
        Self { machine, servers, comparisons }
    }

    /// Whether anything failed that should work.
    pub(crate) fn has_failures(&self) -> bool {
        self.comparisons.iter().flat_map(|comparison| &comparison.rows).any(|row| row.failed)
    }

    /// Why numbers are missing or wrong.
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for Comparison { case, rows, .. } in &self.comparisons {
            for Row { contestant, note, failed, .. } in rows {
                let Some(note) = note else { continue };
                let note = if *failed {
                    format!("{contestant}, {} over {}: FAILED: {note}", case.title(), case.protocol)
                } else {
                    format!("{contestant}, {}: {note}", case.figure.name())
                };
                // What is impossible is so over every protocol.
                if !notes.contains(&note) {
                    notes.push(note);
                }
            }
        }
        notes
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for comparisons in self
            .comparisons
            .chunk_by(|one, other| (one.case.figure, one.case.load) == (other.case.figure, other.case.load))
        {
            table(f, comparisons)?;
        }
        writeln!(f, "machine: {}", self.machine)?;
        for line in self.servers.iter().chain(&self.notes()) {
            writeln!(f, "{line}")?;
        }
        for comparison in &self.comparisons {
            for row in &comparison.rows {
                details(f, comparison, row)?;
            }
        }
        Ok(())
    }
}

/// The comparisons of one figure.
fn table(f: &mut Formatter<'_>, comparisons: &[Comparison]) -> fmt::Result {
    let Some(Comparison { case, rounds, method, rows }) = comparisons.first() else { return Ok(()) };
    let figure = case.figure;
    let width = rows.iter().map(|row| row.contestant.chars().count()).max().unwrap_or(0);
    writeln!(f, "{}: {method}; rounds: {rounds}", case.title())?;
    write!(f, "{:7} {:width$}", "", "")?;
    for metric in figure.metrics() {
        write!(f, " | {:^1$}", metric.title, column(metric))?;
    }
    write!(f, "\n{:7} {:width$}", "", "")?;
    for metric in figure.metrics() {
        let ratio =
            if metric.is_compared { format!("{} ÷ it", rows[COMPARED].contestant) } else { String::new() };
        let rest = column(metric) - NUMBER;
        write!(f, " | {:>NUMBER$}{ratio:>rest$}", "median")?;
    }
    writeln!(f)?;
    for Comparison { case, rows, .. } in comparisons {
        for (index, row) in rows.iter().enumerate() {
            let protocol = if index == 0 { case.protocol.name() } else { "" };
            write!(f, "{protocol:7} {:width$}", row.contestant)?;
            for (metric, value) in figure.metrics().iter().zip(&row.values) {
                let median =
                    value.map_or(NONE.to_owned(), |value| format!("{:.1$}", value.median, metric.digits));
                let ratio = value.and_then(|value| value.ratio).map(|ratio| ratio.to_string());
                let ratio = ratio.unwrap_or_default();
                let rest = column(metric) - NUMBER;
                write!(f, " | {median:>NUMBER$}{ratio:>rest$}")?;
            }
            writeln!(f)?;
        }
    }
    writeln!(f)
}

/// Characters of a metric's column.
fn column(metric: &Metric) -> usize {
    let numbers = if metric.is_compared { NUMBER + 1 + RATIO } else { NUMBER };
    numbers.max(metric.title.chars().count())
}

/// What the numbers of a row are made up of: short names on one line, long ones on a line each.
fn details(f: &mut Formatter<'_>, comparison: &Comparison, row: &Row) -> fmt::Result {
    let number = |value: f64| if value < 100.0 { format!("{value:.2}") } else { format!("{value:.0}") };
    for details in row.details.chunk_by(|one, other| one.of == other.of) {
        let of = details[0].of;
        write!(f, "{}, {}, {of}:", comparison.case.protocol, row.contestant)?;
        if SHORT_NAMES.contains(&of) {
            let parts: Vec<String> =
                details.iter().map(|detail| format!("{} {}", detail.name, number(detail.value))).collect();
            writeln!(f, " {}", parts.join(", "))?;
            continue;
        }
        writeln!(f)?;
        for Detail { name, value, inclusive, .. } in details {
            writeln!(f, "{:>9} {:>9}  {name}", number(*value), inclusive.map(number).unwrap_or_default())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::figure::{BUSY, CPU, REQUESTS_PER_SECOND};
    use super::*;
    use crate::load::Load;
    use crate::protocol::Protocol;

    const NAMES: [&str; 3] = ["floor", "gateway", "peer"];

    fn sample(cpu_us: f64) -> Option<Sample> {
        Some(Sample::default().with(&CPU, cpu_us).with(&REQUESTS_PER_SECOND, 1e6 / cpu_us).with(&BUSY, 99.0))
    }

    fn case(protocol: Protocol) -> Case {
        Case { figure: Figure::Cpu, load: Load::Varied, protocol }
    }

    /// Two rounds: the second one on a machine that is half as fast, and a peer without HTTP/3.
    fn cpu(protocol: Protocol) -> Comparison {
        let peer = |slower: f64| if protocol == Protocol::H3 { None } else { sample(5.0 * slower) };
        let round = |slower: f64| vec![sample(8.0 * slower), sample(4.0 * slower), peer(slower)];
        Comparison::new(case(protocol), "1 request each".to_owned(), &NAMES, &[round(1.0), round(2.0)])
    }

    fn report(comparisons: Vec<Comparison>) -> String {
        Report { machine: "x".to_owned(), servers: Vec::new(), comparisons }.to_string()
    }

    #[test]
    fn ratios_are_made_within_a_round_so_that_a_slower_one_does_not_show() {
        let rows = cpu(Protocol::H3).rows;
        let [cpu, rate, busy] = [0, 1, 2].map(|metric| rows[0].values[metric].expect("the floor has HTTP/3"));
        assert_eq!(cpu.ratio, Some(Spread { min: 0.5, median: 0.5, max: 0.5 }));
        assert_eq!(rate.ratio.map(|ratio| ratio.median), Some(2.0));
        assert!(busy.ratio.is_none());
        assert!(rows[COMPARED].values[0].is_some_and(|value| value.ratio.is_none()));
        assert!(rows[2].values[0].is_none());
    }

    #[test]
    fn every_contestant_has_a_row_and_missing_numbers_a_dash() {
        let text = report(vec![cpu(Protocol::H1), cpu(Protocol::H3)]);
        let rows = |name: &str| {
            let rows = text.lines().filter(|line| line.contains(&format!(" {name} ")));
            rows.map(str::to_owned).collect::<Vec<String>>()
        };
        assert_eq!((rows("floor").len(), rows("peer").len()), (2, 2), "{text}");
        assert!(rows("peer")[0].contains("7.5       0.80 / 0.80 / 0.80"), "{text}");
        assert_eq!(rows("peer")[1].matches(NONE).count(), 3, "{text}");
    }

    #[test]
    fn a_number_that_is_missing_in_one_round_is_no_number() {
        let rounds = [vec![sample(1.0), sample(1.0)], vec![Some(Sample::impossible("gone")), sample(1.0)]];
        let comparison = Comparison::new(case(Protocol::H1), String::new(), &NAMES[..2], &rounds);
        assert!(comparison.rows[0].values[0].is_none());
        assert!(report(vec![comparison]).contains("\nfloor, cpu: gone\n"));
    }

    #[test]
    fn a_failure_is_reported_beside_the_figures_of_the_others() {
        let failure = Some(Sample::failure(&anyhow::anyhow!("connection reset").context("no response")));
        let rounds = [vec![sample(1.0), sample(1.0), failure], vec![sample(1.0), sample(1.0), None]];
        let comparison = Comparison::new(case(Protocol::H3), String::new(), &NAMES, &rounds);
        assert!(comparison.rows[2].failed && comparison.rows[0].values[0].is_some());
        let text = report(vec![comparison]);
        assert!(
            text.contains("\npeer, cpu, varied load over h3: FAILED: no response: connection reset\n"),
            "{text}"
        );
    }

    #[test]
    fn a_detail_that_is_missing_in_a_round_is_zero_there() {
        let detail =
            |name: &str, value| Detail { of: "system calls", name: name.to_owned(), value, inclusive: None };
        let sample = |details: Vec<Detail>| Sample { details, ..Sample::default() };
        let (one, other) =
            (sample(vec![detail("read", 4.0)]), sample(vec![detail("read", 2.0), detail("futex", 1.0)]));
        assert_eq!(medians(&[&one, &other]), [detail("read", 3.0), detail("futex", 0.5)]);
    }
}
