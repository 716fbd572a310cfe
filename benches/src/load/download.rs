//! A streamed response: read to its end, while the server's CPU time and memory are measured.

use anyhow::Context as _;

use super::client::Client;
use super::request::{Load, Request, Requests};
use super::target::Target;
use crate::proc::{CpuTime, memory_bytes, peak_memory_bytes, reset_peak_memory};
use crate::protocol::Protocol;
use crate::ready::Ready;

/// Requests that are sent first: what only they need is not the stream's.
const WARM_UP: u64 = 64;

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
    for number in 0..WARM_UP {
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
