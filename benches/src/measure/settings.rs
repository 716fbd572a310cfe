//! What the gateway's settings cost: the access log, many keys, more workers. Gateway beside gateway.

use super::paired::{Report, rounds};
use super::{REQUESTS, ROUNDS, SMOKE_REQUESTS};
use crate::options::Common;
use crate::pin;
use crate::stage::{Contestant, Stage, Subject};
use crate::start::Setup;

/// Where the gateways have their data.
const PURPOSE: &str = "settings";

/// The command line of keys.
#[derive(Clone, Debug, clap::Args)]
pub struct KeysOptions {
    #[command(flatten)]
    pub common: Common,
    /// Keys beside the one that is used.
    #[arg(long, value_name = "NUMBER,…", value_delimiter = ',', default_value = "100000,1000000")]
    pub keys: Vec<u32>,
}

/// The access log, written as JSON to a file, beside none.
pub(super) async fn access_log(common: &Common) -> anyhow::Result<Report> {
    let stage = Stage::set(&common.place)?;
    let off = gateway(&stage, common, "log off", &stage.setup()).await?;
    let on = gateway(&stage, common, "log on", &Setup { access_log: true, ..stage.setup() }).await?;
    let mut report = Report::new("access log on, to a file, beside off", [&off.name, &on.name]);
    compare(&stage, common, [&off, &on], &mut report, "").await?;
    Ok(report)
}

/// Many keys beside one.
pub(super) async fn keys(options: &KeysOptions) -> anyhow::Result<Report> {
    let KeysOptions { common, keys } = options;
    let stage = Stage::set(&common.place)?;
    let mut report = Report::new("many keys in the store beside one", ["1 key", "many"]);
    let one = gateway(&stage, common, "1 key", &stage.setup()).await?;
    for &more_keys in keys {
        let more_keys = if common.place.smoke { more_keys.min(1_000) } else { more_keys };
        eprintln!("{more_keys} keys");
        let many = gateway(&stage, common, "many", &Setup { more_keys, ..stage.setup() }).await?;
        report.note(format!("{more_keys} keys: {}", presence(&many)?));
        compare(&stage, common, [&one, &many], &mut report, &format!(" {more_keys}")).await?;
        many.end().await?;
        std::fs::remove_dir_all(stage.file(PURPOSE).join("many"))?;
    }
    report.note(format!("1 key: {}", presence(&one)?));
    Ok(report)
}

/// Two workers beside one, the load on the second core both times.
pub(super) async fn cores(common: &Common) -> anyhow::Result<Report> {
    let mut stage = Stage::set(&common.place)?;
    stage.share_the_loads_core();
    let one = gateway(&stage, common, "1 worker", &stage.setup()).await?;
    let cores = pin::allowed_cores()?;
    let two = Setup { workers: 2, cores: cores.into_iter().take(2).collect(), ..stage.setup() };
    let two = gateway(&stage, common, "2 workers", &two).await?;
    let mut report = Report::new("two workers on two cores beside one on one", [&one.name, &two.name]);
    compare(&stage, common, [&one, &two], &mut report, "").await?;
    report.note(
        "The load takes the most of a core, and where there are two, two workers have one and a bit left:\n\
         requests per second say little then. Without a load beside it, throughput is cores by CPU per\n\
         request, so two cores ÷ one is 2 ÷ the ratio of CPU per request.",
    );
    Ok(report)
}

async fn gateway(stage: &Stage, common: &Common, name: &str, setup: &Setup<'_>) -> anyhow::Result<Subject> {
    stage.start(&Contestant::gateway(name, &common.place.gateway), PURPOSE, setup).await
}

/// How soon it was ready and how much memory it has now.
fn presence(subject: &Subject) -> anyhow::Result<String> {
    let (ready, memory) = (subject.ready_after().as_secs_f64(), subject.memory_bytes()?);
    Ok(format!("ready after {ready:.2} s, {:.1} MB resident", memory as f64 / 1e6))
}

/// Rounds of each protocol: CPU per request, and requests per second.
async fn compare(
    stage: &Stage,
    common: &Common,
    subjects: [&Subject; 2],
    report: &mut Report,
    what: &str,
) -> anyhow::Result<()> {
    let requests = common.requests(REQUESTS, SMOKE_REQUESTS);
    let number = common.rounds(ROUNDS);
    for &protocol in &common.protocols {
        eprintln!("{}: {number} rounds", protocol.name());
        let load = [("requests", requests.to_string()), ("warm-up", (requests / 10).to_string())];
        let pairs =
            rounds(number, subjects, async |subject: &Subject| stage.load(subject, protocol, &load).await)
                .await?;
        let name = format!("{}{what}", protocol.name());
        report.row(&name, "CPU µs", &pairs, |outcome| outcome.server_cpu_us);
        report.row(&name, "per s", &pairs, |outcome| outcome.rps);
    }
    Ok(())
}
