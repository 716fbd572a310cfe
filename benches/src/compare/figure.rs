//! The figures that can be measured of a contestant, and the numbers that each one has.

use std::collections::BTreeMap;

use clap::ValueEnum;

use crate::load::Load;
use crate::options::Common;
use crate::protocol::Protocol;

/// A figure that is measured of every contestant over every protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Figure {
    /// CPU time of the server and requests per second, as fast as they are answered.
    Cpu,
    /// User instructions and allocations per request, counted once by callgrind.
    Instructions,
    /// System calls per request under load, counted by strace.
    SystemCalls,
    /// Latency at a fixed rate, in an open loop.
    Latency,
    /// CPU time of a new connection, by a full handshake and by a resumed one.
    Handshakes,
    /// Resident memory of an idle connection.
    Memory,
    /// CPU time and growth of the memory while a response of 1 GiB is streamed.
    Stream,
    /// All of them.
    All,
}

impl Figure {
    /// The chosen figures, each once and in the order of the reports.
    pub(super) fn expand(chosen: &[Self]) -> Vec<Self> {
        let is_chosen = |figure: &Self| chosen.iter().any(|one| one == figure || *one == Self::All);
        Self::value_variants()
            .iter()
            .copied()
            .filter(|&figure| figure != Self::All && is_chosen(&figure))
            .collect()
    }

    /// The name in reports, that of the command line.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Instructions => "instructions",
            Self::SystemCalls => "system-calls",
            Self::Latency => "latency",
            Self::Handshakes => "handshakes",
            Self::Memory => "memory",
            Self::Stream => "stream",
            Self::All => "all",
        }
    }

    pub(super) const fn metrics(self) -> &'static [Metric] {
        match self {
            Self::Cpu => &[CPU, REQUESTS_PER_SECOND, BUSY],
            Self::Instructions => &[INSTRUCTIONS, ALLOCATIONS],
            Self::SystemCalls => &[SYSTEM_CALLS],
            Self::Latency => &[P50, P99, P999, RATE],
            Self::Handshakes => &[HANDSHAKE_FULL, HANDSHAKE_RESUMED],
            Self::Memory => &[CONNECTION],
            Self::Stream => &[STREAM_CPU, STREAM_MEMORY, STREAM_RATE],
            Self::All => &[],
        }
    }

    /// Whether the load makes a difference.
    pub(super) const fn depends_on_load(self) -> bool {
        !matches!(self, Self::Handshakes | Self::Memory | Self::Stream)
    }

    /// The loads that it is measured with.
    pub(super) fn loads(self, chosen: &[Load]) -> &[Load] {
        match self {
            _ if !self.depends_on_load() => &[Load::Varied],
            _ if !chosen.is_empty() => chosen,
            Self::Cpu => &[Load::Varied, Load::Repeated],
            _ => &[Load::Varied],
        }
    }

    /// Rounds: many for what the machine disturbs, few for what is counted.
    pub(super) fn rounds(self, common: &Common) -> u32 {
        match self {
            Self::Cpu => common.rounds(41),
            Self::Instructions | Self::All => 1,
            Self::SystemCalls | Self::Memory | Self::Stream => common.rounds(3),
            Self::Latency => common.rounds(7),
            Self::Handshakes => common.rounds(15),
        }
    }
}

/// A figure under a load over a protocol.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Case {
    pub(super) figure: Figure,
    pub(super) load: Load,
    pub(super) protocol: Protocol,
}

impl Case {
    /// The figure and its load.
    pub(super) fn title(self) -> String {
        let Self { figure, load, .. } = self;
        let load = if figure.depends_on_load() { format!(", {} load", load.name()) } else { String::new() };
        format!("{}{load}", figure.name())
    }
}

/// A number of a figure, by its title with the unit.
#[derive(Debug)]
pub(super) struct Metric {
    pub(super) title: &'static str,
    /// Behind the decimal point.
    pub(super) digits: usize,
    /// Whether contestants are compared by it.
    pub(super) is_compared: bool,
}

impl Metric {
    const fn new(title: &'static str, digits: usize) -> Self {
        Self { title, digits, is_compared: true }
    }

    const fn context(title: &'static str, digits: usize) -> Self {
        Self { title, digits, is_compared: false }
    }
}

pub(super) const CPU: Metric = Metric::new("CPU per request, µs", 1);
pub(super) const REQUESTS_PER_SECOND: Metric = Metric::new("requests per second", 0);
/// Below 100 the load did not keep the server busy, and requests per second are the load's figure.
pub(super) const BUSY: Metric = Metric::context("busy, %", 0);
pub(super) const INSTRUCTIONS: Metric = Metric::new("user instructions per request", 0);
pub(super) const ALLOCATIONS: Metric = Metric::new("allocations per request", 2);
pub(super) const SYSTEM_CALLS: Metric = Metric::new("system calls per request", 2);
pub(super) const P50: Metric = Metric::new("p50 at a fixed rate, µs", 0);
pub(super) const P99: Metric = Metric::new("p99 at a fixed rate, µs", 0);
pub(super) const P999: Metric = Metric::new("p99.9 at a fixed rate, µs", 0);
pub(super) const RATE: Metric = Metric::context("rate, per s", 0);
pub(super) const HANDSHAKE_FULL: Metric = Metric::new("CPU of a new connection, µs", 0);
pub(super) const HANDSHAKE_RESUMED: Metric = Metric::new("CPU of a resumed connection, µs", 0);
pub(super) const CONNECTION: Metric = Metric::new("memory of an idle connection, KiB", 1);
pub(super) const STREAM_CPU: Metric = Metric::new("CPU per GiB, ms", 0);
pub(super) const STREAM_MEMORY: Metric = Metric::context("memory grew by, KiB", 0);
pub(super) const STREAM_RATE: Metric = Metric::context("MiB per second", 0);

/// One measurement of one contestant.
#[derive(Clone, Debug, Default)]
pub(super) struct Sample {
    /// By the metric's title.
    pub(super) values: BTreeMap<&'static str, f64>,
    /// What the numbers are made up of.
    pub(super) details: Vec<Detail>,
    /// Why a number is missing or wrong.
    pub(super) note: Option<String>,
    /// Whether something failed that should work.
    pub(super) failed: bool,
}

/// A part of a number.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Detail {
    /// What it is a part of.
    pub(super) of: &'static str,
    pub(super) name: String,
    pub(super) value: f64,
    /// Instructions with those of the called functions.
    pub(super) inclusive: Option<f64>,
}

impl Sample {
    /// No numbers, because the contestant cannot be measured.
    pub(super) fn impossible(why: impl Into<String>) -> Self {
        Self { note: Some(why.into()), ..Self::default() }
    }

    /// No numbers, because of an error.
    pub(super) fn failure(error: &anyhow::Error) -> Self {
        Self { note: Some(format!("{error:#}")), failed: true, ..Self::default() }
    }

    /// Adds a number.
    pub(super) fn with(mut self, metric: &Metric, value: f64) -> Self {
        self.values.insert(metric.title, value);
        self
    }

    /// A number, if it was measured.
    pub(super) fn value(&self, metric: &Metric) -> Option<f64> {
        self.values.get(metric.title).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_every_figure_and_each_is_chosen_once() {
        let all = Figure::expand(&[Figure::All]);
        assert_eq!(all.len() + 1, Figure::value_variants().len());
        let chosen = Figure::expand(&[Figure::Memory, Figure::Cpu, Figure::Memory]);
        assert_eq!(chosen, [Figure::Cpu, Figure::Memory]);
        for figure in Figure::value_variants() {
            assert!(figure.to_possible_value().is_some_and(|value| value.get_name() == figure.name()));
        }
    }
}
