//! What can be measured of a contestant, and what one measurement came to.

use std::collections::BTreeMap;

use clap::ValueEnum;
use clap::builder::PossibleValue;
use serde::Serialize;

use crate::options::Common;

/// Something that is measured of every contestant over every protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Figure {
    /// CPU time of the server and requests per second, as fast as they are answered.
    Cpu,
    /// User instructions and allocations per request, counted once (callgrind).
    Instructions,
    /// System calls per request under load (strace).
    SystemCalls,
    /// Latency at a fixed rate, in an open loop.
    Latency,
    /// CPU time of a new connection, by a whole handshake and by a resumed one.
    Handshakes,
    /// Resident memory of an idle connection.
    Memory,
}

/// One figure or all of them, on the command line.
#[derive(Clone, Copy, Debug)]
pub enum Choice {
    /// Every figure.
    All,
    /// This one.
    One(Figure),
}

impl ValueEnum for Choice {
    fn value_variants<'a>() -> &'a [Self] {
        &[
            Self::One(Figure::Cpu),
            Self::One(Figure::Instructions),
            Self::One(Figure::SystemCalls),
            Self::One(Figure::Latency),
            Self::One(Figure::Handshakes),
            Self::One(Figure::Memory),
            Self::All,
        ]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        match self {
            Self::One(figure) => figure.to_possible_value(),
            Self::All => Some(PossibleValue::new("all").help("Every one of them")),
        }
    }
}

impl Figure {
    /// Those that were chosen, each once and in the usual order.
    pub(super) fn chosen(choices: &[Choice]) -> Vec<Self> {
        let is_chosen = |figure: &Self| {
            choices.iter().any(|choice| match choice {
                Choice::All => true,
                Choice::One(one) => one == figure,
            })
        };
        Self::value_variants().iter().copied().filter(is_chosen).collect()
    }

    /// The name on the command line and in reports.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Instructions => "instructions",
            Self::SystemCalls => "system-calls",
            Self::Latency => "latency",
            Self::Handshakes => "handshakes",
            Self::Memory => "memory",
        }
    }

    /// Its numbers, the one that shows the noise first.
    pub(super) fn metrics(self) -> &'static [Metric] {
        match self {
            Self::Cpu => &[CPU, REQUESTS_PER_SECOND, BUSY],
            Self::Instructions => &[INSTRUCTIONS, ALLOCATIONS],
            Self::SystemCalls => &[SYSTEM_CALLS],
            Self::Latency => &[P50, P99, P999, RATE],
            Self::Handshakes => &[HANDSHAKE_FULL, HANDSHAKE_RESUMED],
            Self::Memory => &[CONNECTION],
        }
    }

    /// Rounds: many where the machine's mood shows. What is counted does not depend on it, and takes long.
    pub(super) fn rounds(self, common: &Common) -> u32 {
        match self {
            Self::Cpu => common.rounds(41),
            Self::Instructions => 1,
            Self::SystemCalls | Self::Memory => common.rounds(3),
            Self::Latency => common.rounds(7),
            Self::Handshakes => common.rounds(15),
        }
    }
}

/// One number of a figure.
#[derive(Debug)]
pub(super) struct Metric {
    /// In JSON, with the unit.
    pub(super) key: &'static str,
    /// In tables and plots, with the unit.
    pub(super) title: &'static str,
    /// Behind the decimal point.
    pub(super) digits: usize,
    /// Whether contestants are compared by it, and not only described.
    pub(super) is_compared: bool,
}

impl Metric {
    const fn new(key: &'static str, title: &'static str, digits: usize) -> Self {
        Self { key, title, digits, is_compared: true }
    }

    const fn described(key: &'static str, title: &'static str, digits: usize) -> Self {
        Self { is_compared: false, ..Self::new(key, title, digits) }
    }
}

pub(super) const CPU: Metric = Metric::new("cpu_us", "CPU per request, µs", 1);
pub(super) const REQUESTS_PER_SECOND: Metric = Metric::new("requests_per_second", "requests per second", 0);
/// Below 100 the load could not keep the server busy, and requests per second are the load's own figure.
pub(super) const BUSY: Metric = Metric::described("busy_percent", "busy, %", 0);
pub(super) const INSTRUCTIONS: Metric = Metric::new("instructions", "user instructions per request", 0);
pub(super) const ALLOCATIONS: Metric = Metric::new("allocations", "allocations per request", 2);
pub(super) const SYSTEM_CALLS: Metric = Metric::new("system_calls", "system calls per request", 2);
pub(super) const P50: Metric = Metric::new("p50_us", "p50 at a fixed rate, µs", 0);
pub(super) const P99: Metric = Metric::new("p99_us", "p99 at a fixed rate, µs", 0);
pub(super) const P999: Metric = Metric::new("p999_us", "p99.9 at a fixed rate, µs", 0);
pub(super) const RATE: Metric = Metric::described("rate_per_second", "rate, per s", 0);
pub(super) const HANDSHAKE_FULL: Metric = Metric::new("handshake_full_us", "CPU of a new connection, µs", 0);
pub(super) const HANDSHAKE_RESUMED: Metric =
    Metric::new("handshake_resumed_us", "CPU of a resumed connection, µs", 0);
pub(super) const CONNECTION: Metric = Metric::new("connection_kib", "memory of an idle connection, KiB", 1);

/// What one measurement of one contestant came to.
#[derive(Clone, Debug, Default)]
pub(super) struct Sample {
    /// By [`Metric::key`].
    pub(super) values: BTreeMap<&'static str, f64>,
    /// What the numbers are made up of.
    pub(super) details: Vec<Detail>,
    /// Why a number is missing.
    pub(super) missing: Option<String>,
    /// Requests that were not answered as they should be, and the first reason.
    pub(super) errors: u64,
    pub(super) first_error: Option<String>,
}

/// A part of a number.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Detail {
    /// Of what it is a part.
    pub(super) of: &'static str,
    pub(super) name: String,
    pub(super) value: f64,
    /// With all that it called, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) inclusive: Option<f64>,
}

impl Sample {
    /// No numbers, for this reason.
    pub(super) fn missing(why: impl Into<String>) -> Self {
        Self { missing: Some(why.into()), ..Self::default() }
    }

    /// Adds a number.
    pub(super) fn with(mut self, metric: &Metric, value: f64) -> Self {
        self.values.insert(metric.key, value);
        self
    }

    /// A number, if it was measured.
    pub(super) fn value(&self, metric: &Metric) -> Option<f64> {
        self.values.get(metric.key).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_every_figure_and_each_is_chosen_once() {
        let parse = |text: &str| {
            let choices: Result<Vec<Choice>, String> =
                text.split(',').map(|name| Choice::from_str(name, false)).collect();
            choices.map(|choices| Figure::chosen(&choices))
        };
        assert_eq!(parse("all"), Ok(Figure::value_variants().to_vec()));
        assert_eq!(parse("memory,cpu,memory"), Ok(vec![Figure::Cpu, Figure::Memory]));
        assert!(parse("everything").is_err());
    }

    #[test]
    fn names_are_those_of_the_command_line_and_every_figure_is_a_choice() {
        let choices = Choice::value_variants().len();
        assert_eq!(choices, Figure::value_variants().len() + 1);
        for figure in Figure::value_variants() {
            let value = figure.to_possible_value().expect("none is skipped");
            assert_eq!(value.get_name(), figure.name());
        }
    }

    #[test]
    fn no_two_numbers_have_the_same_key() {
        let metrics = Figure::value_variants().iter().flat_map(|figure| figure.metrics());
        let mut keys: Vec<&str> = metrics.map(|metric| metric.key).collect();
        let count = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), count);
    }
}
