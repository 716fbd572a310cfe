//! System calls per request under load: strace counts those of a short and of a long run.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::Run;
use super::figure::{Detail, SYSTEM_CALLS, Sample};
use crate::protocol::Protocol;
use crate::stage::{Stage, Subject};

/// Requests of the short run.
const REQUESTS: u64 = 5_000;
/// The second run has so many times the requests of the first.
const LONG_RUN: u64 = 5;
const SMOKE_REQUESTS: u64 = 200;
/// How long strace may take to attach itself or to let go.
const STRACE_TIMEOUT: Duration = Duration::from_secs(10);
const STRACE_INTERVAL: Duration = Duration::from_millis(20);
/// Calls below this are not shown by name.
const SHOWN_MIN: f64 = 0.005;

/// How often each system call was made.
type Calls = BTreeMap<String, f64>;

/// Whether strace is there.
pub(super) fn check_tool() -> anyhow::Result<()> {
    match Command::new("strace").arg("--version").stdout(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        _ => bail!("strace is needed; install it with: apt-get install strace"),
    }
}

/// How it is measured.
pub(super) fn describe(run: &Run<'_>) -> String {
    let requests = requests(run);
    format!("strace under load, by runs of {requests} and {} requests", requests * LONG_RUN)
}

pub(super) async fn sample(run: &Run<'_>, place: usize, protocol: Protocol) -> anyhow::Result<Sample> {
    let calls = request(&run.stage, &run.subjects[place], protocol, requests(run)).await?;
    let in_all = calls.values().sum();
    let shown = calls.into_iter().filter(|(_, calls)| *calls >= SHOWN_MIN);
    let detail = |(name, value)| Detail { of: "system calls", name, value, inclusive: None };
    Ok(Sample { details: shown.map(detail).collect(), ..Sample::default() }.with(&SYSTEM_CALLS, in_all))
}

fn requests(run: &Run<'_>) -> u64 {
    run.options.common.requests(REQUESTS, SMOKE_REQUESTS)
}

/// What one request takes, by the difference of two runs.
async fn request(
    stage: &Stage,
    subject: &Subject,
    protocol: Protocol,
    requests: u64,
) -> anyhow::Result<Calls> {
    let short = run(stage, subject, protocol, requests).await?;
    let long = run(stage, subject, protocol, requests * LONG_RUN).await?;
    #[expect(clippy::cast_precision_loss, reason = "no run comes near 2^53 requests")]
    let more = (requests * (LONG_RUN - 1)) as f64;
    let before = |name: &String| short.get(name).copied().unwrap_or(0.0);
    Ok(long.iter().map(|(name, calls)| (name.clone(), (calls - before(name)) / more)).collect())
}

async fn run(stage: &Stage, subject: &Subject, protocol: Protocol, requests: u64) -> anyhow::Result<Calls> {
    let file = stage.file("strace");
    let mut strace = tokio::process::Command::new("strace")
        .args(["--follow-forks", "--summary-only", "--output"])
        .arg(&file)
        .args(["--attach", &subject.pid().to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("cannot run strace")?;
    attached(subject.pid()).await?;
    let load = [("requests", requests.to_string()), ("warm-up", "100".to_owned())];
    stage.load(subject, protocol, &load).await?;
    let pid = strace.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    kill_process(pid.context("strace ended too early")?, Signal::INT)?;
    tokio::time::timeout(STRACE_TIMEOUT, strace.wait()).await.context("strace did not end")??;
    parse(&std::fs::read_to_string(&file).context("strace wrote nothing")?)
}

/// Waits until every thread is traced.
async fn attached(pid: u32) -> anyhow::Result<()> {
    let deadline = Instant::now() + STRACE_TIMEOUT;
    let is_traced = |thread: std::fs::DirEntry| {
        let status = std::fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        !status.lines().any(|line| line.starts_with("TracerPid:") && line.ends_with("\t0"))
    };
    while !std::fs::read_dir(format!("/proc/{pid}/task"))?.flatten().all(is_traced) {
        ensure!(Instant::now() < deadline, "strace did not attach to process {pid}; is that allowed here?");
        tokio::time::sleep(STRACE_INTERVAL).await;
    }
    Ok(())
}

/// The table of `strace --summary-only`: the fourth column is how often, the last one is the name.
fn parse(text: &str) -> anyhow::Result<Calls> {
    let mut calls = Calls::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let (Some(count), Some(&name)) = (words.get(3).and_then(|word| word.parse().ok()), words.last())
        else {
            continue;
        };
        if name != "total" {
            calls.insert(name.to_owned(), count);
        }
    }
    ensure!(!calls.is_empty(), "strace counted nothing");
    Ok(calls)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read_with_and_without_errors() -> anyhow::Result<()> {
        let calls = parse(
            "% time     seconds  usecs/call     calls    errors syscall\n\
             ------ ----------- ----------- --------- --------- ----------------\n \
             61.36    0.337074          16     21000           sendto\n  \
             0.02    0.000091           2        33         1 accept4\n\
             ------ ----------- ----------- --------- --------- ----------------\n\
             100.00    0.549316          12     21033         1 total\n",
        )?;
        assert_eq!(calls, Calls::from([("sendto".to_owned(), 21_000.0), ("accept4".to_owned(), 33.0)]));
        assert!(parse("").is_err());
        Ok(())
    }
}
