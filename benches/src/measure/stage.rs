//! Where measuring takes place: the cores, a folder for the time of it, and the servers.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde::de::DeserializeOwned;
use tempfile::TempDir;

use crate::protocol::Protocol;
use crate::ready::Ready;
use crate::server::{Server, memory_bytes};
use crate::start::{self, Setup, this_program};
use crate::{answer, pin};

/// A run of the load that takes longer than this is given up.
const RUN_TIMEOUT: Duration = Duration::from_secs(600);

/// What all instruments have in common on the command line.
#[derive(Clone, Debug, clap::Args)]
pub struct Common {
    /// The gateway's binary.
    #[arg(long, value_name = "FILE", default_value = "target/release/partner-gateway")]
    pub gateway: PathBuf,
    /// What to measure over.
    #[arg(long, value_delimiter = ',', default_values = ["h1", "h1-tls", "h2-tls", "h3"])]
    pub protocols: Vec<Protocol>,
    /// The core of the servers [default: the first that may be used].
    #[arg(long)]
    pub server_core: Option<usize>,
    /// The core of the load [default: the second that may be used, if there is one].
    #[arg(long)]
    pub load_core: Option<usize>,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
    /// As little as shows that it works; the figures mean nothing.
    #[arg(long)]
    pub smoke: bool,
}

/// A server that runs already, to be measured in the place of the gateway.
#[derive(Clone, Debug, clap::Args)]
pub struct Running {
    /// The ready file of a server that runs already, to measure it instead of the gateway.
    #[arg(long, value_name = "FILE", requires = "authorization_file")]
    pub ready_file: Option<PathBuf>,
    /// A file that holds the value of `Authorization` for it.
    #[arg(long, value_name = "FILE", requires = "ready_file")]
    pub authorization_file: Option<PathBuf>,
}

/// A server, started by us or by somebody else.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) name: &'static str,
    pub(super) pid: u32,
    pub(super) ready_file: PathBuf,
    pub(super) authorization_file: PathBuf,
    server: Option<Server>,
}

impl Subject {
    /// How soon it was ready and how much memory it has now.
    pub(super) fn presence(&self) -> String {
        let ready = self.server.as_ref().map_or(0.0, |server| server.ready_after().as_secs_f64());
        format!("ready after {:.2} s, {:.1} MB resident", ready, memory_bytes(self.pid) as f64 / 1e6)
    }

    /// Ends it in order, if we started it.
    pub(super) async fn end(self) -> anyhow::Result<()> {
        match self.server {
            Some(server) => server.end().await,
            None => Ok(()),
        }
    }
}

/// The cores and the folder. The folder goes when this is dropped.
pub(super) struct Stage {
    pub(super) server_core: usize,
    pub(super) load_core: usize,
    pub(super) gateway: PathBuf,
    folder: TempDir,
}

impl Stage {
    pub(super) fn set(common: &Common) -> anyhow::Result<Self> {
        if cfg!(debug_assertions) && !common.smoke {
            eprintln!("This is a debug build: the figures mean nothing. Use cargo run --release.");
        }
        pin::check_tools()?;
        let cores = pin::allowed_cores()?;
        let server_core = common.server_core.or(cores.first().copied()).context("no core may be used")?;
        let load_core = common.load_core.or(cores.get(1).copied()).unwrap_or(server_core);
        if load_core == server_core {
            eprintln!("Server and load share core {server_core}: they disturb each other.");
        }
        let folder = tempfile::Builder::new().prefix("measure-").tempdir().context("cannot make a folder")?;
        Ok(Self { server_core, load_core, gateway: common.gateway.clone(), folder })
    }

    /// A place for a file of ours.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The usual setup on the servers' core.
    pub(super) fn setup(&self) -> Setup<'static> {
        Setup::on(self.server_core)
    }

    /// Starts a floor.
    pub(super) async fn floor(&self, setup: &Setup<'_>) -> anyhow::Result<Subject> {
        let server = start::floor(&self.file("floor"), setup).await?;
        self.subject("floor", server, answer::PLACEHOLDER_AUTHORIZATION)
    }

    /// Starts a gateway. Those of the same name have the same data folder.
    pub(super) async fn gateway(&self, name: &'static str, setup: &Setup<'_>) -> anyhow::Result<Subject> {
        let (server, authorization) = start::gateway(&self.gateway, &self.file(name), setup).await?;
        self.subject(name, server, &authorization)
    }

    /// The floor and, beside it, the gateway or what runs already.
    pub(super) async fn both(&self, running: &Running) -> anyhow::Result<[Subject; 2]> {
        let setup = self.setup();
        let floor = self.floor(&setup).await?;
        let (Some(ready_file), Some(authorization_file)) = (&running.ready_file, &running.authorization_file)
        else {
            return Ok([floor, self.gateway("gateway", &setup).await?]);
        };
        let other = Subject {
            name: "server",
            pid: Ready::read(ready_file)?.pid,
            ready_file: ready_file.clone(),
            authorization_file: authorization_file.clone(),
            server: None,
        };
        Ok([floor, other])
    }

    fn subject(&self, name: &'static str, server: Server, authorization: &str) -> anyhow::Result<Subject> {
        let authorization_file = self.file(&format!("{name}.authorization"));
        std::fs::write(&authorization_file, authorization).context("cannot write the authorization")?;
        let (pid, ready_file) = (server.pid(), server.ready_file().to_owned());
        Ok(Subject { name, pid, ready_file, authorization_file, server: Some(server) })
    }

    /// Runs this program in a role that drives a server, and reads what it prints.
    pub(super) async fn drive<T: DeserializeOwned>(
        &self,
        role: &str,
        subject: &Subject,
        protocol: Protocol,
        options: &[(&str, String)],
    ) -> anyhow::Result<T> {
        let mut arguments: Vec<OsString> = vec![role.into(), "--protocol".into(), protocol.name().into()];
        arguments.extend(["--ready-file".into(), subject.ready_file.clone().into_os_string()]);
        arguments
            .extend(["--authorization-file".into(), subject.authorization_file.clone().into_os_string()]);
        for (name, value) in options {
            arguments.push(format!("--{name}").into());
            if !value.is_empty() {
                arguments.push(value.into());
            }
        }
        let mut command = pin::command(self.load_core, &this_program()?);
        command.args(arguments);
        let output = self.run(command).await?;
        serde_json::from_slice(&output)
            .with_context(|| format!("`{role}` printed something else than figures"))
    }

    /// Runs a program to its end and gives what it printed.
    pub(super) async fn run(&self, mut command: Command) -> anyhow::Result<Vec<u8>> {
        command.stdin(Stdio::null()).stderr(Stdio::inherit());
        let what = format!("{command:?}");
        let run = tokio::process::Command::from(command).kill_on_drop(true).output();
        let output = tokio::time::timeout(RUN_TIMEOUT, run).await.context("it took too long")??;
        let printed = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "{what} ended with {}; it printed: {printed}", output.status);
        Ok(output.stdout)
    }
}
