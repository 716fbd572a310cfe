//! Where it was measured, and what else the machine was doing.

use std::fmt;
use std::fs;
use std::thread::available_parallelism;

use serde::Serialize;

/// The machine as it was when the comparison began.
#[derive(Debug, Serialize)]
pub(super) struct Machine {
    processor: String,
    cores: usize,
    kernel: String,
    /// Tasks that ran or waited to, on average over the last minute before the first round.
    load_average: f64,
}

impl Machine {
    /// What the kernel does not say stays empty or 0.
    pub(super) fn describe() -> Self {
        let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        let average = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Self {
            processor: model.map_or("unknown processor", |(_, name)| name.trim()).to_owned(),
            cores: available_parallelism().map_or(0, usize::from),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
            load_average: average.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0.0),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { processor, cores, kernel, load_average } = self;
        write!(formatter, "{processor}, {cores} cores, Linux {kernel}, load average {load_average:.1}")
    }
}
