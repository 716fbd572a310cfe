//! Where measuring takes place: the cores, a folder for the time of it, and the programs that drive servers.

mod contestant;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::de::DeserializeOwned;
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

use crate::load::Outcome;
use crate::options::Place;
use crate::pin;
use crate::protocol::Protocol;
use crate::start::{Setup, this_program};
pub(crate) use contestant::{Contestant, Subject};

/// A run of the load that takes longer than this is given up.
const RUN_TIMEOUT: Duration = Duration::from_secs(600);
/// As long as a key, and known to nobody.
const WRONG_AUTHORIZATION: &str = "Bearer pgw_live_1111111111111111111111111111111111111111111111111";

/// The role that sends requests.
pub(crate) const LOAD: &str = "load";

/// An option of a driving program, without its two dashes; one without a value has an empty one.
pub(crate) type Argument = (&'static str, String);

/// The cores and the folder. The folder goes when this is dropped.
pub(crate) struct Stage {
    server_core: usize,
    load_core: usize,
    /// Whether nothing else needs the load's core.
    load_is_alone: bool,
    folder: TempDir,
}

/// Runs something on a runtime of its own until it is done or this process is asked to end, which drops
/// it: that ends the servers and removes their folder.
///
/// # Errors
/// What it says, or that it was interrupted.
pub(crate) fn until_ended<T>(task: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
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

/// Whose turn it is in a round: everybody's, another one's first in each.
pub(crate) fn turns(round: u32, count: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |turn| (round as usize + turn) % count)
}

impl Stage {
    /// Chooses the cores and makes the folder.
    pub(crate) fn set(place: &Place) -> anyhow::Result<Self> {
        if cfg!(debug_assertions) && !place.smoke {
            eprintln!("This is a debug build: the figures mean nothing. Use cargo run --release.");
        }
        pin::check_tools()?;
        let cores = pin::allowed_cores()?;
        let server_core = place.server_core.or(cores.first().copied()).context("no core may be used")?;
        let load_core = place.load_core.or(cores.get(1).copied()).unwrap_or(server_core);
        if load_core == server_core {
            eprintln!("Server and load share core {server_core}: they disturb each other.");
        }
        // Servers and load inherit it: each connection is a file to both.
        let most = getrlimit(Resource::Nofile).maximum;
        setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most })?;
        let folder = tempfile::Builder::new().prefix("benches-").tempdir().context("cannot make a folder")?;
        Ok(Self { server_core, load_core, load_is_alone: load_core != server_core, folder })
    }

    /// The servers that are measured have the load's core too.
    pub(crate) const fn share_the_loads_core(&mut self) {
        self.load_is_alone = false;
    }

    /// A place for a file of ours.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The usual setup on the servers' core.
    pub(crate) fn setup(&self) -> Setup<'static> {
        Setup::on(self.server_core)
    }

    /// Starts a contestant. What is started for the same purpose again finds its files of the last time.
    pub(crate) async fn start(
        &self,
        contestant: &Contestant,
        purpose: &str,
        setup: &Setup<'_>,
    ) -> anyhow::Result<Subject> {
        let folder = self.file(purpose);
        std::fs::create_dir_all(&folder).context("cannot make a folder")?;
        contestant.start(&folder, setup).await
    }

    /// Whether it answers its own key and refuses another over this protocol, by one request of each, and
    /// does the work in the process that is measured.
    ///
    /// # Errors
    /// If it does not: its figures would be those of another job.
    pub(crate) async fn prove(&self, subject: &Subject, protocol: Protocol) -> anyhow::Result<()> {
        let one = [("requests", "1"), ("warm-up", "0"), ("connections", "1"), ("streams", "1")];
        let one: Vec<Argument> = one.map(|(name, value)| (name, value.to_owned())).into();
        self.load(subject, protocol, &one).await.context("it does not answer its own key")?;
        if subject.knows_keys {
            let wrong = subject.authorization_file.with_extension("wrong");
            std::fs::write(&wrong, WRONG_AUTHORIZATION).context("cannot write the wrong authorization")?;
            let mut command = self.driver(LOAD, subject, protocol, &wrong)?;
            command.args(["--expect-status", "401,403", "--expect", ""]);
            let outcome: Outcome = figures(&self.output(arguments(command, &one)).await?)?;
            outcome.ensure_right(&subject.name).context("it does not refuse a wrong key")?;
        }
        subject.ensure_alone()
    }

    /// Drives a server by the load, all of whose requests have to be answered as they should be.
    pub(crate) async fn load(
        &self,
        subject: &Subject,
        protocol: Protocol,
        options: &[Argument],
    ) -> anyhow::Result<Outcome> {
        let outcome: Outcome = self.drive(LOAD, subject, protocol, options).await?;
        outcome.ensure_right(&subject.name)?;
        Ok(outcome)
    }

    /// Runs this program in a role that drives a server, and reads what it prints.
    pub(crate) async fn drive<T: DeserializeOwned>(
        &self,
        role: &str,
        subject: &Subject,
        protocol: Protocol,
        options: &[Argument],
    ) -> anyhow::Result<T> {
        let command = self.driver(role, subject, protocol, &subject.authorization_file)?;
        let output = self.output(arguments(command, options)).await?;
        figures(&output).with_context(|| format!("{role} of {} over {}", subject.name, protocol.name()))
    }

    /// A command that is this program in a role that drives a server.
    pub(crate) fn driver(
        &self,
        role: &str,
        subject: &Subject,
        protocol: Protocol,
        authorization_file: &Path,
    ) -> anyhow::Result<Command> {
        let mut command = pin::command(self.load_core, &this_program()?);
        command.args([role, "--protocol", protocol.name(), "--ready-file"]).arg(subject.ready_file());
        command.arg("--authorization-file").arg(authorization_file);
        if role == LOAD && self.load_is_alone {
            command.arg("--awake");
        }
        Ok(command)
    }

    /// Runs a program to its end; it has to end well.
    pub(crate) async fn run(&self, command: Command) -> anyhow::Result<()> {
        let what = format!("{command:?}");
        let Output { status, stdout, .. } = self.output(command).await?;
        let printed = String::from_utf8_lossy(&stdout);
        ensure!(status.success(), "{what} ended with {status}; it printed: {printed}");
        Ok(())
    }

    async fn output(&self, mut command: Command) -> anyhow::Result<Output> {
        command.stdin(Stdio::null()).stderr(Stdio::inherit());
        let run = tokio::process::Command::from(command).kill_on_drop(true).output();
        Ok(tokio::time::timeout(RUN_TIMEOUT, run).await.context("it took too long")??)
    }
}

fn arguments(mut command: Command, options: &[Argument]) -> Command {
    for (name, value) in options {
        command.arg(format!("--{name}"));
        if !value.is_empty() {
            command.arg(value);
        }
    }
    command
}

/// What a driving program printed. It also ends with 1 when requests failed, but then it has figures, and
/// they say so.
fn figures<T: DeserializeOwned>(output: &Output) -> anyhow::Result<T> {
    ensure!(!output.stdout.is_empty(), "it ended without figures ({})", output.status);
    serde_json::from_slice(&output.stdout).context("it printed something else than figures")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_a_turn_in_each_round_and_is_first_in_one() {
        let rounds: Vec<Vec<usize>> = (0..3).map(|round| turns(round, 3).collect()).collect();
        assert_eq!(rounds, [[0, 1, 2], [1, 2, 0], [2, 0, 1]]);
    }
}
