//! What the kernel says about processes: CPU time, memory, children, cores.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::Context as _;
use procfs::process::{Process, all_processes};

/// Nanoseconds of one tick of `/proc/PID/stat`: `USER_HZ` is 100 on every Linux that runs Rust.
const TICK_NANOS: u64 = 10_000_000;
/// Written to `clear_refs`, it sets the peak of the resident memory to what is resident now (proc_pid_clear_refs(5)).
const RESET_PEAK: &str = "5";

/// The CPU time that a process had used at one moment.
#[derive(Clone, Debug)]
pub(crate) struct CpuTime {
    /// Nanoseconds of each thread that was alive.
    threads: BTreeMap<i32, u64>,
    /// User and system time of the process, ended threads included, in ticks.
    ticks: u64,
}

impl CpuTime {
    /// Reads the CPU time of a process.
    pub(crate) fn of(pid: u32) -> anyhow::Result<Self> {
        let process = process(pid)?;
        let stat = process.stat()?;
        // `schedstat` of the process holds its first thread only, so each thread is read. A thread that ends meanwhile
        // is missing here, which `since` notices.
        let tasks = process.tasks()?.flatten();
        let threads =
            tasks.filter_map(|task| Some((task.tid, task.schedstat().ok()?.sum_exec_runtime))).collect();
        Ok(Self { threads, ticks: stat.utime + stat.stime })
    }

    /// The time used since an earlier reading of the same process.
    ///
    /// Exact to the nanosecond, unless a thread ended in between (its figure is gone with it) or the kernel keeps no
    /// `schedstat`; then in ticks of 10 ms.
    #[must_use]
    pub(crate) fn since(&self, earlier: &Self) -> Duration {
        let complete = earlier.threads.keys().all(|thread| self.threads.contains_key(thread));
        let before = |thread: &i32| earlier.threads.get(thread).copied().unwrap_or(0);
        let nanos: u64 =
            self.threads.iter().map(|(thread, nanos)| nanos.saturating_sub(before(thread))).sum();
        if complete && nanos > 0 {
            return Duration::from_nanos(nanos);
        }
        Duration::from_nanos(self.ticks.saturating_sub(earlier.ticks) * TICK_NANOS)
    }
}

/// The resident memory of a process now, in bytes.
pub(crate) fn memory_bytes(pid: u32) -> anyhow::Result<u64> {
    Ok(process(pid)?.status()?.vmrss.context("the kernel reports no resident memory")? * 1024)
}

/// The greatest resident memory of a process since [`reset_peak_memory`], in bytes.
pub(crate) fn peak_memory_bytes(pid: u32) -> anyhow::Result<u64> {
    Ok(process(pid)?.status()?.vmhwm.context("the kernel reports no peak of the memory")? * 1024)
}

/// Begins a new measurement of [`peak_memory_bytes`].
pub(crate) fn reset_peak_memory(pid: u32) -> anyhow::Result<()> {
    fs::write(format!("/proc/{pid}/clear_refs"), RESET_PEAK).context("cannot reset the peak of the memory")
}

/// The running processes that a process started.
pub(crate) fn children(pid: u32) -> anyhow::Result<Vec<i32>> {
    let stats = all_processes()?.flatten().filter_map(|process| process.stat().ok());
    Ok(stats.filter(|stat| u32::try_from(stat.ppid) == Ok(pid)).map(|stat| stat.pid).collect())
}

/// The cores that this process may use.
pub(crate) fn allowed_cores() -> anyhow::Result<Vec<u32>> {
    let ranges = Process::myself()?.status()?.cpus_allowed_list.context("the kernel lists no cores")?;
    Ok(ranges.into_iter().flat_map(|(first, last)| first..=last).collect())
}

/// Whether every thread of a process is being traced.
pub(crate) fn is_traced(pid: u32) -> anyhow::Result<bool> {
    Ok(process(pid)?.tasks()?.flatten().all(|task| task.status().is_ok_and(|status| status.tracerpid != 0)))
}

fn process(pid: u32) -> anyhow::Result<Process> {
    Process::new(i32::try_from(pid)?).with_context(|| format!("process {pid} is not running"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_thread_ended_the_time_is_in_ticks() {
        let before = CpuTime { threads: BTreeMap::from([(1, 500), (2, 900)]), ticks: 10 };
        let grown = CpuTime { threads: BTreeMap::from([(1, 700), (2, 900), (3, 50)]), ticks: 11 };
        let ended = CpuTime { threads: BTreeMap::from([(1, 700)]), ticks: 12 };
        assert_eq!(grown.since(&before), Duration::from_nanos(250));
        assert_eq!(ended.since(&before), Duration::from_millis(20));
    }

    #[test]
    fn this_process_uses_time_memory_and_cores() -> anyhow::Result<()> {
        let pid = std::process::id();
        let before = CpuTime::of(pid)?;
        let mut sum = 0_u64;
        for number in 0..20_000_000_u64 {
            sum = std::hint::black_box(sum.wrapping_add(number));
        }
        // The kernel updates a running thread's figure when the thread yields.
        std::thread::sleep(Duration::from_millis(20));
        assert!(CpuTime::of(pid)?.since(&before) > Duration::ZERO, "{sum}");
        assert!(memory_bytes(pid)? > 0 && !allowed_cores()?.is_empty() && !is_traced(pid)?);
        Ok(())
    }

    #[test]
    fn a_process_is_a_child_of_the_one_that_started_it() -> anyhow::Result<()> {
        let mut child = std::process::Command::new("sleep").arg("60").spawn()?;
        let found = children(std::process::id());
        child.kill()?;
        child.wait()?;
        assert!(found?.contains(&i32::try_from(child.id())?));
        Ok(())
    }
}
