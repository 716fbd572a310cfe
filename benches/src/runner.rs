//! Where it is measured: the cores, a temporary folder, and the load against a server.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

use crate::contestant::{Contestant, Subject};
use crate::launch::Launch;
use crate::load::{self, Load, Outcome};
use crate::proc::allowed_cores;
use crate::protocol::Protocol;

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

    /// Starts a contestant. One that is started for the same purpose again finds its files of the last time.
    pub(crate) async fn start<'c>(
        &self,
        contestant: &'c Contestant,
        purpose: &str,
        callgrind: Option<&Path>,
    ) -> anyhow::Result<Subject<'c>> {
        contestant.start(&self.file(purpose), &self.launch(contestant.cores(), callgrind)).await
    }

    /// How a process on some of the servers' cores is started.
    pub(crate) fn launch<'a>(&'a self, cores: usize, callgrind: Option<&'a Path>) -> Launch<'a> {
        Launch { cores: &self.cores[..cores.min(self.cores.len())], callgrind }
    }

    /// Checks that a server accepts every key with every path, refuses another key and does the work in the measured
    /// process.
    pub(crate) async fn check(&self, subject: &Subject<'_>, protocol: Protocol) -> anyhow::Result<()> {
        for (load, claim) in [(Load::EveryKey, "accept every key"), (Load::WrongKey, "refuse a wrong key")] {
            if load == Load::WrongKey && subject.contestant.is_floor() {
                continue;
            }
            let once = self.options(load, 0, load.requests() as u64);
            self.load(subject, protocol, once).await.with_context(|| format!("it does not {claim}"))?;
        }
        subject.ensure_one_process()
    }

    /// Requests as fast as they are answered.
    pub(crate) fn options(&self, load: Load, warm_up: u64, requests: u64) -> load::Options {
        load::Options { load, shape: None, warm_up, requests, rate: None, awake: self.load_is_alone }
    }

    /// Runs the load.
    pub(crate) async fn load(
        &self,
        subject: &Subject<'_>,
        protocol: Protocol,
        options: load::Options,
    ) -> anyhow::Result<Outcome> {
        let protocol = subject.contestant.protocol(protocol);
        self.within(load::measure(&subject.server.ready, protocol, &options)).await
    }

    /// Gives up what takes too long.
    pub(crate) async fn within<T>(&self, run: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        tokio::time::timeout(LOAD_TIMEOUT, run).await.context("the load took too long")?
    }
}
