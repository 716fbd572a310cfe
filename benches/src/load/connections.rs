//! Connections instead of requests: opened one after the other, or held open.

use std::io::Read as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::stream::{StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};

use super::client::Client;
use super::phase::Clients;
use super::request::{Failure, Load, Request, Requests};
use super::target::Target;
use crate::proc::CpuTime;
use crate::protocol::Protocol;
use crate::ready::Ready;

/// Connections before the clock starts, for each of those at a time: they bring the sessions to resume.
const WARM_UP: u64 = 4;
/// How long the server has to finish its work for new connections.
const SETTLE: Duration = Duration::from_millis(500);

/// Opens connections, sends one request on each and closes them.
#[derive(Clone, Debug, clap::Args)]
pub struct Connect {
    /// The server's ready file.
    #[arg(long, value_name = "FILE")]
    pub ready_file: PathBuf,
    #[arg(long)]
    pub protocol: Protocol,
    /// Connections in all.
    #[arg(long, default_value_t = 500)]
    pub connections: u64,
    /// Connections that are open at the same time.
    #[arg(long, default_value_t = 4)]
    pub at_a_time: usize,
    /// Resume the session of an earlier connection.
    #[arg(long)]
    pub resume: bool,
}

/// What came of the connections.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Connected {
    pub connections: u64,
    /// Those that resumed a session.
    pub resumed: u64,
    /// CPU time of the server for each, with its one request, in microseconds.
    pub server_cpu_us: f64,
}

impl Connect {
    /// Opens the connections.
    pub fn measure(&self) -> anyhow::Result<Connected> {
        let ready = Ready::read(&self.ready_file)?;
        let target = Target::new(&ready, self.protocol, self.resume)?;
        let requests = Requests::new(Load::Varied, &target.authority()?)?;
        let open = async |count: u64| {
            let connections =
                futures_util::stream::iter(0..count).map(|number| one(&target, requests.get(number)));
            connections.buffer_unordered(self.at_a_time).try_collect::<Vec<()>>().await
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            open(WARM_UP * self.at_a_time as u64).await?;
            let (cpu, full) = (CpuTime::of(ready.pid)?, target.full_handshakes());
            open(self.connections).await?;
            let full = target.full_handshakes() - full;
            let resumed = if self.protocol.is_encrypted() { self.connections - full } else { 0 };
            let cpu = CpuTime::of(ready.pid)?.since(&cpu).as_secs_f64();
            #[expect(clippy::cast_precision_loss, reason = "no run comes near 2^53 connections")]
            let server_cpu_us = cpu * 1e6 / self.connections as f64;
            Ok(Connected { connections: self.connections, resumed, server_cpu_us })
        })
    }
}

/// One connection with one request.
async fn one(target: &Target, request: &Request) -> anyhow::Result<()> {
    let (mut clients, endpoint) = Client::open(target, 1).await?;
    let client = clients.first_mut().context("no stream")?;
    client.request(request).await.map_err(Failure::into_error)?;
    endpoint.close();
    Ok(())
}

/// Opens connections, sends one request on each and holds them until the standard input ends.
#[derive(Clone, Debug, clap::Args)]
pub struct Hold {
    /// The server's ready file.
    #[arg(long, value_name = "FILE")]
    pub ready_file: PathBuf,
    #[arg(long)]
    pub protocol: Protocol,
    /// Connections in all.
    #[arg(long, default_value_t = 2_000)]
    pub connections: usize,
}

impl Hold {
    /// Opens them, prints a line and holds them.
    pub fn run(&self) -> anyhow::Result<()> {
        let target = Target::new(&Ready::read(&self.ready_file)?, self.protocol, true)?;
        let requests = Requests::new(Load::Varied, &target.authority()?)?;
        let mut clients = Clients::connect(&target, self.connections, 1, false)?;
        clients.each_once(&requests, SETTLE)?;
        println!("{}", self.connections);
        std::io::stdin().read_to_end(&mut Vec::new())?;
        clients.close();
        Ok(())
    }
}
