//! How each figure is measured, once and of one contestant.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::Options;
use super::figure::{Figure, Sample};
use crate::callgrind::{self, LONG_RUN};
use crate::contestant::{Contestant, Subject};
use crate::load::{self, Connected};
use crate::proc::{is_traced, memory_bytes};
use crate::protocol::{Protocol, name};
use crate::runner::Runner;

/// The requests per second of a smoke run, and where no contestant can be measured.
const SMOKE_RATE: u64 = 1_000;
/// The length of a run at a fixed rate.
const LATENCY_SECONDS: u64 = 2;
/// Requests to a server before the clock starts, where the figure needs no other number.
const WARM_UP: u64 = 800;
/// Connections that ask for a session at the same time may get none.
const RESUMED_MIN: f64 = 0.95;
/// How long strace may take to attach or to detach.
const STRACE_TIMEOUT: Duration = Duration::from_secs(10);
const STRACE_INTERVAL: Duration = Duration::from_millis(20);

/// The contestants while rounds are made. Fields are dropped in this order: the servers end before their folder goes.
pub(super) struct Run<'a> {
    /// In the order of the report; the figures of the second are divided by those of each other.
    pub(super) subjects: Vec<Subject<'a>>,
    runner: Runner,
    pub(super) options: &'a Options,
}

impl<'a> Run<'a> {
    /// Starts all contestants on the same core and checks that each does its job.
    pub(super) async fn start(options: &'a Options, contestants: &'a [Contestant]) -> anyhow::Result<Self> {
        let mut runner = Runner::new()?;
        // Otherwise the load would take a core from one of them and not from the other.
        runner.load_is_alone &= contestants.iter().all(|contestant| contestant.cores() == 1);
        let protocols = &options.common.protocols;
        let mut subjects = Vec::new();
        for contestant in contestants {
            let subject = contestant.start(&runner, "compare", None).await?;
            for &protocol in protocols.iter().filter(|&&protocol| contestant.protocols.contains(&protocol)) {
                let what = || format!("{} over {protocol}", contestant.name);
                subject.check(&runner, protocol).await.with_context(what)?;
            }
            subjects.push(subject);
        }
        Ok(Self { subjects, runner, options })
    }

    /// What is measured and how.
    pub(super) fn title(&self, figure: Figure) -> String {
        let requests = self.requests(figure);
        let (long, load) = (requests * LONG_RUN, name(self.options.load));
        let how = match figure {
            Figure::Cpu => format!("{load} load, {requests} requests each in a round"),
            Figure::Instructions => {
                format!("{load} load, callgrind, by runs of {requests} and {long} requests")
            }
            Figure::SystemCalls => format!("{load} load, strace, by runs of {requests} and {long} requests"),
            Figure::Latency => format!("{load} load, runs of {LATENCY_SECONDS} s, in an open loop"),
            Figure::Handshakes => format!("{requests} connections with one request each"),
            Figure::Memory => format!("{requests} connections, a new process each time"),
            Figure::Stream => "a response of 1 GiB, a new process each time".to_owned(),
        };
        format!("{}: {how}", name(figure))
    }

    /// Measures a figure of one contestant.
    pub(super) async fn measure(
        &self,
        figure: Figure,
        protocol: Protocol,
        subject: &Subject<'_>,
        rate: u64,
    ) -> anyhow::Result<Sample> {
        match figure {
            Figure::Cpu => self.cpu(subject, protocol).await,
            Figure::Instructions => self.instructions(subject.contestant, protocol).await,
            Figure::SystemCalls => self.system_calls(subject, protocol).await,
            Figure::Latency => self.latency(subject, protocol, rate).await,
            Figure::Handshakes => self.handshakes(subject, protocol).await,
            Figure::Memory => self.memory(subject.contestant, protocol).await,
            Figure::Stream => self.stream(subject.contestant, protocol).await,
        }
    }

    /// Requests, or connections with one request each.
    fn requests(&self, figure: Figure) -> u64 {
        match figure {
            Figure::Instructions if self.options.common.smoke => 50,
            Figure::Handshakes | Figure::Memory if self.options.common.smoke => 20,
            _ if self.options.common.smoke => 200,
            Figure::Instructions => callgrind::REQUESTS,
            Figure::SystemCalls => 5_000,
            Figure::Handshakes => 400,
            Figure::Memory => 2_000,
            Figure::Cpu | Figure::Latency | Figure::Stream => 8_000,
        }
    }

    fn load(&self, warm_up: u64, requests: u64) -> load::Options {
        self.runner.options(self.options.load, warm_up, requests)
    }

    async fn cpu(&self, subject: &Subject<'_>, protocol: Protocol) -> anyhow::Result<Sample> {
        let load = self.load(WARM_UP, self.requests(Figure::Cpu));
        let outcome = subject.load(&self.runner, protocol, load).await?;
        Ok(Sample::of([outcome.server_cpu_us, outcome.requests_per_second, outcome.server_busy * 100.0]))
    }

    /// The rate of the latency figure: half of what the slowest contestant can. One that fails here fails again when it
    /// is measured, and is reported then.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate is small and positive"
    )]
    pub(super) async fn rate(&self, protocol: Protocol) -> u64 {
        let mut least = f64::INFINITY;
        for subject in self.subjects.iter().filter(|subject| subject.contestant.protocols.contains(&protocol))
        {
            let load = self.load(WARM_UP, self.requests(Figure::Latency));
            if let Ok(outcome) = subject.load(&self.runner, protocol, load).await {
                least = least.min(outcome.requests_per_second);
            }
        }
        if self.options.common.smoke || least.is_infinite() { SMOKE_RATE } else { (least / 2.0) as u64 }
    }

    async fn latency(&self, subject: &Subject<'_>, protocol: Protocol, rate: u64) -> anyhow::Result<Sample> {
        let open = load::Options { rate: Some(rate), ..self.load(WARM_UP, rate * LATENCY_SECONDS) };
        let outcome = subject.load(&self.runner, protocol, open).await?;
        Ok(Sample::of([outcome.p999_us]))
    }

    async fn handshakes(&self, subject: &Subject<'_>, protocol: Protocol) -> anyhow::Result<Sample> {
        let connect = async |resume| {
            let connections = self.requests(Figure::Handshakes);
            self.runner.within(load::connect(&subject.server.ready, protocol, connections, resume)).await
        };
        let full = connect(false).await?;
        if !protocol.is_encrypted() {
            return Ok(Sample { values: vec![Some(full.server_cpu_us), None], ..Sample::default() });
        }
        Ok(handshakes(&full, &connect(true).await?))
    }

    async fn memory(&self, contestant: &Contestant, protocol: Protocol) -> anyhow::Result<Sample> {
        // A process keeps memory that it got, so each figure takes a new one.
        let subject = contestant.start(&self.runner, "memory", None).await?;
        // What only the first requests need is not a connection's.
        let warm_up = load::Options { shape: Some((4, 1)), ..self.load(0, 2_000) };
        subject.load(&self.runner, protocol, warm_up).await?;
        let before = memory_bytes(subject.server.pid())?;
        let connections = u32::try_from(self.requests(Figure::Memory))?;
        let held = load::hold(&subject.server.ready, protocol, connections as usize);
        let held = self.runner.within(held).await?;
        let after = memory_bytes(subject.server.pid())?;
        held.close().await;
        subject.end().await?;
        #[expect(clippy::cast_precision_loss, reason = "no process has 2^53 bytes")]
        let bytes = (after as f64 - before as f64) / f64::from(connections);
        Ok(Sample::of([bytes / 1024.0]))
    }

    async fn stream(&self, contestant: &Contestant, protocol: Protocol) -> anyhow::Result<Sample> {
        let Some(path) = &contestant.stream_path else {
            return Ok(Sample::impossible("it streams nothing"));
        };
        let subject = contestant.start(&self.runner, "stream", None).await?;
        let download = load::download(&subject.server.ready, protocol, path);
        let downloaded = self.runner.within(download).await?;
        subject.end().await?;
        Ok(Sample::of([downloaded.server_cpu_ms_per_gib, downloaded.memory_growth_kib]))
    }

    async fn instructions(&self, contestant: &Contestant, protocol: Protocol) -> anyhow::Result<Sample> {
        if let Some(why) = contestant.no_callgrind {
            return Ok(Sample::impossible(why));
        }
        let load = self.load(callgrind::WARM_UP, self.requests(Figure::Instructions));
        let profile = callgrind::request(&self.runner, contestant, protocol, load).await?;
        let functions = profile.top(self.options.functions);
        Ok(Sample { functions, ..Sample::of([profile.instructions(), profile.allocations()]) })
    }

    /// The difference of two runs leaves the requests.
    async fn system_calls(&self, subject: &Subject<'_>, protocol: Protocol) -> anyhow::Result<Sample> {
        let requests = self.requests(Figure::SystemCalls);
        let short = self.strace(subject, protocol, requests).await?;
        let long = self.strace(subject, protocol, requests * LONG_RUN).await?;
        #[expect(clippy::cast_precision_loss, reason = "no run comes near 2^53 requests")]
        let more = (requests * (LONG_RUN - 1)) as f64;
        Ok(Sample::of([(long - short) / more]))
    }

    /// The system calls of a run.
    async fn strace(&self, subject: &Subject<'_>, protocol: Protocol, requests: u64) -> anyhow::Result<f64> {
        let file = self.runner.file("strace");
        let mut command = self.runner.command(Path::new("strace"), 1, None);
        command.args(["--follow-forks", "--summary-only", "--output"]).arg(&file);
        command
            .args(["--attach", &subject.server.pid().to_string()])
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        let mut command = tokio::process::Command::from(command);
        let mut strace = command.kill_on_drop(true).spawn().context("cannot run strace")?;
        let deadline = Instant::now() + STRACE_TIMEOUT;
        while !is_traced(subject.server.pid())? {
            ensure!(Instant::now() < deadline, "strace did not attach; does the system allow it?");
            tokio::time::sleep(STRACE_INTERVAL).await;
        }
        subject.load(&self.runner, protocol, self.load(100, requests)).await?;
        let pid = strace.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        kill_process(pid.context("strace ended too early")?, Signal::INT)?;
        tokio::time::timeout(STRACE_TIMEOUT, strace.wait()).await.context("strace did not end")??;
        total_calls(&std::fs::read_to_string(&file).context("strace wrote nothing")?)
    }
}

/// A figure of resumed handshakes must not be one of full handshakes, and the other way round.
fn handshakes(full: &Connected, resumed: &Connected) -> Sample {
    #[expect(clippy::cast_precision_loss, reason = "no run comes near 2^53 connections")]
    let share = resumed.resumed as f64 / resumed.connections as f64;
    let values = vec![
        (full.resumed == 0).then_some(full.server_cpu_us),
        (share >= RESUMED_MIN).then_some(resumed.server_cpu_us),
    ];
    let note = values.contains(&None).then(|| {
        format!("{} of {} handshakes without a session were resumed, ", full.resumed, full.connections)
            + &format!("and {} of {} with one", resumed.resumed, resumed.connections)
    });
    Sample { values, note, ..Sample::default() }
}

/// The fourth column of the last line of `strace --summary-only`.
fn total_calls(text: &str) -> anyhow::Result<f64> {
    let total = text.lines().rfind(|line| line.ends_with(" total")).context("strace counted nothing")?;
    Ok(total.split_ascii_whitespace().nth(3).context("strace printed no number of calls")?.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_strace_has_a_total() -> anyhow::Result<()> {
        let calls = total_calls(
            "% time     seconds  usecs/call     calls    errors syscall\n\
             ------ ----------- ----------- --------- --------- ----------------\n \
             61.36    0.337074          16     21000           sendto\n  \
             0.02    0.000091           2        33         1 accept4\n\
             ------ ----------- ----------- --------- --------- ----------------\n\
             100.00    0.549316          12     21033         1 total\n",
        )?;
        assert_eq!(calls, 21_033.0);
        assert!(total_calls("").is_err());
        Ok(())
    }

    #[test]
    fn full_handshakes_are_no_figure_of_resumed_ones() {
        let connected = |resumed| Connected { connections: 100, resumed, server_cpu_us: 5.0 };
        let both = handshakes(&connected(0), &connected(96));
        assert_eq!((both.values, both.note), (vec![Some(5.0), Some(5.0)], None));
        let full = handshakes(&connected(0), &connected(7));
        assert_eq!(full.values, [Some(5.0), None]);
        assert!(full.note.is_some_and(|note| note.ends_with("and 7 of 100 with one")));
        assert_eq!(handshakes(&connected(1), &connected(96)).values, [None, Some(5.0)]);
    }
}
