//! The load: requests over a fixed number of connections and streams.
//!
//! In a closed loop each stream sends its next request when the response to the last one is complete; with a rate,
//! requests are sent when they are due. Connections are opened and warmed up before the clock starts, and the server's
//! CPU time is read at the same two moments as the clock, so that handshakes are in neither figure.
//!
//! On a separate core the load does not sleep: waking it is an interrupt that the kernel charges to the server whose
//! response it is, and a quicker load would be woken more often. A real server's clients are on other machines.
//!
//! The first request without the expected response ends a run: its figures would mean nothing.

mod client;
mod connections;
mod http1;
mod phase;
mod request;
mod target;

use std::sync::Arc;
use std::time::Instant;

use crate::proc::CpuTime;
use crate::protocol::Protocol;
use crate::ready::Ready;
pub use connections::{Connected, Downloaded, connect, download, hold};
use phase::{Clients, Phase};
pub use request::Load;
use request::Requests;
use target::Target;

/// What to send.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub load: Load,
    /// The connections, and the requests in flight on each; if none, those of the protocol.
    pub shape: Option<(usize, usize)>,
    /// Requests before the clock starts.
    pub warm_up: u64,
    /// Requests that are measured.
    pub requests: u64,
    /// Requests in each second, however fast they are answered (an open loop). Latency counts from when a request was
    /// due.
    pub rate: Option<u64>,
    /// Poll for responses instead of sleeping, for a core that nothing else needs.
    pub awake: bool,
}

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    pub requests_per_second: f64,
    /// The latency that one request in a thousand exceeds, in microseconds.
    pub p999_us: f64,
    /// CPU time of the server for one request, in microseconds.
    pub server_cpu_us: f64,
    /// CPU time of the server by elapsed time: 1 is one busy core.
    pub server_busy: f64,
}

/// Connects, warms up and measures.
pub async fn measure(ready: &Ready, protocol: Protocol, options: &Options) -> anyhow::Result<Outcome> {
    let (connections, streams) = options.shape.unwrap_or(protocol.default_shape());
    let target = Target::new(ready, protocol, true)?;
    let requests = Arc::new(Requests::new(options.load, &target.authority()?)?);
    let mut clients = Clients::connect(&target, connections, streams).await?;
    clients.run(&requests, Phase::new(options.warm_up, None)?, options.awake).await?;

    let (cpu, start) = (CpuTime::of(ready.pid)?, Instant::now());
    let phase = Phase::new(options.requests, options.rate)?;
    let latencies = clients.run(&requests, phase, options.awake).await?;
    let seconds = start.elapsed().as_secs_f64();
    let cpu = CpuTime::of(ready.pid)?.since(&cpu).as_secs_f64();
    clients.close().await;

    #[expect(clippy::cast_precision_loss, reason = "no run comes near 2^53 requests")]
    let requests = options.requests.max(1) as f64;
    #[expect(clippy::cast_precision_loss, reason = "latencies are kept to two digits")]
    let p999_us = latencies.value_at_quantile(0.999) as f64 / 1e3;
    Ok(Outcome {
        requests_per_second: requests / seconds,
        p999_us,
        server_cpu_us: cpu * 1e6 / requests,
        server_busy: cpu / seconds,
    })
}
