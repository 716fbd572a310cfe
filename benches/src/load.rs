//! The load: requests over a fixed number of connections and streams.
//!
//! In a closed loop each stream sends its next request when the response to the last one is complete; with a rate,
//! requests are sent when they are due. Connections are opened and warmed up before the clock starts, and the server's
//! CPU time is read at the same two moments as the clock, so that handshakes are in neither figure.
//!
//! On a separate core the load does not sleep: waking it is an interrupt that the kernel charges to the server whose
//! response it is, and a quicker load would be woken more often. A real server's clients are on other machines.
//!
//! The latencies of the closed loop are those of a server that gets fewer requests the slower it is.

mod client;
mod connections;
mod download;
mod phase;
mod request;
mod target;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use serde::{Deserialize, Serialize};

use crate::proc::CpuTime;
use crate::protocol::Protocol;
use crate::ready::Ready;
pub use connections::{Connect, Connected, Hold};
pub use download::{Download, Downloaded};
use phase::{Clients, Phase};
pub use request::Load;
use request::Requests;
use target::Target;

/// How long the requests may take; callgrind makes a server fifty times slower.
const TIME_LIMIT: Duration = Duration::from_secs(500);

/// The command line of the load.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The server's ready file: its addresses, its process and its CA.
    #[arg(long, value_name = "FILE")]
    pub ready_file: PathBuf,
    #[arg(long)]
    pub protocol: Protocol,
    /// The requests to send.
    #[arg(long, default_value = "varied")]
    pub load: Load,
    /// Connections in all [default: 32 over HTTP/1.1, else 8].
    #[arg(long)]
    pub connections: Option<usize>,
    /// Requests in flight on each connection [default: 1 over HTTP/1.1, else 16].
    #[arg(long)]
    pub streams: Option<usize>,
    /// Requests before the clock starts.
    #[arg(long, default_value_t = 1_000)]
    pub warm_up: u64,
    /// Requests in all.
    #[arg(long, default_value_t = 20_000)]
    pub requests: u64,
    /// Requests to send in each second, however fast they are answered (an open loop). Latency counts from when a
    /// request was due.
    #[arg(long)]
    pub rate: Option<u64>,
    /// Poll for responses instead of sleeping, for a core that nothing else needs.
    #[arg(long)]
    pub awake: bool,
}

/// What was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// Requests with the expected response.
    pub requests: u64,
    /// Requests with another response or none, those of the warm-up included.
    pub errors: u64,
    pub first_error: Option<String>,
    /// Requests per second.
    pub rps: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    /// CPU time of the server for one request, in microseconds.
    pub server_cpu_us: f64,
    /// CPU time of the server by elapsed time: 1 is one busy core.
    pub server_busy: f64,
}

impl Outcome {
    /// Fails unless every request had the expected response.
    pub fn ensure_no_errors(&self) -> anyhow::Result<()> {
        ensure!(
            self.errors == 0,
            "{} requests failed, first: {}",
            self.errors,
            self.first_error.as_deref().unwrap_or("")
        );
        Ok(())
    }
}

/// Connects, warms up and measures.
pub fn measure(options: &Options) -> anyhow::Result<Outcome> {
    let (connections, streams) = options.protocol.default_shape();
    let connections = options.connections.unwrap_or(connections);
    let streams = options.streams.unwrap_or(streams);
    let ready = Ready::read(&options.ready_file)?;
    let target = Target::new(&ready, options.protocol, true)?;
    let requests = Arc::new(Requests::new(options.load, &target.authority()?)?);
    let mut clients = Clients::connect(&target, connections, streams, options.awake)?;
    let warm_up = clients.run(&requests, Phase::new(options.warm_up, None)?, TIME_LIMIT)?;

    let (cpu, start) = (CpuTime::of(ready.pid)?, Instant::now());
    let counts = clients.run(&requests, Phase::new(options.requests, options.rate)?, TIME_LIMIT)?;
    let seconds = start.elapsed().as_secs_f64();
    let cpu = CpuTime::of(ready.pid)?.since(&cpu).as_secs_f64();
    clients.close();

    let answered = counts.latencies.len();
    #[expect(clippy::cast_precision_loss, reason = "no run comes near 2^53 requests")]
    let per_request = 1.0 / (answered.max(1)) as f64;
    Ok(Outcome {
        requests: answered,
        errors: warm_up.errors + counts.errors,
        #[expect(clippy::cast_precision_loss, reason = "no run comes near 2^53 requests")]
        rps: answered as f64 / seconds,
        p50_us: counts.quantile_us(0.50),
        p99_us: counts.quantile_us(0.99),
        p999_us: counts.quantile_us(0.999),
        first_error: warm_up.first_error.or(counts.first_error),
        server_cpu_us: cpu * 1e6 * per_request,
        server_busy: cpu / seconds,
    })
}
