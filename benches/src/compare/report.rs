//! What a comparison came to, as JSON and as a table.

use std::fmt;

use serde::Serialize;

use super::contestant::Contestant;
use super::machine::Machine;
use crate::load::Outcome;
use crate::protocol::Protocol;
use crate::statistics::Spread;

/// One of the servers, beside its requests.
#[derive(Debug, Serialize)]
pub(super) struct About {
    pub(super) name: String,
    /// From the start of the process until it serves.
    ready_after_ms: f64,
    /// Resident memory after all rounds.
    memory_mb: f64,
}

impl About {
    pub(super) fn new(contestant: &Contestant) -> Self {
        let Contestant { name, server, .. } = contestant;
        Self {
            name: name.clone(),
            ready_after_ms: server.ready_after().as_secs_f64() * 1e3,
            memory_mb: server.memory_bytes() as f64 / 1e6,
        }
    }
}

/// All protocols.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) machine: Machine,
    /// The contestant whose own figures show the noise.
    pub(super) floor: String,
    /// What was compared with each other contestant.
    pub(super) subject: String,
    pub(super) rounds: u32,
    pub(super) requests: u64,
    pub(super) contestants: Vec<About>,
    pub(super) comparisons: Vec<Comparison>,
}

/// One protocol, over all rounds.
#[derive(Debug, Serialize)]
pub(super) struct Comparison {
    pub(super) protocol: Protocol,
    /// The floor's CPU per request in each round by its own median: how much the machine varied.
    pub(super) noise: Spread,
    /// One for each contestant, in their order.
    pub(super) rows: Vec<Row>,
}

/// One contestant over one protocol.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) contestant: String,
    /// None if it does not speak the protocol.
    pub(super) figures: Option<Figures>,
}

/// One contestant's own figures, and the subject's by them.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    pub(super) cpu_us: Spread,
    rps: Spread,
    p50_us: Spread,
    p99_us: Spread,
    /// Below 1 the load could not keep the server busy, and requests per second are the load's own figure.
    busy: Spread,
    /// Subject by contestant, within each round; none for the subject itself.
    pub(super) cpu_ratio: Option<Spread>,
    rps_ratio: Option<Spread>,
    errors: u64,
    first_error: Option<String>,
}

impl Comparison {
    /// `rounds` has one outcome for each of `names`.
    pub(super) fn new(
        protocol: Protocol,
        names: &[&str],
        subject: usize,
        rounds: &[Vec<Option<Outcome>>],
    ) -> Self {
        let row = |(place, name): (usize, &&str)| Row {
            contestant: (*name).to_owned(),
            figures: Figures::new(place, subject, rounds),
        };
        let rows: Vec<Row> = names.iter().enumerate().map(row).collect();
        let floor = rounds.iter().filter_map(|round| Some(round[0].as_ref()?.server_cpu_us));
        let noise = Spread::of(floor.clone()).median;
        Self { protocol, noise: Spread::of(floor.map(|cpu| cpu / noise).filter(|by| by.is_finite())), rows }
    }

    fn errors(&self) -> u64 {
        self.rows.iter().filter_map(|row| row.figures.as_ref()).map(|figures| figures.errors).sum()
    }
}

impl Figures {
    fn new(place: usize, subject: usize, rounds: &[Vec<Option<Outcome>>]) -> Option<Self> {
        let outcomes: Vec<&Outcome> = rounds.iter().filter_map(|round| round[place].as_ref()).collect();
        if outcomes.is_empty() {
            return None;
        }
        let own = |figure: fn(&Outcome) -> f64| Spread::of(outcomes.iter().map(|outcome| figure(outcome)));
        let ratio = |figure: fn(&Outcome) -> f64| {
            let of_round = |round: &Vec<Option<Outcome>>| {
                Some(figure(round[subject].as_ref()?) / figure(round[place].as_ref()?))
            };
            // A run in which nothing was answered has no ratio; its errors are counted all the same.
            let ratios = rounds.iter().filter_map(of_round).filter(|ratio| ratio.is_finite());
            (place != subject).then(|| Spread::of(ratios))
        };
        Some(Self {
            cpu_us: own(|outcome| outcome.server_cpu_us),
            rps: own(|outcome| outcome.rps),
            p50_us: own(|outcome| outcome.p50_us),
            p99_us: own(|outcome| outcome.p99_us),
            busy: own(|outcome| outcome.server_busy),
            cpu_ratio: ratio(|outcome| outcome.server_cpu_us),
            rps_ratio: ratio(|outcome| outcome.rps),
            errors: outcomes.iter().map(|outcome| outcome.errors).sum(),
            first_error: outcomes.iter().find_map(|outcome| outcome.first_error.clone()),
        })
    }
}

impl Report {
    pub(super) fn errors(&self) -> u64 {
        self.comparisons.iter().map(Comparison::errors).sum()
    }

    /// How much the machine varied, for each protocol.
    pub(super) fn noise(&self) -> String {
        let spread = |Comparison { protocol, noise, .. }: &Comparison| {
            let (less, more) = ((1.0 - noise.min) * 100.0, (noise.max - 1.0) * 100.0);
            format!("{} −{less:.0} to +{more:.0} %", protocol.name())
        };
        let all: Vec<String> = self.comparisons.iter().map(spread).collect();
        format!("{}'s own CPU per request around its median: {}", self.floor, all.join(", "))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { machine, subject, rounds, requests, contestants, comparisons, .. } = self;
        let width = contestants.iter().map(|about| about.name.chars().count()).max().unwrap_or(0);
        let ratio = format!("{subject} ÷ it");
        writeln!(
            formatter,
            "{rounds} rounds of {requests} requests each, on one core; ratios are min / median / max\n"
        )?;
        writeln!(
            formatter,
            "{:7} {:width$} | {:^47} | {:^32} |  busy | errors",
            "", "", "CPU per request, µs", "requests per second"
        )?;
        writeln!(
            formatter,
            "{:7} {:width$} | {:>7} {:>15}   {ratio:>20} | {:>9}   {ratio:>20} |       |",
            "", "", "median", "(min..max)", "median"
        )?;
        for Comparison { protocol, rows, .. } in comparisons {
            for (place, Row { contestant, figures }) in rows.iter().enumerate() {
                let protocol = if place == 0 { protocol.name() } else { "" };
                write!(formatter, "{protocol:7} {contestant:width$} | ")?;
                let Some(Figures { cpu_us, rps, busy, cpu_ratio, rps_ratio, errors, .. }) = figures else {
                    writeln!(
                        formatter,
                        "{:>7} {:39} | {:>9} {:22} | {:>5} | {:>6}",
                        "-", "", "-", "", "-", "-"
                    )?;
                    continue;
                };
                let range = format!("({:.1}..{:.1})", cpu_us.min, cpu_us.max);
                let text = |ratio: &Option<Spread>| ratio.map(|ratio| ratio.to_string()).unwrap_or_default();
                write!(formatter, "{:7.1} {range:>15}   {:>20} | ", cpu_us.median, text(cpu_ratio))?;
                write!(formatter, "{:9.0}   {:>20} | ", rps.median, text(rps_ratio))?;
                writeln!(formatter, "{:3.0} % | {errors:6}", busy.median * 100.0)?;
            }
        }
        writeln!(formatter, "\nmachine: {machine}\nnoise: {}", self.noise())?;
        for About { name, ready_after_ms, memory_mb } in contestants {
            writeln!(formatter, "{name}: ready after {ready_after_ms:.0} ms, {memory_mb:.1} MB resident")?;
        }
        for Comparison { protocol, rows, .. } in comparisons {
            for Row { contestant, figures } in rows {
                if let Some(error) = figures.as_ref().and_then(|figures| figures.first_error.as_ref()) {
                    writeln!(formatter, "\n{} of {contestant}: {error}", protocol.name())?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run over HTTP/3 that cost so many microseconds a request.
    fn outcome(server_cpu_us: f64) -> Outcome {
        Outcome {
            protocol: Protocol::H3,
            requests: 1,
            errors: 0,
            first_error: None,
            seconds: 1.0,
            rps: 1e6 / server_cpu_us,
            p50_us: 1.0,
            p99_us: 1.0,
            p999_us: 1.0,
            server_cpu_us,
            server_busy: 1.0,
        }
    }

    /// Two rounds: the second one on a machine that is half as fast, and a peer that has no HTTP/3.
    fn comparison() -> Comparison {
        let round = |slower: f64| vec![Some(outcome(8.0 * slower)), Some(outcome(4.0 * slower)), None];
        Comparison::new(Protocol::H3, &["floor", "gateway", "peer"], 1, &[round(1.0), round(2.0)])
    }

    #[test]
    fn ratios_are_made_within_a_round_so_that_a_slower_one_does_not_show() {
        let Comparison { rows, noise, .. } = comparison();
        let floor = rows[0].figures.as_ref().expect("the floor speaks everything");
        assert_eq!((floor.cpu_us.min, floor.cpu_us.max), (8.0, 16.0));
        let ratio = floor.cpu_ratio.expect("it is not the subject");
        assert_eq!((ratio.min, ratio.median, ratio.max), (0.5, 0.5, 0.5));
        assert_eq!(floor.rps_ratio.map(|ratio| ratio.median), Some(2.0));
        assert!(rows[1].figures.as_ref().is_some_and(|gateway| gateway.cpu_ratio.is_none()));
        assert_eq!((noise.min, noise.max), (8.0 / 12.0, 16.0 / 12.0));
    }

    #[test]
    fn a_contestant_that_does_not_speak_a_protocol_is_shown_as_such() {
        let about = |name: &str| About { name: name.to_owned(), ready_after_ms: 1.0, memory_mb: 1.0 };
        let report = Report {
            machine: Machine::describe(),
            floor: "floor".to_owned(),
            subject: "gateway".to_owned(),
            rounds: 2,
            requests: 1,
            contestants: ["floor", "gateway", "peer"].map(about).into(),
            comparisons: vec![comparison()],
        };
        let text = report.to_string();
        let peer = text.lines().find(|line| line.contains(" peer ")).unwrap_or_default();
        assert!(peer.split_whitespace().filter(|&word| word == "-").count() == 4, "{text}");
        assert!(text.contains("h3 −33 to +33 %"), "{text}");
        let plot = super::super::plot::svg(&report).unwrap_or_default();
        assert!(plot.contains("(gateway ÷ it: 0.50)") && !plot.contains(">peer<"), "{plot}");
    }
}
