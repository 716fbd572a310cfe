//! Connections instead of requests: opened one after the other, or held open.

use std::time::Duration;

use anyhow::Context as _;
use futures_util::stream::{StreamExt as _, TryStreamExt as _};

use super::client::Client;
use super::phase::Clients;
use super::request::{Load, Request, Requests};
use super::target::Target;
use crate::proc::CpuTime;
use crate::protocol::Protocol;
use crate::ready::Ready;

/// Connections that are open at the same time.
const AT_A_TIME: usize = 4;
/// Connections before the clock starts: they bring the sessions to resume.
const WARM_UP: u64 = 16;
/// How long the server has to finish its work for new connections.
const SETTLE: Duration = Duration::from_millis(500);

/// Connections to open, with one request on each.
#[derive(Clone, Copy, Debug)]
pub struct Connect {
    pub connections: u64,
    /// Whether each resumes the session of an earlier one.
    pub resume: bool,
}

/// What was measured of them.
#[derive(Clone, Copy, Debug)]
pub struct Connected {
    pub connections: u64,
    /// Those that resumed a session.
    pub resumed: u64,
    /// CPU time of the server for each, with its one request, in microseconds.
    pub server_cpu_us: f64,
}

impl Connect {
    /// Opens the connections, sends one request on each and closes them.
    pub async fn measure(self, ready: &Ready, protocol: Protocol) -> anyhow::Result<Connected> {
        let target = Target::new(ready, protocol, self.resume)?;
        let requests = Requests::new(Load::Varied, &target.authority()?)?;
        let open = async |count: u64| {
            let connections =
                futures_util::stream::iter(0..count).map(|number| one(&target, requests.get(number)));
            connections.buffer_unordered(AT_A_TIME).try_collect::<Vec<()>>().await
        };
        open(WARM_UP).await?;
        let (cpu, full) = (CpuTime::of(ready.pid)?, target.full_handshakes());
        open(self.connections).await?;
        let cpu = CpuTime::of(ready.pid)?.since(&cpu).as_secs_f64();
        let full = target.full_handshakes() - full;
        let resumed = if protocol.is_encrypted() { self.connections - full } else { 0 };
        #[expect(clippy::cast_precision_loss, reason = "no run comes near 2^53 connections")]
        let server_cpu_us = cpu * 1e6 / self.connections as f64;
        Ok(Connected { connections: self.connections, resumed, server_cpu_us })
    }
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
