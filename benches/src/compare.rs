//! Floor, gateway and peers in turn, as paired ratios.
//!
//! The same binary varies by a quarter from one minute to the next on a shared machine, so a figure
//! of its own says little. In each round all contestants do the same number of requests one right after
//! the other on the same core, the order changing from round to round, and what is reported is the
//! gateway's figure by each other's, round by round. Floor against floor shows what is left of the noise.

mod contestant;
mod machine;
mod peers;
mod plot;
mod report;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::ArgGroup;
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

use crate::load::Outcome;
use crate::pin;
use crate::protocol::Protocol;
use crate::start::{self, Setup, this_program};
use contestant::Contestant;
use machine::Machine;
use peers::Peer;
use report::{About, Comparison, Report};

/// Requests and rounds of a smoke run: enough to see that everything works, over in seconds.
const SMOKE_REQUESTS: u64 = 200;
const SMOKE_ROUNDS: u32 = 1;

/// The command line of the comparison.
#[derive(Clone, Debug, clap::Args)]
#[command(group(ArgGroup::new("subject").required(true)))]
pub struct Options {
    /// The gateway's binary.
    #[arg(long, value_name = "FILE", group = "subject")]
    pub gateway: Option<PathBuf>,
    /// Compare the floor with itself: every ratio should be 1, what differs is noise.
    #[arg(long, group = "subject")]
    pub floor_vs_floor: bool,
    /// Rounds of each protocol; many short ones give a steadier median than a few long ones.
    #[arg(long, default_value_t = 41, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub rounds: u32,
    /// Requests that each contestant answers in a round.
    #[arg(long, default_value_t = 8_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub requests: u64,
    /// Compare the gateway with so many keys to itself with one, instead of to the floor.
    #[arg(long, value_name = "N", requires = "gateway", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub keys: Option<u32>,
    /// Servers to compare the gateway with, beside the floor; what is missing is installed below target.
    #[arg(long, value_name = "PEER", value_delimiter = ',')]
    pub peers: Vec<Peer>,
    /// An nginx from elsewhere, as one more peer; if it was built with HTTP/3, it is compared over that too.
    #[arg(long, value_name = "FILE")]
    pub nginx: Option<PathBuf>,
    /// What to compare over.
    #[arg(long, value_delimiter = ',', default_values = ["h1", "h1-tls", "h2-tls", "h3"])]
    pub protocols: Vec<Protocol>,
    /// One short round of each protocol, to see that everything works; its figures mean nothing.
    #[arg(long)]
    pub smoke: bool,
    /// The core of the servers [default: the first that may be used].
    #[arg(long)]
    pub server_core: Option<usize>,
    /// The core of the load [default: the second that may be used, if there is one].
    #[arg(long)]
    pub load_core: Option<usize>,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
    /// Write a plot of the CPU per request, as SVG.
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
}

/// Everything that runs while rounds are made. Fields are dropped in this order: the servers end
/// before their folder goes.
struct Stage {
    /// The floor, or whatever takes its place; the subject, whose figures are divided by those of each
    /// other; then the peers.
    contestants: Vec<Contestant>,
    load_core: usize,
    requests: u64,
    _folder: TempDir,
}

/// The subject's place among the contestants.
const SUBJECT: usize = 1;

/// Compares, prints, and says by the exit code whether every request was answered as it should be.
///
/// # Errors
/// If a server cannot be started, does not do its job, or a load ends without figures.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(async {
        // Both signals end the comparison by dropping it, which ends the servers and removes their folder.
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            report = compare(options) => report,
            result = tokio::signal::ctrl_c() => Err(result.map_or_else(Into::into, |()| anyhow::anyhow!("interrupted"))),
            _ = terminate.recv() => Err(anyhow::anyhow!("terminated")),
        }
    })?;
    if let Some(file) = &options.plot {
        std::fs::write(file, plot::svg(&report)?)
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{report}");
    }
    Ok(if report.errors() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn compare(options: &Options) -> anyhow::Result<Report> {
    if cfg!(debug_assertions) && !options.smoke {
        eprintln!("This is a debug build: the floor's figures mean nothing. Use cargo run --release.");
    }
    let machine = Machine::describe();
    let rounds = if options.smoke { SMOKE_ROUNDS } else { options.rounds };
    let stage = Stage::set(options).await?;
    let names: Vec<&str> = stage.contestants.iter().map(|contestant| contestant.name.as_str()).collect();
    let mut comparisons = Vec::new();
    for &protocol in &options.protocols {
        eprintln!("{}: {rounds} rounds", protocol.name());
        let mut outcomes = Vec::new();
        for round in 0..rounds as usize {
            outcomes.push(stage.round(protocol, round).await?);
        }
        comparisons.push(Comparison::new(protocol, &names, SUBJECT, &outcomes));
    }
    Ok(Report {
        machine,
        floor: names[0].to_owned(),
        subject: names[SUBJECT].to_owned(),
        rounds,
        requests: stage.requests,
        contestants: stage.contestants.iter().map(About::new).collect(),
        comparisons,
    })
}

impl Stage {
    /// Starts all contestants on the same core, and sees each do its job.
    async fn set(options: &Options) -> anyhow::Result<Self> {
        pin::check_tools()?;
        let cores = pin::allowed_cores()?;
        let server_core = options.server_core.or(cores.first().copied()).context("no core may be used")?;
        let load_core = options.load_core.or(cores.get(1).copied()).unwrap_or(server_core);
        if load_core == server_core {
            eprintln!("Server and load share core {server_core}: they disturb each other.");
        }

        let folder = tempfile::Builder::new().prefix("compare-").tempdir().context("cannot make a folder")?;
        let (path, core) = (folder.path(), server_core);
        let mut contestants = Vec::new();
        contestants.push(match (&options.gateway, options.keys) {
            (Some(binary), Some(_)) => {
                start_gateway("1 key", binary, &path.join("one"), &Setup::on(core)).await?
            }
            _ => start_floor("floor", path, core).await?,
        });
        contestants.push(match (&options.gateway, options.keys) {
            (Some(binary), keys) => {
                let name = keys.map_or_else(|| "gateway".to_owned(), |keys| format!("{keys} keys"));
                let setup = Setup { more_keys: keys.unwrap_or(0), ..Setup::on(core) };
                start_gateway(&name, binary, &path.join("gateway"), &setup).await?
            }
            (None, _) => start_floor("again", path, core).await?,
        });
        for &peer in &options.peers {
            contestants.push(peers::start(peer, path, core).await?);
        }
        if let Some(binary) = &options.nginx {
            contestants.push(peers::start_nginx(binary, path, core).await?);
        }
        for contestant in &contestants {
            for &protocol in options.protocols.iter().filter(|&&protocol| contestant.speaks(protocol)) {
                contestant.prove(protocol, load_core).await?;
            }
        }
        let requests = if options.smoke { SMOKE_REQUESTS } else { options.requests };
        Ok(Self { contestants, load_core, requests, _folder: folder })
    }

    /// One run of each that speaks the protocol, another one first in each round.
    async fn round(&self, protocol: Protocol, round: usize) -> anyhow::Result<Vec<Option<Outcome>>> {
        let count = self.contestants.len();
        let mut outcomes = vec![None; count];
        for place in (0..count).map(|turn| (round + turn) % count) {
            let contestant = &self.contestants[place];
            if contestant.speaks(protocol) {
                outcomes[place] = Some(contestant.drive(protocol, self.requests, self.load_core).await?);
            }
        }
        Ok(outcomes)
    }
}

async fn start_floor(name: &str, folder: &Path, core: usize) -> anyhow::Result<Contestant> {
    Contestant::floor(name, start::floor(&folder.join(name), &Setup::on(core)).await?)
}

async fn start_gateway(
    name: &str,
    binary: &Path,
    folder: &Path,
    setup: &Setup<'_>,
) -> anyhow::Result<Contestant> {
    let (server, authorization) = start::gateway(binary, folder, setup).await?;
    Contestant::new(name, server, &authorization, &Protocol::ALL)
}
