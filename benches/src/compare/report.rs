//! What a comparison came to, also as JSON.

use std::collections::BTreeMap;

use serde::Serialize;

use super::figure::{Detail, Figure, Metric, Sample};
use super::machine::Machine;
use super::{FLOOR, SUBJECT};
use crate::protocol::Protocol;
use crate::stage::Subject;
use crate::statistics::Spread;

/// One of the servers, beside its figures.
#[derive(Debug, Serialize)]
pub(super) struct About {
    pub(super) name: String,
    /// From the start of the process until it serves.
    pub(super) ready_after_ms: f64,
    /// Resident memory before the first request, and after the last one.
    pub(super) idle_mb: f64,
    pub(super) memory_mb: f64,
}

impl About {
    #[expect(clippy::cast_precision_loss, reason = "no process has 2^53 bytes")]
    pub(super) fn new(subject: &Subject) -> anyhow::Result<Self> {
        Ok(Self {
            name: subject.name.clone(),
            ready_after_ms: subject.ready_after().as_secs_f64() * 1e3,
            idle_mb: subject.idle_bytes as f64 / 1e6,
            memory_mb: subject.memory_bytes()? as f64 / 1e6,
        })
    }
}

/// All figures and protocols.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) machine: Machine,
    /// The contestant whose own figures show the noise.
    pub(super) floor: String,
    /// What was compared with each other contestant.
    pub(super) subject: String,
    pub(super) contestants: Vec<About>,
    /// One for each figure and protocol, those of a figure in one go.
    pub(super) comparisons: Vec<Comparison>,
}

/// One figure over one protocol, in all rounds.
#[derive(Debug, Serialize)]
pub(super) struct Comparison {
    pub(super) figure: Figure,
    pub(super) protocol: Protocol,
    pub(super) rounds: usize,
    /// How it was measured, in words.
    pub(super) how: String,
    /// The floor's first number in each round by its own median: how much the machine varied. One round
    /// does not say.
    pub(super) noise: Option<Spread>,
    /// One for each contestant, in their order.
    pub(super) rows: Vec<Row>,
}

/// One contestant.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) contestant: String,
    /// By [`Metric::key`]; what was not measured has none.
    values: BTreeMap<&'static str, Value>,
    /// Medians of what the numbers are made up of.
    pub(super) details: Vec<Detail>,
    /// Why a number is missing, although it speaks the protocol.
    pub(super) missing: Option<String>,
    /// Requests that were not answered as they should be, and the first reason.
    pub(super) errors: u64,
    pub(super) first_error: Option<String>,
}

/// One number over all rounds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Value {
    #[serde(flatten)]
    pub(super) own: Spread,
    /// Subject by contestant, within each round; none for the subject itself, and for what only describes.
    pub(super) ratio: Option<Spread>,
}

impl Comparison {
    /// `rounds` has a sample for each of `names`, or none for one that does not speak the protocol.
    pub(super) fn new(
        figure: Figure,
        protocol: Protocol,
        how: String,
        names: &[&str],
        rounds: &[Vec<Option<Sample>>],
    ) -> Self {
        let rows: Vec<Row> =
            names.iter().enumerate().map(|(place, name)| Row::new(figure, name, place, rounds)).collect();
        let noise = figure.metrics().first().filter(|_| rounds.len() > 1).and_then(|metric| {
            let median = rows[FLOOR].value(metric)?.own.median;
            let own = rounds.iter().filter_map(|round| round[FLOOR].as_ref()?.value(metric));
            Some(Spread::of(own.map(|value| value / median).filter(|ratio| ratio.is_finite())))
        });
        Self { figure, protocol, rounds: rounds.len(), how, noise, rows }
    }
}

impl Row {
    fn new(figure: Figure, name: &str, place: usize, rounds: &[Vec<Option<Sample>>]) -> Self {
        let samples: Vec<&Sample> = rounds.iter().filter_map(|round| round[place].as_ref()).collect();
        let mut values = BTreeMap::new();
        for metric in figure.metrics() {
            let own: Vec<f64> = samples.iter().filter_map(|sample| sample.value(metric)).collect();
            // What is missing in one round is a figure of other rounds than its neighbours'.
            if own.is_empty() || own.len() < samples.len() {
                continue;
            }
            let ratio = |round: &Vec<Option<Sample>>| {
                Some(round[SUBJECT].as_ref()?.value(metric)? / round[place].as_ref()?.value(metric)?)
            };
            // A run in which nothing was answered has no ratio; its errors are counted all the same.
            let ratios: Vec<f64> =
                rounds.iter().filter_map(ratio).filter(|ratio| ratio.is_finite()).collect();
            let is_compared = metric.is_compared && place != SUBJECT && !ratios.is_empty();
            let ratio = is_compared.then(|| Spread::of(ratios.into_iter()));
            values.insert(metric.key, Value { own: Spread::of(own.into_iter()), ratio });
        }
        Self {
            contestant: name.to_owned(),
            values,
            details: medians(&samples),
            missing: samples.iter().find_map(|sample| sample.missing.clone()),
            errors: samples.iter().map(|sample| sample.errors).sum(),
            first_error: samples.iter().find_map(|sample| sample.first_error.clone()),
        }
    }

    /// A number, if it was measured.
    pub(super) fn value(&self, metric: &Metric) -> Option<&Value> {
        self.values.get(metric.key)
    }
}

/// The details in the order in which they first came; in a round that has not got one it is 0.
fn medians(samples: &[&Sample]) -> Vec<Detail> {
    let mut medians: Vec<Detail> = Vec::new();
    for detail in samples.iter().flat_map(|sample| &sample.details) {
        if medians.iter().any(|known| (known.of, &known.name) == (detail.of, &detail.name)) {
            continue;
        }
        let of = |sample: &&Sample| {
            let same = |other: &&Detail| (other.of, &other.name) == (detail.of, &detail.name);
            sample.details.iter().find(same).map_or(0.0, |detail| detail.value)
        };
        medians.push(Detail { value: Spread::of(samples.iter().map(of)).median, ..detail.clone() });
    }
    medians
}

impl Report {
    /// Requests that were not answered as they should be.
    pub(super) fn errors(&self) -> u64 {
        self.comparisons.iter().flat_map(|comparison| &comparison.rows).map(|row| row.errors).sum()
    }

    /// The figures that were measured, each with its comparisons.
    pub(super) fn figures(&self) -> impl Iterator<Item = (Figure, &[Comparison])> {
        let chunks = self.comparisons.chunk_by(|one, other| one.figure == other.figure);
        chunks.filter_map(|chunk| Some((chunk.first()?.figure, chunk)))
    }

    /// How much the machine varied, for each figure that was measured more than once.
    pub(super) fn noise(&self) -> Vec<String> {
        let spread = |Comparison { protocol, noise, .. }: &Comparison| {
            let noise = (*noise)?;
            let (less, more) = ((1.0 - noise.min) * 100.0, (noise.max - 1.0) * 100.0);
            Some(format!("{} −{less:.0} to +{more:.0} %", protocol.name()))
        };
        let of_figure = |(figure, comparisons): (Figure, &[Comparison])| {
            let all: Vec<String> = comparisons.iter().filter_map(spread).collect();
            let all = match figure {
                Figure::Instructions => {
                    "counted once: how requests are batched is all that varies".to_owned()
                }
                _ if all.is_empty() => "one round does not say".to_owned(),
                _ => all.join(", "),
            };
            format!("{}: {all}", figure.name())
        };
        self.figures().map(of_figure).collect()
    }

    /// Why numbers are missing and what went wrong, once for each contestant and figure.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for Comparison { figure, protocol, rows, .. } in &self.comparisons {
            for Row { contestant, missing, errors, first_error, .. } in rows {
                if let Some(why) = missing {
                    notes.push(format!("{contestant}, {}: {why}", figure.name()));
                }
                if *errors > 0 {
                    let (figure, protocol) = (figure.name(), protocol.name());
                    let first = first_error.as_deref().unwrap_or("unknown");
                    notes.push(format!(
                        "{contestant}, {figure} over {protocol}: {errors} ERRORS, first: {first}"
                    ));
                }
            }
        }
        let mut seen = Vec::new();
        notes.retain(|note| {
            let is_new = !seen.contains(note);
            if is_new {
                seen.push(note.clone());
            }
            is_new
        });
        notes
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::figure::{BUSY, CPU, INSTRUCTIONS, REQUESTS_PER_SECOND};
    use super::*;

    fn sample(cpu_us: f64) -> Option<Sample> {
        Some(Sample::default().with(&CPU, cpu_us).with(&REQUESTS_PER_SECOND, 1e6 / cpu_us).with(&BUSY, 99.0))
    }

    /// Two rounds: the second one on a machine that is half as fast, and a peer that has no HTTP/3.
    fn cpu(protocol: Protocol) -> Comparison {
        let peer = |slower: f64| if protocol == Protocol::H3 { None } else { sample(5.0 * slower) };
        let round = |slower: f64| vec![sample(8.0 * slower), sample(4.0 * slower), peer(slower)];
        let (rounds, names) = ([round(1.0), round(2.0)], ["floor", "gateway", "peer"]);
        Comparison::new(Figure::Cpu, protocol, "1 request each".to_owned(), &names, &rounds)
    }

    /// A report of CPU over two protocols and of instructions, which the peer cannot have.
    pub(in super::super) fn report() -> Report {
        let counted = |count| Some(Sample::default().with(&INSTRUCTIONS, count));
        let round = vec![counted(8_000.0), counted(10_000.0), Some(Sample::missing("written in Go"))];
        let names = ["floor", "gateway", "peer"];
        let instructions =
            Comparison::new(Figure::Instructions, Protocol::H1, "counted".to_owned(), &names, &[round]);
        let about =
            |name: &str| About { name: name.to_owned(), ready_after_ms: 1.0, idle_mb: 1.0, memory_mb: 1.0 };
        Report {
            machine: Machine::describe(),
            floor: "floor".to_owned(),
            subject: "gateway".to_owned(),
            contestants: names.map(about).into(),
            comparisons: vec![cpu(Protocol::H1), cpu(Protocol::H3), instructions],
        }
    }

    #[test]
    fn ratios_are_made_within_a_round_so_that_a_slower_one_does_not_show() {
        let Comparison { rows, noise, .. } = cpu(Protocol::H3);
        let floor = rows[FLOOR].value(&CPU).expect("the floor speaks everything");
        assert_eq!((floor.own.min, floor.own.max), (8.0, 16.0));
        let ratio = floor.ratio.expect("it is not the subject");
        assert_eq!((ratio.min, ratio.median, ratio.max), (0.5, 0.5, 0.5));
        let faster = rows[FLOOR].value(&REQUESTS_PER_SECOND).and_then(|value| value.ratio);
        assert_eq!(faster.map(|ratio| ratio.median), Some(2.0));
        assert!(rows[SUBJECT].value(&CPU).is_some_and(|value| value.ratio.is_none()));
        assert!(rows[FLOOR].value(&BUSY).is_some_and(|value| value.ratio.is_none()));
        assert!(rows[2].value(&CPU).is_none());
        assert_eq!(noise, Some(Spread { min: 8.0 / 12.0, median: 1.0, max: 16.0 / 12.0 }));
    }

    #[test]
    fn a_number_that_is_missing_in_one_round_is_no_number() {
        let good = || Some(Sample::default().with(&CPU, 4.0));
        let rounds = [vec![good(), good()], vec![Some(Sample::missing("gone")), good()]];
        let comparison =
            Comparison::new(Figure::Cpu, Protocol::H1, String::new(), &["floor", "gateway"], &rounds);
        assert!(comparison.rows[FLOOR].value(&CPU).is_none());
        assert_eq!(comparison.rows[FLOOR].missing.as_deref(), Some("gone"));
        assert!(comparison.noise.is_none());
    }

    #[test]
    fn a_detail_that_a_round_has_not_got_counts_as_none_there() {
        let detail =
            |name: &str, value| Detail { of: "system calls", name: name.to_owned(), value, inclusive: None };
        let of = |details: Vec<Detail>| Sample { details, ..Sample::default() };
        let (one, other) =
            (of(vec![detail("read", 4.0)]), of(vec![detail("read", 2.0), detail("futex", 1.0)]));
        assert_eq!(medians(&[&one, &other]), [detail("read", 3.0), detail("futex", 0.5)]);
    }

    #[test]
    fn errors_are_counted_and_named() {
        let mut report = report();
        assert_eq!(report.errors(), 0);
        report.comparisons[1].rows[SUBJECT].errors = 3;
        report.comparisons[1].rows[SUBJECT].first_error = Some("status 500".to_owned());
        assert_eq!(report.errors(), 3);
        let notes = report.notes();
        assert_eq!(
            notes,
            ["gateway, cpu over h3: 3 ERRORS, first: status 500", "peer, instructions: written in Go"]
        );
    }

    #[test]
    fn json_has_every_number_with_its_ratio() -> anyhow::Result<()> {
        let json = serde_json::to_value(report())?;
        let row = &json["comparisons"][0]["rows"][2];
        assert_eq!(json["comparisons"][0]["figure"], "cpu");
        assert_eq!((&row["contestant"], &row["values"]["cpu_us"]["median"]), (&"peer".into(), &7.5.into()));
        assert_eq!(row["values"]["cpu_us"]["ratio"]["median"], 0.8);
        assert_eq!(json["comparisons"][2]["rows"][2]["missing"], "written in Go");
        Ok(())
    }
}
