//! Where it is measured: the cores, a temporary folder, and the programs that drive servers.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::de::DeserializeOwned;
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

use crate::contestant::{Contestant, Subject};
use crate::launch::{Launch, pinned, this_program};
use crate::load::{Load, Outcome};
use crate::proc::allowed_cores;
use crate::protocol::Protocol;

/// A driving program that takes longer is given up.
const RUN_TIMEOUT: Duration = Duration::from_secs(600);

/// The role that sends requests.
const LOAD: &str = "load";

/// Options of a driving program by name; one without a value has an empty one.
pub(crate) type Arguments<'a> = &'a [(&'a str, String)];

/// The cores and the folder, which is removed when this is dropped.
pub(crate) struct Runner {
    /// The servers' core first, then the load's.
    cores: Vec<u32>,
    /// Whether nothing else needs the load's core.
    pub(crate) load_is_alone: bool,
    folder: TempDir,
}

/// Runs a task until it is done or this process is asked to end, which drops the task: that ends the servers and
/// removes their folder.
pub(crate) fn block_on<T>(task: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            result = task => result,
            result = tokio::signal::ctrl_c() => Err(result.map_or_else(Into::into, |()| anyhow::anyhow!("interrupted"))),
            _ = terminate.recv() => Err(anyhow::anyhow!("terminated")),
        }
    })
}

impl Runner {
    /// Chooses the cores and makes the folder.
    pub(crate) fn new() -> anyhow::Result<Self> {
        if cfg!(debug_assertions) {
            eprintln!("This is a debug build: the figures mean nothing. Use cargo run --release.");
        }
        let cores = allowed_cores()?;
        if cores.len() < 2 {
            eprintln!("Server and load share a core: they disturb each other.");
        }
        // Servers and load inherit it: each connection is a file to both.
        let most = getrlimit(Resource::Nofile).maximum;
        setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most })?;
        let folder = tempfile::Builder::new().prefix("benches-").tempdir().context("cannot make a folder")?;
        Ok(Self { load_is_alone: cores.len() > 1, cores, folder })
    }

    /// The path of a file in the folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts a contestant. One that is started for the same purpose again finds its files of the last time.
    pub(crate) async fn start(
        &self,
        contestant: &Contestant,
        purpose: &str,
        callgrind: Option<&Path>,
    ) -> anyhow::Result<Subject> {
        contestant.start(&self.file(purpose), &self.launch(contestant.cores(), callgrind)).await
    }

    /// How a process on some of the servers' cores is started.
    pub(crate) fn launch<'a>(&'a self, cores: usize, callgrind: Option<&'a Path>) -> Launch<'a> {
        Launch { cores: &self.cores[..cores.min(self.cores.len())], callgrind }
    }

    /// Makes sure that a server accepts every key with every path, refuses another key and does the work in the measured
    /// process.
    pub(crate) async fn prove(&self, subject: &Subject, protocol: Protocol) -> anyhow::Result<()> {
        for (load, claim) in [(Load::EveryKey, "accept every key"), (Load::WrongKey, "refuse a wrong key")] {
            if load == Load::WrongKey && !subject.checks_keys {
                continue;
            }
            let once = [("requests", load.requests().to_string()), ("warm-up", "0".to_owned())];
            self.load(subject, protocol, load, &once)
                .await
                .with_context(|| format!("it does not {claim}"))?;
        }
        subject.ensure_one_process()
    }

    /// Runs the load, all of whose requests have to succeed.
    pub(crate) async fn load(
        &self,
        subject: &Subject,
        protocol: Protocol,
        load: Load,
        arguments: Arguments<'_>,
    ) -> anyhow::Result<Outcome> {
        let arguments = [&[("load", load.name().to_owned())], arguments].concat();
        let outcome: Outcome = self.drive(LOAD, subject, protocol, &arguments).await?;
        outcome.ensure_no_errors()?;
        Ok(outcome)
    }

    /// Runs this program in a role that drives a server, and parses what it prints.
    pub(crate) async fn drive<T: DeserializeOwned>(
        &self,
        role: &str,
        subject: &Subject,
        protocol: Protocol,
        arguments: Arguments<'_>,
    ) -> anyhow::Result<T> {
        let output = output(self.driver(role, subject, protocol, arguments)?).await?;
        figures(&output).with_context(|| format!("{role} of {} over {protocol}", subject.name))
    }

    /// A command for this program in a role that drives a server.
    pub(crate) fn driver(
        &self,
        role: &str,
        subject: &Subject,
        protocol: Protocol,
        arguments: Arguments<'_>,
    ) -> anyhow::Result<Command> {
        let load_core = self.cores.get(1).or(self.cores.first()).context("there is no core")?;
        let mut command = pinned(&[*load_core], &this_program()?);
        command.args([role, "--protocol", subject.protocol(protocol).name()]);
        command.arg("--ready-file").arg(subject.server.ready_file());
        for (name, value) in arguments {
            command.arg(format!("--{name}")).args(Some(value).filter(|value| !value.is_empty()));
        }
        if role == LOAD && self.load_is_alone {
            command.arg("--awake");
        }
        Ok(command)
    }
}

/// Runs a program to its end.
pub(crate) async fn output(mut command: Command) -> anyhow::Result<Output> {
    command.stdin(Stdio::null()).stderr(Stdio::inherit());
    let run = tokio::process::Command::from(command).kill_on_drop(true).output();
    Ok(tokio::time::timeout(RUN_TIMEOUT, run).await.context("it took too long")??)
}

/// What a driving program printed.
fn figures<T: DeserializeOwned>(output: &Output) -> anyhow::Result<T> {
    ensure!(output.status.success(), "it ended without figures ({})", output.status);
    serde_json::from_slice(&output.stdout).context("it printed something else than figures")
}
