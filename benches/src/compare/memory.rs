//! Resident memory of each connection that is open and idle.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::Run;
use super::figure::{CONNECTION, Sample};
use crate::protocol::Protocol;
use crate::stage::{Stage, Subject};

const CONNECTIONS: u32 = 2_000;
const SMOKE_CONNECTIONS: u32 = 50;
/// From the first connection to the last one.
const OPEN_TIMEOUT: Duration = Duration::from_secs(120);

/// How it is measured.
pub(super) fn describe(run: &Run<'_>) -> String {
    format!(
        "resident memory with {} idle connections by that without, a new process each time",
        connections(run)
    )
}

pub(super) async fn sample(run: &Run<'_>, place: usize, protocol: Protocol) -> anyhow::Result<Sample> {
    // What a process was given it keeps, so each figure takes a new one.
    let stage = &run.stage;
    let subject = stage.start(&run.contestants[place], "memory", &stage.setup()).await?;
    let bytes = per_connection(stage, &subject, protocol, connections(run)).await?;
    subject.end().await?;
    Ok(Sample::default().with(&CONNECTION, bytes / 1024.0))
}

fn connections(run: &Run<'_>) -> u32 {
    if run.options.common.place.smoke {
        return SMOKE_CONNECTIONS;
    }
    run.options.connections.unwrap_or(CONNECTIONS)
}

/// Bytes of each connection.
async fn per_connection(
    stage: &Stage,
    subject: &Subject,
    protocol: Protocol,
    connections: u32,
) -> anyhow::Result<f64> {
    // What only the first requests need is not a connection's.
    let warm = [("requests", "2000".to_owned()), ("connections", "4".to_owned())];
    stage.load(subject, protocol, &warm).await?;
    let before = subject.memory_bytes()?;

    let mut command = stage.driver("hold", subject, protocol, &subject.authorization_file)?;
    command.args(["--connections", &connections.to_string()]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut hold = tokio::process::Command::from(command).kill_on_drop(true).spawn()?;
    let mut lines = BufReader::new(hold.stdout.take().context("no pipe")?).lines();
    let open = tokio::time::timeout(OPEN_TIMEOUT, lines.next_line()).await;
    open.context("opening the connections took too long")??.context("the connections were not opened")?;
    let after = subject.memory_bytes()?;
    drop(hold.stdin.take());
    hold.wait().await?;

    #[expect(clippy::cast_precision_loss, reason = "no process has 2^53 bytes")]
    Ok((after as f64 - before as f64) / f64::from(connections))
}
