//! What the gateway's settings cost: the access log, many keys, more workers. Gateway beside gateway.

use super::paired::{Report, Rounds, rounds};
use super::stage::{Common, Stage, Subject};
use crate::load::Outcome;
use crate::pin;
use crate::start::Setup;

const SMOKE_REQUESTS: u64 = 200;

/// The command line of all three.
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

/// The command line of keys.
#[derive(Clone, Debug, clap::Args)]
pub struct KeysOptions {
    #[command(flatten)]
    pub options: Options,
    /// Keys beside the one that is used.
    #[arg(long, value_delimiter = ',', default_values_t = [100_000, 1_000_000])]
    pub keys: Vec<u32>,
}

/// The access log, written as JSON to a file, beside none.
pub(super) async fn access_log(options: &Options) -> anyhow::Result<Report> {
    let stage = Stage::set(&options.common)?;
    let off = stage.gateway("log off", &stage.setup()).await?;
    let on = stage.gateway("log on", &Setup { access_log: true, ..stage.setup() }).await?;
    let mut report = Report::new("access log on, to a file, beside off", [off.name, on.name]);
    compare(&stage, options, [&off, &on], &mut report, "").await?;
    Ok(report)
}

/// Many keys beside one.
pub(super) async fn keys(options: &KeysOptions) -> anyhow::Result<Report> {
    let KeysOptions { options, keys } = options;
    let stage = Stage::set(&options.common)?;
    let mut report = Report::new("many keys in the store beside one", ["1 key", "many"]);
    let one = stage.gateway("1 key", &stage.setup()).await?;
    for &more_keys in keys {
        let more_keys = if options.common.smoke { more_keys.min(1_000) } else { more_keys };
        eprintln!("{more_keys} keys");
        let many = stage.gateway("many", &Setup { more_keys, ..stage.setup() }).await?;
        report.note(format!("{more_keys} keys: {}", many.presence()));
        compare(&stage, options, [&one, &many], &mut report, &format!(" {more_keys}")).await?;
        many.end().await?;
        std::fs::remove_dir_all(stage.file("many"))?;
    }
    report.note(format!("1 key: {}", one.presence()));
    Ok(report)
}

/// Two workers beside one, the load on the second core both times.
pub(super) async fn cores(options: &Options) -> anyhow::Result<Report> {
    let stage = Stage::set(&options.common)?;
    let one = stage.gateway("1 worker", &stage.setup()).await?;
    let cores = pin::allowed_cores()?;
    let two = Setup { workers: 2, cores: cores.into_iter().take(2).collect(), ..stage.setup() };
    let two = stage.gateway("2 workers", &two).await?;
    let mut report = Report::new("two workers on two cores beside one on one", [one.name, two.name]);
    compare(&stage, options, [&one, &two], &mut report, "").await?;
    report.note(
        "The load takes the most of a core, and where there are two, two workers have one and a bit left:\n\
         requests per second say little then. Without a load beside it, throughput is cores by CPU per\n\
         request, so two cores ÷ one is 2 ÷ the ratio of CPU per request.",
    );
    Ok(report)
}

/// Rounds of each protocol: CPU per request, and requests per second.
async fn compare(
    stage: &Stage,
    options: &Options,
    subjects: [&Subject; 2],
    report: &mut Report,
    what: &str,
) -> anyhow::Result<()> {
    let requests = if options.common.smoke { SMOKE_REQUESTS } else { options.requests };
    let number = options.rounds.number(21, options.common.smoke);
    for &protocol in &options.common.protocols {
        eprintln!("{}: {number} rounds", protocol.name());
        let load = [("requests", requests.to_string()), ("warm-up", (requests / 10).to_string())];
        let pairs = rounds(number, subjects, async |subject: &Subject| {
            stage.drive::<Outcome>("load", subject, protocol, &load).await
        })
        .await?;
        let name = format!("{}{what}", protocol.name());
        report.row(&name, "CPU µs", &pairs, |outcome| outcome.server_cpu_us);
        report.row(&name, "per s", &pairs, |outcome| outcome.rps);
    }
    Ok(())
}
