//! Where it is measured: the cores, a temporary folder, and the load against a server.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

use crate::load::{self, Load};
use crate::proc::allowed_cores;

/// How long a run of the load may take; callgrind makes a server fifty times slower.
const LOAD_TIMEOUT: Duration = Duration::from_secs(600);

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
    /// Chooses the cores, moves this process, which is the load, to the second one and makes the folder.
    pub(crate) fn new() -> anyhow::Result<Self> {
        if cfg!(debug_assertions) {
            eprintln!("This is a debug build: the figures mean nothing. Use cargo run --release.");
        }
        let cores = allowed_cores()?;
        if let Some(&core) = cores.get(1) {
            let mut set = CpuSet::new();
            set.set(usize::try_from(core)?);
            sched_setaffinity(None, &set).context("cannot choose the load's core")?;
        } else {
            eprintln!("Server and load share a core: they disturb each other.");
        }
        // Servers inherit it: each connection is a file to both.
        let most = getrlimit(Resource::Nofile).maximum;
        setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most })?;
        let folder = tempfile::Builder::new().prefix("benches-").tempdir().context("cannot make a folder")?;
        Ok(Self { load_is_alone: cores.len() > 1, cores, folder })
    }

    /// The path of a file in the folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command for a program on some of the servers' cores, which the kernel ends when this process ends; with a file,
    /// callgrind writes its profile there. Each tool replaces itself by what follows, so the child's id is the program's.
    pub(crate) fn command(&self, program: &Path, cores: usize, callgrind: Option<&Path>) -> Command {
        let cores: Vec<String> = self.cores.iter().take(cores).map(u32::to_string).collect();
        let mut command = Command::new("setpriv");
        // An option of the gateway in this process's environment would count.
        command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.args(["--pdeathsig", "KILL", "taskset", "--cpu-list", &cores.join(",")]);
        if let Some(profile) = callgrind {
            let mut file = OsString::from("--callgrind-out-file=");
            file.push(profile);
            command.args(["valgrind", "--tool=callgrind", "--quiet", "--compress-strings=no"]).arg(file);
        }
        command.arg(program);
        command
    }

    /// Requests as fast as they are answered.
    pub(crate) fn options(&self, load: Load, warm_up: u64, requests: u64) -> load::Options {
        load::Options { load, shape: None, warm_up, requests, rate: None, awake: self.load_is_alone }
    }

    /// Gives up what takes too long.
    pub(crate) async fn within<T>(&self, run: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        tokio::time::timeout(LOAD_TIMEOUT, run).await.context("the load took too long")?
    }
}

/// Fails unless a tool is installed.
pub(crate) fn need(tool: &str) -> anyhow::Result<()> {
    let version = Command::new(tool).arg("--version").output();
    let is_installed = version.is_ok_and(|output| output.status.success());
    ensure!(is_installed, "{tool} is missing; install it with: apt-get install {tool}");
    Ok(())
}
