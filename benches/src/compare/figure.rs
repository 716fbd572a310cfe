//! The figures that can be measured of a contestant, and the numbers that each one has.

use clap::ValueEnum;

use crate::options::Common;

/// A figure that is measured of every contestant over every protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Figure {
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
}

impl Figure {
    /// Its numbers in the order of a sample's values: the title with the unit, and the digits behind the decimal point.
    pub(super) const fn metrics(self) -> &'static [(&'static str, usize)] {
        match self {
            // If less than 100 % is busy, the load did not keep up, and requests per second are the load's figure.
            Self::Cpu => &[("CPU per request, µs", 1), ("requests per second", 0), ("busy, %", 0)],
            Self::Instructions => &[("user instructions per request", 0), ("allocations per request", 2)],
            Self::SystemCalls => &[("system calls per request", 2)],
            Self::Latency => &[("p99.9 at a fixed rate, µs", 0)],
            Self::Handshakes => &[("CPU of a new connection, µs", 0), ("of a resumed one, µs", 0)],
            Self::Memory => &[("memory of an idle connection, KiB", 1)],
            Self::Stream => &[("CPU per GiB, ms", 0), ("memory grew by, KiB", 0)],
        }
    }

    /// Rounds: many for what the machine disturbs, few for what is counted.
    pub(super) fn rounds(self, common: &Common) -> u32 {
        let default = match self {
            Self::Cpu => 41,
            Self::Instructions => return 1,
            Self::SystemCalls | Self::Memory | Self::Stream => 3,
            Self::Latency => 7,
            Self::Handshakes => 15,
        };
        if common.smoke { 1 } else { common.rounds.unwrap_or(default) }
    }
}

/// One measurement of one contestant.
#[derive(Clone, Debug, Default)]
pub(super) struct Sample {
    /// In the order of the figure's metrics.
    pub(super) values: Vec<Option<f64>>,
    /// The functions with the most instructions.
    pub(super) functions: Vec<(String, f64)>,
    /// Why a number is missing.
    pub(super) note: Option<String>,
    /// Whether something failed that should work.
    pub(super) failed: bool,
}

impl Sample {
    /// All numbers of a figure.
    pub(super) fn of<const N: usize>(values: [f64; N]) -> Self {
        Self { values: values.map(Some).to_vec(), ..Self::default() }
    }

    /// No numbers, because the contestant cannot be measured.
    pub(super) fn impossible(why: &str) -> Self {
        Self { note: Some(why.to_owned()), ..Self::default() }
    }

    /// No numbers, because of an error.
    pub(super) fn failure(error: &anyhow::Error) -> Self {
        Self { note: Some(format!("{error:#}")), failed: true, ..Self::default() }
    }
}
