//! Floor and gateway in turn, as paired ratios.
//!
//! The same binary varies by a quarter from one minute to the next on a shared machine, so a figure
//! of its own says little. In each round both contestants do the same number of requests one right after
//! the other on the same core, the order changing from round to round, and what is reported is the
//! ratio of the two, round by round. Floor against floor shows what is left of the noise.

mod report;

use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::ArgGroup;
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

use crate::answer;
use crate::load::Outcome;
use crate::pin;
use crate::protocol::Protocol;
use crate::server::Server;
use crate::start::{self, Setup, this_program};
use report::{Comparison, Contestant, Pair, Report};

/// Requests and rounds of a smoke run: enough to see that everything works, over in seconds.
const SMOKE_REQUESTS: u64 = 200;
const SMOKE_ROUNDS: u32 = 1;
/// One part in so many is sent as a warm-up before each run.
const WARM_UP_SHARE: u64 = 10;
/// A run that takes longer than this is given up; the load gives up a little earlier by itself.
const RUN_TIMEOUT: Duration = Duration::from_secs(300);

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
}

/// Everything that runs while rounds are made. Fields are dropped in this order: the servers end
/// before their folder goes.
struct Stage {
    /// The floor, or whatever takes its place.
    floor: Server,
    subject: Server,
    floor_authorization: PathBuf,
    subject_authorization: PathBuf,
    load_core: usize,
    requests: u64,
    _folder: TempDir,
}

/// Compares, prints, and says by the exit code whether every request was answered as it should be.
///
/// # Errors
/// If a server cannot be started or a load ends without figures.
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
    let rounds = if options.smoke { SMOKE_ROUNDS } else { options.rounds };
    let stage = Stage::set(options).await?;
    let mut comparisons = Vec::new();
    for &protocol in &options.protocols {
        eprintln!("{}: {rounds} rounds", protocol.name());
        let mut pairs = Vec::new();
        for round in 1..=rounds {
            pairs.push(stage.round(protocol, round).await?);
        }
        comparisons.push(Comparison::new(protocol, &pairs));
    }
    let (floor, subject) = match options.keys {
        Some(keys) => ("1 key", format!("{keys} keys")),
        None if options.floor_vs_floor => ("floor", "again".to_owned()),
        None => ("floor", "gateway".to_owned()),
    };
    let contestants = [(floor, &stage.floor), (subject.as_str(), &stage.subject)]
        .map(|(name, server)| Contestant::new(name, server));
    Ok(Report {
        floor: floor.to_owned(),
        contestants,
        subject,
        rounds,
        requests: stage.requests,
        comparisons,
    })
}

impl Stage {
    /// Starts both contestants on the same core.
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
        let placeholder = || answer::PLACEHOLDER_AUTHORIZATION.to_owned();
        let (floor, floor_authorization) = match (&options.gateway, options.keys) {
            (Some(binary), Some(_)) => start::gateway(binary, &path.join("one"), &Setup::on(core)).await?,
            _ => (start::floor(&path.join("floor"), &Setup::on(core)).await?, placeholder()),
        };
        let (subject, subject_authorization) = match &options.gateway {
            Some(binary) => {
                let setup = Setup { more_keys: options.keys.unwrap_or(0), ..Setup::on(core) };
                start::gateway(binary, &path.join("gateway"), &setup).await?
            }
            None => (start::floor(&path.join("floor-again"), &Setup::on(core)).await?, placeholder()),
        };
        let keep = |name: &str, authorization: String| -> anyhow::Result<PathBuf> {
            let file = path.join(name);
            std::fs::write(&file, authorization).context("cannot write the authorization")?;
            Ok(file)
        };
        let floor_authorization = keep("authorization-floor", floor_authorization)?;
        let subject_authorization = keep("authorization-subject", subject_authorization)?;
        let requests = if options.smoke { SMOKE_REQUESTS } else { options.requests };
        Ok(Self {
            floor,
            subject,
            floor_authorization,
            subject_authorization,
            load_core,
            requests,
            _folder: folder,
        })
    }

    /// One run of each, the floor first in odd rounds.
    async fn round(&self, protocol: Protocol, round: u32) -> anyhow::Result<Pair> {
        if round % 2 == 1 {
            let floor = self.drive(&self.floor, &self.floor_authorization, protocol).await?;
            Ok(Pair {
                floor,
                subject: self.drive(&self.subject, &self.subject_authorization, protocol).await?,
            })
        } else {
            let subject = self.drive(&self.subject, &self.subject_authorization, protocol).await?;
            Ok(Pair { floor: self.drive(&self.floor, &self.floor_authorization, protocol).await?, subject })
        }
    }

    /// Runs the load as a process of its own, because it needs another core than the server.
    async fn drive(
        &self,
        server: &Server,
        authorization: &Path,
        protocol: Protocol,
    ) -> anyhow::Result<Outcome> {
        let mut command = pin::command(self.load_core, &this_program()?);
        command
            .args(["load", "--protocol", protocol.name()])
            .args(["--requests", &self.requests.to_string()])
            .args(["--warm-up", &(self.requests / WARM_UP_SHARE).to_string()])
            .arg("--ready-file")
            .arg(server.ready_file())
            .arg("--authorization-file")
            .arg(authorization)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit());
        let run = tokio::process::Command::from(command).kill_on_drop(true).output();
        let output = tokio::time::timeout(RUN_TIMEOUT, run).await.context("the load took too long")??;
        // It also ends with 1 when requests failed, but then it has figures, and they say so.
        ensure!(!output.stdout.is_empty(), "the load ended without figures ({})", output.status);
        serde_json::from_slice(&output.stdout).context("the load printed something else than its figures")
    }
}
