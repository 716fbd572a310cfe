//! The `process_*` metrics, with the names and units of Prometheus' own client libraries.

use std::fmt::Write as _;

use procfs::process::{LimitValue, Process};
use procfs::{ProcResult, WithCurrentSystemInfo as _};

/// The metrics in Prometheus' text format; empty where `/proc` cannot be read.
pub(super) fn render() -> String {
    read().unwrap_or_default()
}

#[expect(clippy::cast_precision_loss, reason = "ticks of a process's lifetime are exact in a double")]
fn read() -> ProcResult<String> {
    let process = Process::myself()?;
    let stat = process.stat()?;
    let ticks = procfs::ticks_per_second() as f64;
    let cpu = (stat.utime + stat.stime) as f64 / ticks;
    let started = procfs::boot_time_secs()? as f64 + stat.starttime as f64 / ticks;
    let resident = stat.rss_bytes().get();
    let open = process.fd_count()?;
    let max = match process.limits()?.max_open_files.soft_limit {
        LimitValue::Value(max) => max.to_string(),
        LimitValue::Unlimited => "+Inf".to_owned(),
    };
    let metrics = [
        (
            "process_cpu_seconds_total",
            "counter",
            "Total user and system CPU time spent in seconds.",
            cpu.to_string(),
        ),
        ("process_resident_memory_bytes", "gauge", "Resident memory size in bytes.", resident.to_string()),
        ("process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes.", stat.vsize.to_string()),
        ("process_open_fds", "gauge", "Number of open file descriptors.", open.to_string()),
        ("process_max_fds", "gauge", "Maximum number of open file descriptors.", max),
        (
            "process_start_time_seconds",
            "gauge",
            "Start time of the process since unix epoch in seconds.",
            started.to_string(),
        ),
        ("process_threads", "gauge", "Number of OS threads in the process.", stat.num_threads.to_string()),
    ];
    let mut text = String::new();
    for (name, kind, help, value) in metrics {
        // Writing to a string cannot fail.
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n\n");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock as _, SystemClock};

    #[test]
    fn the_values_are_those_of_this_process() {
        let text = read().unwrap();
        let value = |name: &str| -> f64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
        };
        assert!(value("process_threads") >= 1.0);
        assert!(value("process_open_fds") >= 1.0);
        assert!(value("process_max_fds") >= value("process_open_fds"));
        assert!(value("process_virtual_memory_bytes") > value("process_resident_memory_bytes"));
        let age = SystemClock.now().as_second() as f64 - value("process_start_time_seconds");
        assert!((-5.0..86_400.0).contains(&age), "started {age} s ago");
        assert!(value("process_cpu_seconds_total") >= 0.0);
    }
}
