//! What a new connection costs the server, with its one request: whole handshakes, and resumed ones.

use anyhow::ensure;

use super::paired::{Report, Rounds, rounds};
use super::stage::{Common, Running, Stage, Subject};
use crate::load::Made;
use crate::protocol::Protocol;

const SMOKE_CONNECTIONS: u64 = 20;
/// A few sessions may be lost where several connections ask for one at the same time.
const RESUMED_MIN: f64 = 0.95;

/// The command line.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub running: Running,
    #[command(flatten)]
    pub rounds: Rounds,
    /// Connections of each run.
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub connections: u64,
    /// Connections that are open at the same time.
    #[arg(long, default_value_t = 4)]
    pub at_a_time: usize,
}

pub(super) async fn measure(options: &Options) -> anyhow::Result<Report> {
    let stage = Stage::set(&options.common)?;
    let connections = if options.common.smoke { SMOKE_CONNECTIONS } else { options.connections };
    let number = options.rounds.number(15, options.common.smoke);
    let [floor, subject] = stage.both(&options.running).await?;
    let mut report = Report::new(
        format!("CPU of a connection with one request, {connections} connections, {number} rounds"),
        [floor.name, subject.name],
    );
    for &protocol in &options.common.protocols {
        for resume in [false, true] {
            if resume && !protocol.is_encrypted() {
                continue;
            }
            let kind = if resume { "resumed" } else { "full" };
            eprintln!("{} {kind}: {number} rounds", protocol.name());
            let pairs = rounds(number, [&floor, &subject], async |subject: &Subject| {
                let mut many = vec![
                    ("connections", connections.to_string()),
                    ("at-a-time", options.at_a_time.to_string()),
                ];
                if resume {
                    many.push(("resume", String::new()));
                }
                let made: Made = stage.drive("connect", subject, protocol, &many).await?;
                check(&made, resume, protocol, subject.name)?;
                Ok(made)
            })
            .await?;
            report.row(format!("{} {kind}", protocol.name()), "µs", &pairs, |made| made.server_cpu_us);
        }
    }
    Ok(report)
}

/// A figure of resumed handshakes must not be one of full ones.
fn check(made: &Made, resume: bool, protocol: Protocol, name: &str) -> anyhow::Result<()> {
    #[expect(clippy::cast_precision_loss, reason = "no run comes near 2^53 connections")]
    let share = made.resumed as f64 / made.connections as f64;
    let is_right = if resume { share >= RESUMED_MIN } else { made.resumed == 0 };
    ensure!(
        is_right,
        "{name}, {}: {} of {} handshakes were resumed",
        protocol.name(),
        made.resumed,
        made.connections
    );
    Ok(())
}
