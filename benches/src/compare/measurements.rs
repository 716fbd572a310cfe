//! How each figure is measured, once and of one contestant.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::figure::{
    ALLOCATIONS, BUSY, CONNECTION, CPU, Case, Detail, Figure, HANDSHAKE_FULL, HANDSHAKE_RESUMED,
    INSTRUCTIONS, P50, P99, P999, RATE, REQUESTS_PER_SECOND, STREAM_CPU, STREAM_MEMORY, STREAM_RATE,
    SYSTEM_CALLS, Sample,
};
use super::report::COMPARED;
use crate::callgrind::{self, LONG_RUN, Part};
use crate::contestant::{Contestant, Subject};
use crate::load::{Connected, Downloaded};
use crate::options::Common;
use crate::proc::{is_traced, memory_bytes};
use crate::protocol::Protocol;
use crate::runner::Runner;

/// Requests that a smoke run sends.
const SMOKE_REQUESTS: u64 = 200;
/// The requests per second of a smoke run, and where no contestant can be measured.
const SMOKE_RATE: u64 = 1_000;
/// Connections of a smoke run.
const SMOKE_CONNECTIONS: u32 = 20;
/// Requests before the clock starts are one in so many of the requests.
const WARM_UP_SHARE: u64 = 10;
/// Requests by which the highest rate of a server is estimated.
const ESTIMATE_REQUESTS: u64 = 10_000;
/// Requests of callgrind's short run; more take hours and change nothing.
const CALLGRIND_REQUESTS: u64 = 2_000;
/// Connections that are opened, those at the same time, and those that are held.
const CONNECTIONS: u32 = 400;
const CONNECTIONS_AT_A_TIME: u32 = 4;
const CONNECTIONS_HELD: u32 = 2_000;
/// Connections that ask for a session at the same time may get none.
const RESUMED_MIN: f64 = 0.95;
/// From the first held connection to the last.
const HOLD_TIMEOUT: Duration = Duration::from_secs(120);
/// How long strace may take to attach or to detach.
const STRACE_TIMEOUT: Duration = Duration::from_secs(10);
const STRACE_INTERVAL: Duration = Duration::from_millis(20);
/// Details below these are left out.
const INSTRUCTIONS_MIN: f64 = 0.5;
const CALLS_MIN: f64 = 0.005;

/// The options of the measurements.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct MeasurementOptions {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Latency: seconds of each run.
    #[arg(long, value_name = "NUMBER", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=400))]
    seconds: u64,
    /// Stream: the path of the gateway's streamed response; with `--gateway` for a program that has one.
    #[arg(long, value_name = "PATH")]
    stream_path: Option<String>,
    /// Instructions: functions to list for each contestant and protocol.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    functions: usize,
}

impl MeasurementOptions {
    /// Those of a comparison by CPU.
    pub(crate) fn cpu(common: &Common) -> Self {
        Self { common: common.clone(), seconds: 1, stream_path: None, functions: 0 }
    }
}

/// The contestants while rounds are made. Fields are dropped in this order: the servers end before their folder goes.
pub(super) struct Run<'a> {
    pub(super) subjects: Vec<Subject>,
    /// In the order of the report; the figures of the second are divided by those of each other.
    pub(super) contestants: Vec<Contestant>,
    pub(super) runner: Runner,
    pub(super) options: &'a MeasurementOptions,
}

impl<'a> Run<'a> {
    /// Starts all contestants on the same core and proves that each does its job.
    pub(super) async fn start(
        options: &'a MeasurementOptions,
        contestants: Vec<Contestant>,
    ) -> anyhow::Result<Self> {
        let mut runner = Runner::new()?;
        // Otherwise the load would take a core from one of them and not from the other.
        runner.load_is_alone &= contestants.iter().all(|contestant| contestant.cores() == 1);
        let protocols = &options.common.protocols;
        let mut subjects = Vec::new();
        for contestant in &contestants {
            let subject = runner.start(contestant, "compare", None).await?;
            for &protocol in protocols.iter().filter(|&&protocol| contestant.supports(protocol)) {
                let what = || format!("{} over {protocol}", contestant.name);
                runner.prove(&subject, protocol).await.with_context(what)?;
            }
            subjects.push(subject);
        }
        for &protocol in protocols {
            let Contestant { name, .. } = &contestants[COMPARED];
            ensure!(contestants[COMPARED].supports(protocol), "{name} does not support {protocol}");
        }
        Ok(Self { subjects, contestants, runner, options })
    }
}

impl Run<'_> {
    /// How a figure is measured, for its table's title.
    pub(super) fn method(&self, figure: Figure) -> String {
        let requests = self.requests(figure);
        let long = requests * LONG_RUN;
        match figure {
            Figure::Cpu => format!("{requests} requests each in a round, as fast as they are answered"),
            Figure::Instructions => format!("callgrind, by runs of {requests} and {long} requests"),
            Figure::SystemCalls => format!("strace under load, by runs of {requests} and {long} requests"),
            Figure::Latency => {
                format!("runs of {} s at the same fixed rate, in an open loop", self.seconds())
            }
            Figure::Handshakes => format!("{} connections with one request each", self.connections(figure)),
            Figure::Memory => format!(
                "resident memory with {} idle connections by that without, a new process each time",
                self.connections(figure)
            ),
            Figure::Stream => "a response of 1 GiB, from a new process each time".to_owned(),
            Figure::All => String::new(),
        }
    }

    /// Measures a figure of one contestant.
    pub(super) async fn measure(&self, case: Case, index: usize, rate: u64) -> anyhow::Result<Sample> {
        let subject = &self.subjects[index];
        match case.figure {
            Figure::Cpu => self.cpu(subject, case).await,
            Figure::Instructions => self.instructions(index, case).await,
            Figure::SystemCalls => self.system_calls(subject, case).await,
            Figure::Latency => self.latency(subject, case, rate).await,
            Figure::Handshakes => self.handshakes(subject, case.protocol).await,
            Figure::Memory => self.memory(index, case).await,
            Figure::Stream => self.stream(index, case.protocol).await,
            Figure::All => Ok(Sample::default()),
        }
    }

    fn requests(&self, figure: Figure) -> u64 {
        let common = &self.options.common;
        match figure {
            Figure::Instructions => {
                common.requests(CALLGRIND_REQUESTS, SMOKE_REQUESTS / 4).min(CALLGRIND_REQUESTS)
            }
            Figure::SystemCalls => common.requests(5_000, SMOKE_REQUESTS),
            _ => common.requests(8_000, SMOKE_REQUESTS),
        }
    }

    fn connections(&self, figure: Figure) -> u32 {
        match figure {
            _ if self.options.common.smoke => SMOKE_CONNECTIONS,
            Figure::Memory => CONNECTIONS_HELD,
            _ => CONNECTIONS,
        }
    }

    fn seconds(&self) -> u64 {
        if self.options.common.smoke { 1 } else { self.options.seconds }
    }

    async fn cpu(&self, subject: &Subject, Case { protocol, load, .. }: Case) -> anyhow::Result<Sample> {
        let requests = self.requests(Figure::Cpu);
        let warm_up = requests / WARM_UP_SHARE;
        let arguments = [("requests", requests.to_string()), ("warm-up", warm_up.to_string())];
        let outcome = self.runner.load(subject, protocol, load, &arguments).await?;
        Ok(Sample::default()
            .with(&CPU, outcome.server_cpu_us)
            .with(&REQUESTS_PER_SECOND, outcome.rps)
            .with(&BUSY, outcome.server_busy * 100.0))
    }

    /// The rate of the latency figure: half of what the slowest contestant can. One that fails here fails again when it
    /// is measured, and is reported then.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate is small and positive"
    )]
    pub(super) async fn rate(&self, Case { protocol, load, .. }: Case) -> u64 {
        let mut least = f64::INFINITY;
        let arguments = [("requests", ESTIMATE_REQUESTS.to_string())];
        for (contestant, subject) in self.contestants.iter().zip(&self.subjects) {
            if contestant.supports(protocol)
                && !self.options.common.smoke
                && let Ok(outcome) = self.runner.load(subject, protocol, load, &arguments).await
            {
                least = least.min(outcome.rps);
            }
        }
        if least.is_finite() { ((least / 2.0) as u64).max(1) } else { SMOKE_RATE }
    }

    async fn latency(
        &self,
        subject: &Subject,
        Case { protocol, load, .. }: Case,
        rate: u64,
    ) -> anyhow::Result<Sample> {
        let open = [("requests", (rate * self.seconds()).to_string()), ("rate", rate.to_string())];
        let outcome = self.runner.load(subject, protocol, load, &open).await?;
        Ok(Sample::default()
            .with(&P50, outcome.p50_us)
            .with(&P99, outcome.p99_us)
            .with(&P999, outcome.p999_us)
            .with(&RATE, outcome.rps))
    }

    async fn handshakes(&self, subject: &Subject, protocol: Protocol) -> anyhow::Result<Sample> {
        let connections = self.connections(Figure::Handshakes).to_string();
        let mut many = vec![("connections", connections), ("at-a-time", CONNECTIONS_AT_A_TIME.to_string())];
        let full: Connected = self.runner.drive("connect", subject, protocol, &many).await?;
        if !protocol.is_encrypted() {
            return Ok(Sample::default().with(&HANDSHAKE_FULL, full.server_cpu_us));
        }
        many.push(("resume", String::new()));
        let resumed: Connected = self.runner.drive("connect", subject, protocol, &many).await?;
        Ok(handshakes(&full, &resumed))
    }

    async fn memory(&self, index: usize, Case { protocol, load, .. }: Case) -> anyhow::Result<Sample> {
        // A process keeps memory that it got, so each figure takes a new one.
        let runner = &self.runner;
        let subject = runner.start(&self.contestants[index], "memory", None).await?;
        // What only the first requests need is not a connection's.
        let warm_up = [("requests", "2000".to_owned()), ("connections", "4".to_owned())];
        runner.load(&subject, protocol, load, &warm_up).await?;
        let before = memory_bytes(subject.pid())?;
        let connections = self.connections(Figure::Memory);
        let hold = runner.driver("hold", &subject, protocol, &[("connections", connections.to_string())])?;
        let mut hold = tokio::process::Command::from(hold)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut lines = BufReader::new(hold.stdout.take().context("no pipe")?).lines();
        let open = tokio::time::timeout(HOLD_TIMEOUT, lines.next_line()).await;
        open.context("opening the connections took too long")??.context("the connections were not opened")?;
        let after = memory_bytes(subject.pid())?;
        drop(hold.stdin.take());
        hold.wait().await?;
        subject.end().await?;
        #[expect(clippy::cast_precision_loss, reason = "no process has 2^53 bytes")]
        let bytes = (after as f64 - before as f64) / f64::from(connections);
        Ok(Sample::default().with(&CONNECTION, bytes / 1024.0))
    }

    async fn stream(&self, index: usize, protocol: Protocol) -> anyhow::Result<Sample> {
        let contestant = &self.contestants[index];
        let Some(path) = contestant.stream_path(self.options.stream_path.as_deref()) else {
            return Ok(Sample::impossible("it streams nothing"));
        };
        let subject = self.runner.start(contestant, "stream", None).await?;
        let downloaded: Downloaded =
            self.runner.drive("download", &subject, protocol, &[("path", path.to_owned())]).await?;
        subject.end().await?;
        Ok(Sample::default()
            .with(&STREAM_CPU, downloaded.server_cpu_ms_per_gib)
            .with(&STREAM_MEMORY, downloaded.memory_growth_kib)
            .with(&STREAM_RATE, downloaded.mib_per_second))
    }

    async fn instructions(&self, index: usize, Case { protocol, load, .. }: Case) -> anyhow::Result<Sample> {
        let contestant = &self.contestants[index];
        if let Some(why) = contestant.no_callgrind() {
            return Ok(Sample::impossible(why));
        }
        let (shape, requests) = (protocol.default_shape(), self.requests(Figure::Instructions));
        let profile = callgrind::request(&self.runner, contestant, protocol, load, shape, requests).await?;
        let detail =
            |of, name: &str, value, inclusive| Detail { of, name: name.to_owned(), value, inclusive };
        let parts = [("program", Part::Program), ("aws-lc", Part::Crypto), ("libraries", Part::Library)];
        let parts = parts.map(|(name, part)| detail("instructions", name, profile.instructions(part), None));
        let total = parts.iter().map(|part| part.value).sum();
        let mut details: Vec<Detail> =
            parts.into_iter().filter(|part| part.value.abs() >= INSTRUCTIONS_MIN).collect();
        for (_, name, cost) in profile.top(self.options.functions, |cost| cost.exclusive) {
            details.push(detail("functions", name, cost.exclusive, Some(cost.inclusive)));
        }
        for (_, name, cost) in profile.top(self.options.functions, |cost| cost.allocations) {
            if cost.allocations >= CALLS_MIN {
                details.push(detail("allocations", name, cost.allocations, None));
            }
        }
        let sample = Sample { details, ..Sample::default() };
        Ok(sample.with(&INSTRUCTIONS, total).with(&ALLOCATIONS, profile.allocations()))
    }

    /// The difference of two runs leaves the requests.
    async fn system_calls(&self, subject: &Subject, case: Case) -> anyhow::Result<Sample> {
        let requests = self.requests(Figure::SystemCalls);
        let short = self.strace(subject, case, requests).await?;
        let long = self.strace(subject, case, requests * LONG_RUN).await?;
        #[expect(clippy::cast_precision_loss, reason = "no run comes near 2^53 requests")]
        let more = (requests * (LONG_RUN - 1)) as f64;
        let details = long.into_iter().map(|(name, calls)| {
            let value = (calls - short.get(&name).copied().unwrap_or(0.0)) / more;
            Detail { of: "system calls", name, value, inclusive: None }
        });
        let details: Vec<Detail> = details.collect();
        let total = details.iter().map(|detail| detail.value).sum();
        let details = details.into_iter().filter(|detail| detail.value.abs() >= CALLS_MIN).collect();
        Ok(Sample { details, ..Sample::default() }.with(&SYSTEM_CALLS, total))
    }

    /// The system calls of a run by name.
    async fn strace(
        &self,
        subject: &Subject,
        Case { protocol, load, .. }: Case,
        requests: u64,
    ) -> anyhow::Result<BTreeMap<String, f64>> {
        let file = self.runner.file("strace");
        let mut strace = tokio::process::Command::new("strace")
            .args(["--follow-forks", "--summary-only", "--output"])
            .arg(&file)
            .args(["--attach", &subject.pid().to_string()])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("cannot run strace")?;
        let deadline = Instant::now() + STRACE_TIMEOUT;
        while !is_traced(subject.pid())? {
            ensure!(Instant::now() < deadline, "strace did not attach; does the system allow it?");
            tokio::time::sleep(STRACE_INTERVAL).await;
        }
        let arguments = [("requests", requests.to_string()), ("warm-up", "100".to_owned())];
        self.runner.load(subject, protocol, load, &arguments).await?;
        let pid = strace.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        kill_process(pid.context("strace ended too early")?, Signal::INT)?;
        tokio::time::timeout(STRACE_TIMEOUT, strace.wait()).await.context("strace did not end")??;
        parse_strace(&std::fs::read_to_string(&file).context("strace wrote nothing")?)
    }
}

/// A figure of resumed handshakes must not be one of full handshakes, and the other way round.
fn handshakes(full: &Connected, resumed: &Connected) -> Sample {
    let mut sample = Sample::default();
    if full.resumed == 0 {
        sample = sample.with(&HANDSHAKE_FULL, full.server_cpu_us);
    } else {
        sample.note = Some(format!("{} of {} new handshakes were resumed", full.resumed, full.connections));
    }
    #[expect(clippy::cast_precision_loss, reason = "no run comes near 2^53 connections")]
    let share = resumed.resumed as f64 / resumed.connections as f64;
    if share >= RESUMED_MIN {
        return sample.with(&HANDSHAKE_RESUMED, resumed.server_cpu_us);
    }
    let why = format!("only {} of {} handshakes were resumed", resumed.resumed, resumed.connections);
    Sample { note: Some(why), ..sample }
}

/// The table of `strace --summary-only`: the fourth column is the number of calls, the last one the name.
fn parse_strace(text: &str) -> anyhow::Result<BTreeMap<String, f64>> {
    let call = |line: &str| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        Some((words.last()?.to_string(), words.get(3)?.parse().ok()?))
    };
    let calls: BTreeMap<_, _> = text.lines().filter_map(call).filter(|(name, _)| name != "total").collect();
    ensure!(!calls.is_empty(), "strace counted nothing");
    Ok(calls)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_strace_is_parsed_with_and_without_errors() -> anyhow::Result<()> {
        let calls = parse_strace(
            "% time     seconds  usecs/call     calls    errors syscall\n\
             ------ ----------- ----------- --------- --------- ----------------\n \
             61.36    0.337074          16     21000           sendto\n  \
             0.02    0.000091           2        33         1 accept4\n\
             ------ ----------- ----------- --------- --------- ----------------\n\
             100.00    0.549316          12     21033         1 total\n",
        )?;
        assert_eq!(calls, BTreeMap::from([("sendto".to_owned(), 21_000.0), ("accept4".to_owned(), 33.0)]));
        assert!(parse_strace("").is_err());
        Ok(())
    }

    #[test]
    fn full_handshakes_are_no_figure_of_resumed_ones() {
        let connected = |resumed| Connected { connections: 100, resumed, server_cpu_us: 5.0 };
        let both = handshakes(&connected(0), &connected(96));
        assert_eq!((both.value(&HANDSHAKE_FULL), both.value(&HANDSHAKE_RESUMED)), (Some(5.0), Some(5.0)));
        assert_eq!(both.note, None);
        let none = handshakes(&connected(0), &connected(7));
        assert_eq!((none.value(&HANDSHAKE_FULL), none.value(&HANDSHAKE_RESUMED)), (Some(5.0), None));
        assert_eq!(none.note.as_deref(), Some("only 7 of 100 handshakes were resumed"));
    }
}
