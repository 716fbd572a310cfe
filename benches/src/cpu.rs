//! The CPU time of another process, from `/proc`.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::Context as _;

/// Nanoseconds of one tick of `/proc/PID/stat`: `USER_HZ` is 100 on every Linux that runs Rust.
const TICK_NANOS: u64 = 10_000_000;

/// What a process had used at one moment.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Nanoseconds of each thread that was alive (`schedstat`, first number).
    threads: BTreeMap<u32, u64>,
    /// User and system time of the process, ended threads included, in ticks.
    ticks: u64,
}

impl Reading {
    /// Reads the figures of a process.
    ///
    /// # Errors
    /// If there is no such process.
    pub fn take(pid: u32) -> anyhow::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))
            .with_context(|| format!("process {pid} is not running"))?;
        let ticks = ticks(&stat).with_context(|| format!("/proc/{pid}/stat has an unknown form"))?;
        let mut threads = BTreeMap::new();
        // The file of the process itself holds its first thread only, so each thread is asked. One that
        // ends meanwhile is left out here and then noticed in `since`.
        for entry in fs::read_dir(format!("/proc/{pid}/task"))?.flatten() {
            let Some(thread) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let Ok(text) = fs::read_to_string(entry.path().join("schedstat")) else { continue };
            if let Some(nanos) = text.split_ascii_whitespace().next().and_then(|word| word.parse().ok()) {
                threads.insert(thread, nanos);
            }
        }
        Ok(Self { threads, ticks })
    }

    /// The time used since an earlier reading of the same process.
    ///
    /// Exact to the nanosecond, unless a thread ended in between (it takes its figure with it) or the
    /// kernel keeps none; then it is counted in ticks of 10 ms.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Duration {
        let complete = earlier.threads.keys().all(|thread| self.threads.contains_key(thread));
        let before = |thread: &u32| earlier.threads.get(thread).copied().unwrap_or(0);
        let nanos: u64 =
            self.threads.iter().map(|(thread, nanos)| nanos.saturating_sub(before(thread))).sum();
        if complete && nanos > 0 {
            return Duration::from_nanos(nanos);
        }
        Duration::from_nanos(self.ticks.saturating_sub(earlier.ticks) * TICK_NANOS)
    }
}

/// `utime` and `stime`, the 14th and 15th field. The second is the program's name in parentheses and may
/// hold blanks and parentheses itself, so the count begins behind the last one.
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194304 95 0 0 0 250 31 0 0 20 0 1 0 9 9 9";
        assert_eq!(ticks(stat), Some(281));
        assert_eq!(ticks("no parentheses"), None);
    }

    #[test]
    fn a_thread_that_ended_makes_it_count_in_ticks() {
        let before = Reading { threads: BTreeMap::from([(1, 500), (2, 900)]), ticks: 10 };
        let grown = Reading { threads: BTreeMap::from([(1, 700), (2, 900), (3, 50)]), ticks: 11 };
        let ended = Reading { threads: BTreeMap::from([(1, 700)]), ticks: 12 };
        assert_eq!(grown.since(&before), Duration::from_nanos(250));
        assert_eq!(ended.since(&before), Duration::from_millis(20));
    }

    #[test]
    fn this_process_uses_time() -> anyhow::Result<()> {
        let before = Reading::take(std::process::id())?;
        let mut sum = 0_u64;
        for number in 0..20_000_000_u64 {
            sum = std::hint::black_box(sum.wrapping_add(number));
        }
        // The kernel brings a running thread's figure up to date when it gives way.
        std::thread::sleep(Duration::from_millis(20));
        assert!(Reading::take(std::process::id())?.since(&before) > Duration::ZERO, "{sum}");
        Ok(())
    }
}
