//! HTTP/3 beside the bare streams of QUIC: what HTTP costs above its transport.

use super::paired::{Report, Rounds, rounds};
use super::stage::{Common, Stage, Subject};
use crate::load::Outcome;
use crate::protocol::Protocol;

const SMOKE_REQUESTS: u64 = 200;

/// The command line.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub rounds: Rounds,
    /// Requests that each one answers in a round.
    #[arg(long, default_value_t = 8_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub requests: u64,
}

pub(super) async fn measure(options: &Options) -> anyhow::Result<Report> {
    let stage = Stage::set(&options.common)?;
    let requests = if options.common.smoke { SMOKE_REQUESTS } else { options.requests };
    let number = options.rounds.number(21, options.common.smoke);
    let floor = stage.floor(&stage.setup()).await?;
    let gateway = stage.gateway("gateway", &stage.setup()).await?;
    let load = [("requests", requests.to_string()), ("warm-up", (requests / 10).to_string())];
    let mut report = Report::new(
        format!("HTTP/3 ÷ the streams of QUIC alone, {number} rounds of {requests} requests"),
        ["streams", "HTTP/3"],
    );
    for http in [&floor, &gateway] {
        eprintln!("{}: {number} rounds", http.name);
        let both = [(&floor, Protocol::QuicStreams), (http, Protocol::H3)];
        let pairs = rounds(number, both, async |(subject, protocol): (&Subject, Protocol)| {
            stage.drive::<Outcome>("load", subject, protocol, &load).await
        })
        .await?;
        report
            .row(format!("HTTP/3 of the {}", http.name), "CPU µs", &pairs, |outcome| outcome.server_cpu_us);
    }
    Ok(report)
}
