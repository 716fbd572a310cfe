//! Connections instead of requests: opened one after the other, held open, or busy with one streamed response.

use std::time::Duration;

use anyhow::Context as _;
use futures_util::stream::{StreamExt as _, TryStreamExt as _};

use super::client::Client;
use super::phase::Clients;
use super::request::{Load, Request, Requests};
use super::target::Target;
use crate::proc::{CpuTime, memory_bytes, peak_memory_bytes, reset_peak_memory};
use crate::protocol::Protocol;
use crate::ready::Ready;

/// Connections that are open at the same time.
const AT_A_TIME: usize = 4;
/// Connections before the clock starts: they bring the sessions to resume.
const WARM_UP: u64 = 16;
/// Requests that are sent first: what only they need is not the stream's.
const DOWNLOAD_WARM_UP: u64 = 64;
/// How long the server has to finish its work for new connections.
const SETTLE: Duration = Duration::from_millis(500);

/// What was measured of them.
#[derive(Clone, Copy, Debug)]
pub struct Connected {
    pub connections: u64,
    /// Those that resumed a session.
    pub resumed: u64,
    /// CPU time of the server for each, with its one request, in microseconds.
    pub server_cpu_us: f64,
}

/// Opens connections, sends one request on each and closes them; if `resume`, each one resumes an earlier session.
pub async fn connect(
    ready: &Ready,
    protocol: Protocol,
    connections: u64,
    resume: bool,
) -> anyhow::Result<Connected> {
    let target = Target::new(ready, protocol, resume)?;
    let requests = Requests::new(Load::Varied, &target.authority()?)?;
    let open = async |count: u64| {
        let connections =
            futures_util::stream::iter(0..count).map(|number| one(&target, requests.get(number)));
        connections.buffer_unordered(AT_A_TIME).try_collect::<Vec<()>>().await
    };
    open(WARM_UP).await?;
    let (cpu, full) = (CpuTime::of(ready.pid)?, target.full_handshakes());
    open(connections).await?;
    let cpu = CpuTime::of(ready.pid)?.since(&cpu).as_secs_f64();
    let full = target.full_handshakes() - full;
    let resumed = if protocol.is_encrypted() { connections - full } else { 0 };
    #[expect(clippy::cast_precision_loss, reason = "no run comes near 2^53 connections")]
    let server_cpu_us = cpu * 1e6 / connections as f64;
    Ok(Connected { connections, resumed, server_cpu_us })
}

/// One connection with one request.
async fn one(target: &Target, request: &Request) -> anyhow::Result<()> {
    let (mut clients, endpoint) = Client::open(target, 1).await?;
    clients.first_mut().context("no stream")?.request(request).await?;
    endpoint.close();
    Ok(())
}

/// Opens connections and sends one request on each; they stay open until they are closed.
pub async fn hold(ready: &Ready, protocol: Protocol, connections: usize) -> anyhow::Result<Clients> {
    let target = Target::new(ready, protocol, true)?;
    let requests = Requests::new(Load::Varied, &target.authority()?)?;
    let mut clients = Clients::connect(&target, connections, 1).await?;
    clients.each_once(&requests).await?;
    tokio::time::sleep(SETTLE).await;
    Ok(clients)
}

/// What was measured of a download.
#[derive(Clone, Copy, Debug)]
pub struct Downloaded {
    /// CPU time of the server, in milliseconds for each GiB.
    pub server_cpu_ms_per_gib: f64,
    /// How far the server's resident memory grew meanwhile, in KiB.
    pub memory_growth_kib: f64,
}

/// Sends a request for a path and reads the response.
pub async fn download(ready: &Ready, protocol: Protocol, path: &str) -> anyhow::Result<Downloaded> {
    let target = Target::new(ready, protocol, true)?;
    let authority = target.authority()?;
    let (warm_up, request) = (Requests::new(Load::Varied, &authority)?, Request::to(&authority, path)?);
    let (mut clients, endpoint) = Client::open(&target, 1).await?;
    let client = clients.first_mut().context("no stream")?;
    for number in 0..DOWNLOAD_WARM_UP {
        client.request(warm_up.get(number)).await?;
    }
    reset_peak_memory(ready.pid)?;
    let (memory, cpu) = (memory_bytes(ready.pid)?, CpuTime::of(ready.pid)?);
    let bytes = client.download(&request).await?;
    let cpu = CpuTime::of(ready.pid)?.since(&cpu).as_secs_f64();
    let growth = peak_memory_bytes(ready.pid)?.saturating_sub(memory);
    endpoint.close();
    #[expect(clippy::cast_precision_loss, reason = "no stream has 2^53 bytes")]
    let (gib, growth_kib) = (bytes as f64 / f64::from(1 << 30), growth as f64 / 1024.0);
    Ok(Downloaded { server_cpu_ms_per_gib: cpu * 1e3 / gib, memory_growth_kib: growth_kib })
}
