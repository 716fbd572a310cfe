//! HTTP/3 beside the bare streams of QUIC: what HTTP costs above its transport.

use super::paired::{Report, rounds};
use super::{REQUESTS, ROUNDS, SMOKE_REQUESTS};
use crate::options::Common;
use crate::protocol::Protocol;
use crate::stage::{Contestant, Stage, Subject};

pub(super) async fn measure(common: &Common) -> anyhow::Result<Report> {
    let stage = Stage::set(&common.place)?;
    let requests = common.requests(REQUESTS, SMOKE_REQUESTS);
    let number = common.rounds(ROUNDS);
    let floor = stage.start(&Contestant::floor("floor"), "streams", &stage.setup()).await?;
    let gateway = Contestant::gateway("gateway", &common.place.gateway);
    let gateway = stage.start(&gateway, "streams", &stage.setup()).await?;
    let load = [("requests", requests.to_string()), ("warm-up", (requests / 10).to_string())];
    let mut report = Report::new(
        format!("HTTP/3 ÷ the streams of QUIC alone, {number} rounds of {requests} requests"),
        ["streams", "HTTP/3"],
    );
    for http in [&floor, &gateway] {
        eprintln!("{}: {number} rounds", http.name);
        let both = [(&floor, Protocol::QuicStreams), (http, Protocol::H3)];
        let pairs = rounds(number, both, async |(subject, protocol): (&Subject, Protocol)| {
            stage.load(subject, protocol, &load).await
        })
        .await?;
        report
            .row(format!("HTTP/3 of the {}", http.name), "CPU µs", &pairs, |outcome| outcome.server_cpu_us);
    }
    Ok(report)
}
