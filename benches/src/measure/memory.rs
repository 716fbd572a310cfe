//! Resident memory: of the idle process, and of each connection that is open and idle.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::paired::{Report, Rounds};
use super::stage::{Common, Stage, Subject};
use crate::load::Outcome;
use crate::pin;
use crate::protocol::Protocol;
use crate::server::memory_bytes;
use crate::start::this_program;

/// Connections of a smoke run.
const SMOKE_CONNECTIONS: u32 = 50;
/// From the first connection to the last one.
const OPEN_TIMEOUT: Duration = Duration::from_secs(120);

/// The command line.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub rounds: Rounds,
    /// Connections that are held open.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=4_000))]
    pub connections: u32,
}

/// Bytes of one process.
struct Memory {
    idle: f64,
    connection: f64,
}

pub(super) async fn measure(options: &Options) -> anyhow::Result<Report> {
    let stage = Stage::set(&options.common)?;
    let connections = if options.common.smoke { SMOKE_CONNECTIONS } else { options.connections };
    let number = options.rounds.number(3, options.common.smoke);
    // Servers and load inherit it: each connection is a file to both.
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most })?;
    let mut report = Report::new(
        format!("resident memory, {connections} connections held, {number} rounds"),
        ["floor", "gateway"],
    );
    let mut idle = Vec::new();
    for &protocol in &options.common.protocols {
        eprintln!("{}: {number} rounds", protocol.name());
        let mut pairs = Vec::new();
        for _ in 0..number {
            // What a process was given it keeps, so each figure takes a new one.
            let floor = stage.floor(&stage.setup()).await?;
            let one = run(&stage, &floor, protocol, connections).await?;
            floor.end().await?;
            let gateway = stage.gateway("gateway", &stage.setup()).await?;
            pairs.push([one, run(&stage, &gateway, protocol, connections).await?]);
            gateway.end().await?;
        }
        report.row(format!("{} connection", protocol.name()), "KiB", &pairs, |memory| {
            memory.connection / 1024.0
        });
        idle.extend(pairs);
    }
    report.row("idle process", "MB", &idle, |memory| memory.idle / 1e6);
    Ok(report)
}

async fn run(
    stage: &Stage,
    subject: &Subject,
    protocol: Protocol,
    connections: u32,
) -> anyhow::Result<Memory> {
    let idle = memory_bytes(subject.pid);
    ensure!(idle > 0, "the system does not say how much memory {} has", subject.name);
    // What only the first requests need is not a connection's.
    let warm = [("requests", "2000".to_owned()), ("connections", "4".to_owned())];
    let _: Outcome = stage.drive("load", subject, protocol, &warm).await?;
    let before = memory_bytes(subject.pid);

    let mut command = pin::command(stage.load_core, &this_program()?);
    command
        .args(["hold", "--protocol", protocol.name(), "--connections", &connections.to_string()])
        .arg("--ready-file")
        .arg(&subject.ready_file)
        .arg("--authorization-file")
        .arg(&subject.authorization_file);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut hold = tokio::process::Command::from(command).kill_on_drop(true).spawn()?;
    let mut lines = BufReader::new(hold.stdout.take().context("no pipe")?).lines();
    let open = tokio::time::timeout(OPEN_TIMEOUT, lines.next_line()).await;
    open.context("opening the connections took too long")??.context("the connections were not opened")?;
    let after = memory_bytes(subject.pid);
    drop(hold.stdin.take());
    hold.wait().await?;

    #[expect(clippy::cast_precision_loss, reason = "no process has 2^53 bytes")]
    let per_connection = (after as f64 - before as f64) / f64::from(connections);
    #[expect(clippy::cast_precision_loss, reason = "no process has 2^53 bytes")]
    let idle = idle as f64;
    Ok(Memory { idle, connection: per_connection })
}
