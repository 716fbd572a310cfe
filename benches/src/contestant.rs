//! The servers that are compared: the floor, the gateway and the peers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use rustix::process::Signal;

use crate::load::{self, Load, Outcome};
use crate::proc::{children, memory_bytes};
use crate::protocol::Protocol;
use crate::runner::Runner;
use crate::seed::{KEYS, seed};
use crate::server::{Readiness, Server};

/// A server that can be started, any number of times.
pub(crate) struct Contestant {
    /// Its name in reports.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) program: PathBuf,
    /// What it can be measured over.
    pub(crate) protocols: Vec<Protocol>,
    /// Why it cannot run under callgrind, if it cannot.
    pub(crate) no_callgrind: Option<&'static str>,
    /// The path of a response of 1 GiB, if it has one.
    pub(crate) stream_path: Option<String>,
    /// The signal that ends it in order.
    pub(crate) end_signal: Signal,
}

pub(crate) enum Kind {
    Floor,
    /// The floor's plain QUIC streams in place of HTTP/3.
    QuicStreams,
    Gateway(Settings),
    /// With what writes its files and options.
    Peer(Box<Configure>),
}

/// Configures a server of these protocols, with its files in a folder, on ports that are free now.
type Configure = dyn Fn(&[Protocol], &Path, &mut Command) -> anyhow::Result<Readiness>;

/// The file of this program.
pub(crate) fn this_program() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("cannot find this program's file")
}

/// The settings of a gateway.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Settings {
    /// Workers beside the first.
    pub(crate) more_workers: usize,
    pub(crate) access_log: bool,
    /// Keys in its store beside those that are used.
    pub(crate) more_keys: usize,
    /// Whether the last use of keys is written without a pause.
    pub(crate) writes_last_use: bool,
}

/// A running contestant. Dropping it ends the process.
pub(crate) struct Subject<'c> {
    pub(crate) contestant: &'c Contestant,
    pub(crate) server: Server,
    /// Its resident memory when it was ready, before the first request.
    pub(crate) idle_bytes: u64,
}

impl Contestant {
    /// A server that supports all protocols.
    pub(crate) fn new(name: &str, kind: Kind, program: PathBuf) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            program,
            protocols: Protocol::ALL.to_vec(),
            no_callgrind: None,
            stream_path: None,
            end_signal: Signal::TERM,
        }
    }

    /// The floor.
    pub(crate) fn floor(name: &str) -> anyhow::Result<Self> {
        Ok(Self::new(name, Kind::Floor, this_program()?))
    }

    /// The floor's plain QUIC streams, for comparisons over HTTP/3.
    pub(crate) fn quic_streams() -> anyhow::Result<Self> {
        Ok(Self::new("streams", Kind::QuicStreams, this_program()?))
    }

    /// A gateway by its binary.
    pub(crate) fn gateway(name: &str, binary: &Path, settings: Settings) -> anyhow::Result<Self> {
        let program = binary.canonicalize();
        let advice = || format!("there is no {}; build it with: cargo build --release", binary.display());
        Ok(Self::new(name, Kind::Gateway(settings), program.with_context(advice)?))
    }

    /// Whether it is the floor, which accepts every key.
    pub(crate) fn is_floor(&self) -> bool {
        matches!(self.kind, Kind::Floor | Kind::QuicStreams)
    }

    /// The protocol that the load uses for a comparison over `protocol`.
    pub(crate) fn protocol(&self, protocol: Protocol) -> Protocol {
        if matches!(self.kind, Kind::QuicStreams) { Protocol::QuicStreams } else { protocol }
    }

    /// How many cores it needs.
    pub(crate) fn cores(&self) -> usize {
        if let Kind::Gateway(settings) = &self.kind { 1 + settings.more_workers } else { 1 }
    }

    /// Starts it with its files in a folder of its name; one that is started for the same purpose again finds its files of
    /// the last time. With a file, callgrind writes its profile there.
    pub(crate) async fn start(
        &self,
        runner: &Runner,
        purpose: &str,
        callgrind: Option<&Path>,
    ) -> anyhow::Result<Subject<'_>> {
        let folder = runner.file(purpose).join(self.name.replace(' ', "-"));
        fs::create_dir_all(&folder).context("cannot make a folder")?;
        let mut command = runner.command(&self.program, self.cores(), callgrind);
        let ready_file = folder.join("ready.json");
        let readiness = match &self.kind {
            Kind::Floor | Kind::QuicStreams => {
                command.arg("floor").arg("--ready-file").arg(&ready_file);
                Readiness::File(ready_file)
            }
            Kind::Gateway(settings) => {
                let (config, data) = (folder.join("gateway.toml"), folder.join("data"));
                fs::write(&config, settings.config(callgrind.is_some()))?;
                if !data.exists() {
                    seed(&data, KEYS + settings.more_keys)?;
                }
                command.arg("serve").arg("--ready-file").arg(&ready_file);
                command.arg("--data-dir").arg(&data).arg("--config").arg(&config);
                Readiness::File(ready_file)
            }
            Kind::Peer(configure) => configure(&self.protocols, &folder, &mut command)?,
        };
        let server = Server::start(command, &folder.join("log"), readiness).await;
        let server = server.with_context(|| format!("cannot start {}", self.name))?;
        Ok(Subject { contestant: self, idle_bytes: memory_bytes(server.pid())?, server })
    }
}

impl Settings {
    /// The gateway's configuration: no line for each request unless asked for, and a rate that the load never reaches. The
    /// limiter stays on: its cost belongs to the figure.
    fn config(self, callgrind: bool) -> String {
        let (workers, access_log) = (1 + self.more_workers, self.access_log);
        // A request takes fifty times longer under callgrind, so work by the clock would count fifty times too much.
        let store = match (callgrind, self.writes_last_use) {
            (true, _) => "[store]\nchange_interval = \"1s\"\n",
            (false, true) => "[store]\nlast_used_interval = \"100ms\"\n",
            (false, false) => "",
        };
        format!(
            r#"[log]
level = "warn"
access = {access_log}
[runtime]
workers = {workers}
[limits]
key_rate = "1000000/s+1000000"
[listeners.http]
addresses = ["127.0.0.1:0"]
[listeners.https]
addresses = ["127.0.0.1:0"]
[listeners.docs]
enabled = false
[listeners.portal]
enabled = false
[listeners.operations]
addresses = ["127.0.0.1:0"]
{store}"#
        )
    }
}

impl Subject<'_> {
    /// Checks that a server accepts every key with every path, refuses another key and does the work in the measured
    /// process.
    pub(crate) async fn check(&self, runner: &Runner, protocol: Protocol) -> anyhow::Result<()> {
        for (load, claim) in [(Load::EveryKey, "accept every key"), (Load::WrongKey, "refuse a wrong key")] {
            if load == Load::WrongKey && self.contestant.is_floor() {
                continue;
            }
            let once = runner.options(load, 0, load.requests() as u64);
            self.load(runner, protocol, once).await.with_context(|| format!("it does not {claim}"))?;
        }
        self.ensure_one_process()
    }

    /// Runs the load.
    pub(crate) async fn load(
        &self,
        runner: &Runner,
        protocol: Protocol,
        options: load::Options,
    ) -> anyhow::Result<Outcome> {
        let protocol = self.contestant.protocol(protocol);
        runner.within(load::measure(&self.server.ready, protocol, &options)).await
    }

    /// Ends it in order.
    pub(crate) async fn end(self) -> anyhow::Result<()> {
        let Contestant { name, end_signal, .. } = self.contestant;
        self.server.end(*end_signal).await.with_context(|| format!("cannot end {name}"))
    }

    /// Fails if it has child processes: their work would be in no figure.
    pub(crate) fn ensure_one_process(&self) -> anyhow::Result<()> {
        let children = children(self.server.pid())?;
        ensure!(children.is_empty(), "it works in child processes ({children:?})");
        Ok(())
    }
}
