//! Connections instead of requests: made one after the other, or many held open.

use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::http1::Http1;
use super::http2::Http2;
use super::http3::{self, Http3};
use super::job::{Failure, Job};
use super::phase::Worker;
use super::target::Target;
use crate::cpu::Reading;
use crate::protocol::Protocol;
use crate::ready::Ready;

/// Connections before the clock starts, for each that is made at a time: they bring the sessions to resume.
const WARM_UP: u64 = 4;
/// How long a connection that was just made is left alone, so that the server has nothing left to do for it.
const SETTLE: Duration = Duration::from_millis(500);

/// Connections that are made, used for one request and closed.
#[derive(Clone, Debug, clap::Args)]
pub struct Connections {
    /// The ready file of the server.
    #[arg(long, value_name = "FILE")]
    pub ready_file: PathBuf,
    /// What the request travels over.
    #[arg(long)]
    pub protocol: Protocol,
    /// A file that holds the value of `Authorization`.
    #[arg(long, value_name = "FILE")]
    pub authorization_file: Option<PathBuf>,
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

/// What the connections came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Made {
    /// Connections whose request was answered as it should be.
    pub connections: u64,
    /// Those that resumed a session.
    pub resumed: u64,
    /// Connections per second.
    pub per_second: f64,
    /// CPU time of the server for each, with its one request, in microseconds.
    pub server_cpu_us: f64,
}

impl Connections {
    /// Prints what [`Self::measure`] finds.
    ///
    /// # Errors
    /// As it.
    pub fn run(&self) -> anyhow::Result<()> {
        println!("{}", serde_json::to_string(&self.measure()?)?);
        Ok(())
    }

    /// Makes the connections.
    ///
    /// # Errors
    /// If one cannot be made, or its request is not answered as it should be.
    pub fn measure(&self) -> anyhow::Result<Made> {
        let ready = Ready::read(&self.ready_file)?;
        let target = Arc::new(Target::with_resumption(&ready, self.protocol, self.resume)?);
        let job = Arc::new(Job::usual(self.authorization_file.as_deref(), target.authority())?);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let at_a_time = self.at_a_time.max(1);
            make(&target, &job, WARM_UP * at_a_time as u64, at_a_time).await?;
            let (cpu, start) = (Reading::take(ready.pid)?, Instant::now());
            let full = target.full_handshakes();
            make(&target, &job, self.connections, at_a_time).await?;
            let full = target.full_handshakes() - full;
            let resumed = if self.protocol.is_encrypted() { self.connections - full } else { 0 };
            let cpu = Reading::take(ready.pid)?.since(&cpu).as_secs_f64();
            #[expect(clippy::cast_precision_loss, reason = "no run comes near 2^53 connections")]
            let count = self.connections as f64;
            Ok(Made {
                connections: self.connections,
                resumed,
                per_second: count / start.elapsed().as_secs_f64(),
                server_cpu_us: cpu * 1e6 / count,
            })
        })
    }
}

/// Makes connections, some at the same time.
async fn make(target: &Arc<Target>, job: &Arc<Job>, count: u64, at_a_time: usize) -> anyhow::Result<()> {
    let left = Arc::new(AtomicU64::new(count));
    let mut tasks = JoinSet::new();
    for _ in 0..at_a_time {
        let (target, job, left) = (Arc::clone(target), Arc::clone(job), Arc::clone(&left));
        tasks.spawn(async move {
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
            {
                one(&target, &job).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(task) = tasks.join_next().await {
        task??;
    }
    Ok(())
}

/// One connection with one request; of QUIC, what is to be ended.
async fn one(target: &Target, job: &Job) -> anyhow::Result<Option<quinn::Endpoint>> {
    let mut ended = None;
    let answer = match target.protocol {
        Protocol::H1 => Http1::new(target.tcp().await?).request(job).await,
        Protocol::H1Tls => Http1::new(target.tls().await?).request(job).await,
        Protocol::H2Tls => {
            let mut opened = Http2::open(target.tls().await?, 1).await?;
            opened.pop().context("no stream")?.request(job).await
        }
        Protocol::H3 => {
            let (endpoint, connection) = target.quic().await?;
            let mut opened = Http3::open(connection, 1).await?;
            let answer = opened.pop().context("no stream")?.request(job).await;
            endpoint.close(http3::NO_ERROR, b"");
            ended = Some(endpoint);
            answer
        }
        Protocol::QuicStreams => bail!("the handshakes are those of HTTP/3"),
    };
    answer.map_err(Failure::into_error)?;
    Ok(ended)
}

/// Connections that are opened, used for one request each, and then held until the standard input ends.
#[derive(Clone, Debug, clap::Args)]
pub struct Hold {
    /// The ready file of the server.
    #[arg(long, value_name = "FILE")]
    pub ready_file: PathBuf,
    /// What the requests travel over.
    #[arg(long)]
    pub protocol: Protocol,
    /// A file that holds the value of `Authorization`.
    #[arg(long, value_name = "FILE")]
    pub authorization_file: Option<PathBuf>,
    /// Connections in all.
    #[arg(long, default_value_t = 2_000)]
    pub connections: usize,
}

impl Hold {
    /// Opens them, prints how many there are, and holds them.
    ///
    /// # Errors
    /// If one cannot be made, or its request is not answered as it should be.
    pub fn run(&self) -> anyhow::Result<()> {
        let ready = Ready::read(&self.ready_file)?;
        let target = Target::new(&ready, self.protocol)?;
        let job = Job::usual(self.authorization_file.as_deref(), target.authority())?;
        let mut worker = Worker::connect(&target, self.connections, 1, false)?;
        worker.each_once(&job)?;
        worker.idle(SETTLE);
        println!("{}", self.connections);
        std::io::stdin().read_to_end(&mut Vec::new())?;
        worker.close();
        Ok(())
    }
}
