//! The load: requests over a fixed number of connections and streams.
//!
//! In a closed loop every stream sends its next request when the answer to the last one is complete; with a
//! rate ([`pace`]) requests begin when they are due. Connections are
//! made and warmed up before the clock starts, and the server's CPU time is read at the same two moments
//! as the clock, so that handshakes are in neither figure. It is kept lighter than any server it
//! drives: tasks live as long as their stream, and HTTP/1.1 and HTTP/2 go without hyper, whose client
//! costs about as much as its server.
//!
//! On a core of its own it does not sleep: to wake it is an interrupt that the kernel charges to the server whose
//! answer it is, and the quicker the load is done with its work, the more often that happens. A server's clients
//! are on other machines.
//!
//! The latency figures of the closed loop have the flaw of all of them: a slow server is asked less often.

mod connections;
mod http1;
mod http2;
mod http3;
mod job;
mod pace;
mod phase;
mod streams;
mod target;
mod verifier;

use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use serde::{Deserialize, Serialize};

use crate::answer;
use crate::cpu::Reading;
use crate::protocol::Protocol;
use crate::ready::Ready;
pub use connections::{Connections, Hold, Made};
use job::Job;
use phase::{Phase, Worker};
use target::Target;

/// How many requests are sent if neither a number nor a time is given.
const REQUESTS_USUAL: u64 = 20_000;
/// How long the streams may take to finish their last request after a time was up.
const LAST_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The command line of the load.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The ready file of the server: its addresses, its process and its CA.
    #[arg(long, value_name = "FILE")]
    pub ready_file: PathBuf,
    /// What the requests travel over.
    #[arg(long)]
    pub protocol: Protocol,
    /// The path to ask for.
    #[arg(long, default_value = answer::PATH)]
    pub path: String,
    /// A file that holds the value of `Authorization`; otherwise LOAD_AUTHORIZATION, if set.
    #[arg(long, value_name = "FILE")]
    pub authorization_file: Option<PathBuf>,
    /// Connections in all [default: 32 over HTTP/1.1, else 8].
    #[arg(long)]
    pub connections: Option<NonZeroUsize>,
    /// Requests in flight on each connection [default: 1 over HTTP/1.1, else 16].
    #[arg(long)]
    pub streams: Option<NonZeroUsize>,
    /// Threads, each with its own runtime and its share of the connections.
    #[arg(long, default_value = "1")]
    pub threads: NonZeroUsize,
    /// Requests before the clock starts.
    #[arg(long, default_value_t = 1_000)]
    pub warm_up: u64,
    /// Requests in all [default: 20000].
    #[arg(long, conflicts_with = "seconds")]
    pub requests: Option<NonZeroU64>,
    /// Seconds to go on for, instead of a number of requests.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub seconds: Option<u64>,
    /// Requests that begin in each second, whether or not the answers come as fast (an open loop). Latency
    /// counts from when a request was due.
    #[arg(long, requires = "seconds", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub rate: Option<u64>,
    /// Ask for answers all the time instead of sleeping until there are some, for a core that nothing else needs.
    #[arg(long)]
    pub awake: bool,
    /// Seconds after which a number of requests is given up.
    #[arg(long, default_value_t = 120)]
    pub time_limit: u64,
    /// How the body of every answer must begin.
    #[arg(long, default_value = answer::BODY_PREFIX)]
    pub expect: String,
    /// The statuses of which every answer must have one.
    #[arg(long, value_name = "STATUS", value_delimiter = ',', default_values_t = [200])]
    pub expect_status: Vec<u16>,
}

/// What was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// What the requests travelled over.
    pub protocol: Protocol,
    /// Requests that were answered as they should be.
    pub requests: u64,
    /// Requests that were answered otherwise or not at all, those of the warm-up included.
    pub errors: u64,
    /// What went wrong first.
    pub first_error: Option<String>,
    /// From the first request to the last answer.
    pub seconds: f64,
    /// Good answers per second.
    pub rps: f64,
    /// Half of the requests were answered within this many microseconds.
    pub p50_us: f64,
    /// 99 of 100 were.
    pub p99_us: f64,
    /// 999 of 1,000 were.
    pub p999_us: f64,
    /// CPU time of the server for one good answer, in microseconds.
    pub server_cpu_us: f64,
    /// CPU time of the server by elapsed time: 1 is one core kept busy.
    pub server_busy: f64,
}

impl Outcome {
    /// Whether every request was answered as it should be; `name` is the server's.
    ///
    /// # Errors
    /// If one was not; the message says what went wrong first.
    pub fn ensure_right(&self, name: &str) -> anyhow::Result<()> {
        let (errors, protocol) = (self.errors, self.protocol.name());
        let first = self.first_error.as_deref().unwrap_or_default();
        ensure!(errors == 0, "{name} over {protocol}: {errors} requests went wrong, first: {first}");
        Ok(())
    }
}

/// Measures, prints the outcome, and says by the exit code whether all was well.
///
/// # Errors
/// If the server cannot be reached or is gone at the end.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let outcome = measure(options)?;
    println!("{}", serde_json::to_string(&outcome)?);
    Ok(if outcome.errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Connects, warms up and measures.
///
/// # Errors
/// If the server cannot be reached or is gone at the end.
pub fn measure(options: &Options) -> anyhow::Result<Outcome> {
    let protocol = options.protocol;
    let (connections, streams) = shape(options)?;
    let ready = Ready::read(&options.ready_file)?;
    let target = Target::new(&ready, protocol)?;
    let job = Arc::new(Job::new(options, target.authority())?);
    ensure!(options.rate.is_none() || options.threads.get() == 1, "one thread keeps a rate");

    let mut workers = Vec::new();
    for number in 0..options.threads.get() {
        // The first ones take one connection more where they cannot all have the same.
        let share = (connections + options.threads.get() - 1 - number) / options.threads.get();
        workers.push(Worker::connect(&target, share, streams, options.awake)?);
    }

    let limit = Duration::from_secs(options.time_limit);
    let warm_up = Arc::new(Phase::of_requests(options.warm_up, limit)?);
    phase::run(&mut workers, &job, &warm_up)?;

    let cpu = Reading::take(ready.pid)?;
    // Before the phase, whose time begins as it is made: what is measured is never shorter than what was asked.
    let start = Instant::now();
    let phase = match (options.seconds, options.rate) {
        (Some(seconds), Some(rate)) => Phase::of_rate(rate, seconds, LAST_REQUEST_TIMEOUT)?,
        (Some(seconds), None) => Phase::of_time(Duration::from_secs(seconds), LAST_REQUEST_TIMEOUT)?,
        (None, _) => Phase::of_requests(options.requests.map_or(REQUESTS_USUAL, NonZeroU64::get), limit)?,
    };
    let phase = Arc::new(phase);
    phase::run(&mut workers, &job, &phase)?;
    let seconds = start.elapsed().as_secs_f64();
    let cpu = Reading::take(ready.pid)?.since(&cpu).as_secs_f64();
    workers.into_iter().for_each(Worker::close);

    let warm_up = warm_up.tally();
    let tally = phase.tally();
    #[expect(clippy::cast_precision_loss, reason = "no run comes near 2^53 requests")]
    let answered = tally.answered as f64;
    Ok(Outcome {
        protocol,
        requests: tally.answered,
        errors: warm_up.errors + tally.errors,
        first_error: warm_up.first_error.or(tally.first_error),
        seconds,
        rps: answered / seconds,
        p50_us: tally.p50_us,
        p99_us: tally.p99_us,
        p999_us: tally.p999_us,
        // Without an answer there is nothing to divide by, and infinity is not JSON.
        server_cpu_us: if tally.answered == 0 { 0.0 } else { cpu * 1e6 / answered },
        server_busy: cpu / seconds,
    })
}

/// Connections in all, and streams on each.
fn shape(options: &Options) -> anyhow::Result<(usize, usize)> {
    let (connections, streams) = options.protocol.usual_shape();
    let connections = options.connections.map_or(connections, NonZeroUsize::get);
    let streams = options.streams.map_or(streams, NonZeroUsize::get);
    if options.protocol.ready_name() == "http1" {
        ensure!(streams == 1, "HTTP/1.1 has one request in flight on a connection: use --connections");
    }
    if connections < options.threads.get() {
        bail!("{connections} connections cannot be shared among {} threads", options.threads);
    }
    Ok((connections, streams))
}
