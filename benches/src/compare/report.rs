//! The report: a table for each figure, then what was found about the servers.

use std::fmt::{self, Formatter};

use procfs::{CpuInfo, Current as _, LoadAverage};

use super::figure::{Figure, Sample};
use crate::contestant::Subject;
use crate::protocol::Protocol;
use crate::statistics::Spread;

/// The index of the contestant whose figures are divided by those of the others.
pub(super) const COMPARED: usize = 1;

/// Stands for a number that is missing.
const NONE: &str = "—";
/// Characters of a protocol and a name, and of a number with its ratio.
const NAME: usize = 24;
const VALUE: usize = 36;

/// All figures over all protocols.
pub(super) struct Report {
    machine: String,
    /// The contestants, in the order of the samples of a round.
    names: Vec<String>,
    /// A line about each server.
    servers: Vec<String>,
    comparisons: Vec<Comparison>,
}

/// A figure over a protocol in all rounds.
pub(super) struct Comparison {
    pub(super) figure: Figure,
    pub(super) protocol: Protocol,
    /// What was measured and how.
    pub(super) title: String,
    /// A sample of each contestant for each round; none where it does not support the protocol, or has failed before.
    pub(super) samples: Vec<Vec<Option<Sample>>>,
}

/// The processor, and what else the machine is doing.
pub(super) fn machine() -> anyhow::Result<String> {
    let (cpus, load) = (CpuInfo::current()?, LoadAverage::current()?.one);
    let model = cpus.model_name(0).unwrap_or("unknown processor");
    Ok(format!("{model}, {} cores, load average {load:.1} at the start", cpus.num_cores()))
}

impl Comparison {
    fn samples_of(&self, contestant: usize) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter_map(move |round| round[contestant].as_ref())
    }

    /// The median of a number, and the ratio of the compared contestant's to it within each round.
    fn value(&self, contestant: usize, metric: usize) -> Option<(f64, Option<Spread>)> {
        let value = |sample: &Sample| sample.values.get(metric).copied().flatten();
        // A number that is missing in one round would be one of other rounds than its neighbours'.
        let values: Option<Vec<f64>> = self.samples_of(contestant).map(value).collect();
        let values = values.filter(|values| !values.is_empty())?;
        let ratio = |round: &Vec<Option<Sample>>| {
            Some(value(round[COMPARED].as_ref()?)? / value(round[contestant].as_ref()?)?)
        };
        // What took no CPU time or memory has no ratio.
        let ratios: Vec<f64> =
            self.samples.iter().filter_map(ratio).filter(|ratio| ratio.is_finite()).collect();
        let has_ratio = contestant != COMPARED && !ratios.is_empty();
        Some((Spread::of(values).median, has_ratio.then(|| Spread::of(ratios))))
    }
}

impl Report {
    pub(super) fn new(machine: String, comparisons: Vec<Comparison>, subjects: &[Subject<'_>]) -> Self {
        let server = |subject: &Subject<'_>| {
            let (name, ready) = (&subject.contestant.name, subject.server.ready_after.as_secs_f64());
            #[expect(clippy::cast_precision_loss, reason = "no process has 2^53 bytes")]
            let resident = subject.idle_bytes as f64 / 1e6;
            format!("{name}: ready after {ready:.2} s, {resident:.1} MB resident")
        };
        let names = subjects.iter().map(|subject| subject.contestant.name.clone()).collect();
        Self { machine, names, servers: subjects.iter().map(server).collect(), comparisons }
    }

    /// Whether anything failed that should work.
    pub(super) fn has_failures(&self) -> bool {
        let samples = self.comparisons.iter().flat_map(|comparison| comparison.samples.iter().flatten());
        samples.flatten().any(|sample| sample.failed)
    }

    /// A line for each contestant over a protocol; below it why numbers are missing, and the listed functions.
    fn row(&self, f: &mut Formatter<'_>, comparison: &Comparison) -> fmt::Result {
        for (index, name) in self.names.iter().enumerate() {
            write!(f, "{:NAME$}", format!("{:7} {name}", comparison.protocol))?;
            for (number, (_, digits)) in comparison.figure.metrics().iter().enumerate() {
                let text = match comparison.value(index, number) {
                    Some((median, Some(ratio))) => format!("{median:.digits$}   {ratio}"),
                    Some((median, None)) => format!("{median:.digits$}"),
                    None => NONE.to_owned(),
                };
                write!(f, " | {text:VALUE$}")?;
            }
            writeln!(f)?;
            // One note is enough: what is impossible is so in every round.
            let noted = comparison.samples_of(index).find(|sample| sample.note.is_some());
            if let Some(Sample { note: Some(note), failed, .. }) = noted {
                writeln!(f, "{:NAME$} {}{note}", "", if *failed { "FAILED: " } else { "" })?;
            }
            for (function, instructions) in comparison.samples_of(index).flat_map(|sample| &sample.functions)
            {
                writeln!(f, "{instructions:>NAME$.1}  {function}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for comparisons in self.comparisons.chunk_by(|one, other| one.figure == other.figure) {
            let Comparison { figure, title, samples, .. } = &comparisons[0];
            writeln!(f, "{title}; rounds: {}", samples.len())?;
            writeln!(f, "medians, and {} ÷ it within a round: min / median / max", self.names[COMPARED])?;
            write!(f, "{:NAME$}", "")?;
            for (title, _) in figure.metrics() {
                write!(f, " | {title:VALUE$}")?;
            }
            writeln!(f)?;
            for comparison in comparisons {
                self.row(f, comparison)?;
            }
            writeln!(f)?;
        }
        writeln!(f, "machine: {}", self.machine)?;
        for line in &self.servers {
            writeln!(f, "{line}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(cpu_us: f64) -> Option<Sample> {
        Some(Sample::of([cpu_us, 1e6 / cpu_us, 99.0]))
    }

    fn comparison(protocol: Protocol, samples: Vec<Vec<Option<Sample>>>) -> Comparison {
        Comparison { figure: Figure::Cpu, protocol, title: "cpu: varied load".to_owned(), samples }
    }

    /// Two rounds: the second one on a machine that is half as fast, and a peer without HTTP/3.
    fn cpu(protocol: Protocol) -> Comparison {
        let peer = |slower: f64| if protocol == Protocol::H3 { None } else { sample(5.0 * slower) };
        let round = |slower: f64| vec![sample(8.0 * slower), sample(4.0 * slower), peer(slower)];
        comparison(protocol, vec![round(1.0), round(2.0)])
    }

    fn report(comparisons: Vec<Comparison>) -> Report {
        let names = ["floor", "gateway", "peer"].map(str::to_owned).to_vec();
        Report { machine: "x".to_owned(), names, servers: Vec::new(), comparisons }
    }

    #[test]
    fn ratios_are_made_within_a_round_so_that_a_slower_one_does_not_show() {
        let cpu = cpu(Protocol::H3);
        let ratio = |contestant, metric| cpu.value(contestant, metric).and_then(|(_, ratio)| ratio);
        assert_eq!(ratio(0, 0), Some(Spread { min: 0.5, median: 0.5, max: 0.5 }));
        assert_eq!(ratio(0, 1).map(|ratio| ratio.median), Some(2.0));
        assert_eq!(ratio(COMPARED, 0), None);
        assert_eq!(cpu.value(2, 0), None);
    }

    #[test]
    fn every_contestant_has_a_row_and_missing_numbers_a_dash() {
        let text = report(vec![cpu(Protocol::H1), cpu(Protocol::H3)]).to_string();
        let rows = |name: &str| {
            let rows = text.lines().filter(|line| line.contains(&format!(" {name} ")));
            rows.map(str::to_owned).collect::<Vec<String>>()
        };
        assert_eq!((rows("floor").len(), rows("peer").len()), (2, 2), "{text}");
        assert!(rows("peer")[0].contains("7.5   0.80 / 0.80 / 0.80"), "{text}");
        assert_eq!(rows("peer")[1].matches(NONE).count(), 3, "{text}");
    }

    #[test]
    fn a_number_that_is_missing_in_one_round_is_no_number() {
        let gone = Some(Sample::impossible("gone"));
        let rounds = vec![vec![sample(1.0), sample(1.0), None], vec![gone, sample(1.0), None]];
        let comparison = comparison(Protocol::H1, rounds);
        assert_eq!(comparison.value(0, 0), None);
        assert!(report(vec![comparison]).to_string().contains(" gone\n"));
    }

    #[test]
    fn a_failure_is_reported_beside_the_figures_of_the_others() {
        let failure = Some(Sample::failure(&anyhow::anyhow!("connection reset").context("no response")));
        let rounds = vec![vec![sample(1.0), sample(1.0), failure], vec![sample(1.0), sample(1.0), None]];
        let comparison = comparison(Protocol::H3, rounds);
        assert!(comparison.value(0, 0).is_some());
        let report = report(vec![comparison]);
        assert!(report.has_failures());
        let text = report.to_string();
        assert!(text.contains(" FAILED: no response: connection reset\n"), "{text}");
    }
}
