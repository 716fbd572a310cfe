//! The servers that are compared: the floor, the gateway and the peers.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::Signal;

use crate::launch::{Launch, this_program};
use crate::peers::{Installed, Peer};
use crate::proc::{children, memory_bytes};
use crate::protocol::Protocol;
use crate::seed::{KEYS, seed};
use crate::server::Server;

/// No line for each request, and a rate that the load never reaches. The limiter stays on: its cost belongs to the
/// figure.
const CONFIG: &str = r#"[log]
level = "warn"

[limits]
key_rate = "1000000/s+1000000"

[listeners.http]
addresses = ["127.0.0.1:0"]

[listeners.https]
addresses = ["127.0.0.1:0"]

[listeners.docs]
enabled = false
[listeners.operations]
addresses = ["127.0.0.1:0"]
"#;

/// The prefix of options in the environment.
const VARIABLE_PREFIX: &str = "GATEWAY__";

/// A server that can be started, any number of times.
#[derive(Debug)]
pub(crate) struct Contestant {
    /// Its name in reports.
    pub(crate) name: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Floor,
    /// The floor's plain QUIC streams in place of HTTP/3.
    QuicStreams,
    Gateway(PathBuf, Settings),
    Peer(Installed),
}

/// The settings of a gateway.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) workers: usize,
    pub(crate) access_log: bool,
    /// Keys in its store beside those that are used.
    pub(crate) more_keys: usize,
    /// How often the last use of its keys is written.
    pub(crate) last_used_interval: &'static str,
}

impl Default for Settings {
    fn default() -> Self {
        Self { workers: 1, access_log: false, more_keys: 0, last_used_interval: "60s" }
    }
}

/// A running contestant. Dropping it ends the process.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) name: String,
    pub(crate) server: Server,
    /// Its resident memory when it was ready, before the first request.
    pub(crate) idle_bytes: u64,
    /// Whether it refuses a wrong key.
    pub(crate) checks_keys: bool,
    quic_streams: bool,
    end_signal: Signal,
}

impl Contestant {
    /// The floor.
    pub(crate) fn floor(name: &str) -> Self {
        Self { name: name.to_owned(), kind: Kind::Floor }
    }

    /// The floor's plain QUIC streams, for comparisons over HTTP/3.
    pub(crate) fn quic_streams() -> Self {
        Self { name: "streams".to_owned(), kind: Kind::QuicStreams }
    }

    /// A gateway by its binary.
    pub(crate) fn gateway(name: &str, binary: &Path, settings: Settings) -> Self {
        Self { name: name.to_owned(), kind: Kind::Gateway(binary.to_owned(), settings) }
    }

    /// A peer, which is installed if it is missing.
    pub(crate) fn peer(peer: Peer) -> anyhow::Result<Self> {
        let installed = Installed::find(peer)?;
        Ok(Self { name: installed.name.clone(), kind: Kind::Peer(installed) })
    }

    /// An nginx by its binary.
    pub(crate) fn nginx(binary: &Path) -> anyhow::Result<Self> {
        let installed = Installed::nginx_at(binary)?;
        Ok(Self { name: installed.name.clone(), kind: Kind::Peer(installed) })
    }

    /// Whether it can be measured over a protocol.
    pub(crate) fn supports(&self, protocol: Protocol) -> bool {
        match &self.kind {
            Kind::Floor | Kind::Gateway(..) => Protocol::ALL.contains(&protocol),
            Kind::QuicStreams => protocol == Protocol::H3,
            Kind::Peer(peer) => peer.protocols.contains(&protocol),
        }
    }

    /// Its program.
    pub(crate) fn program(&self) -> anyhow::Result<PathBuf> {
        match &self.kind {
            Kind::Floor | Kind::QuicStreams => this_program(),
            Kind::Gateway(binary, _) => Ok(binary.clone()),
            Kind::Peer(peer) => Ok(peer.program().to_owned()),
        }
    }

    /// Its data folder, where it was started for this purpose.
    pub(crate) fn data_folder(&self, purpose: &Path) -> PathBuf {
        purpose.join(self.folder_name()).join("data")
    }

    fn folder_name(&self) -> String {
        self.name.replace(' ', "-")
    }

    /// Why it cannot run under callgrind, if it cannot.
    pub(crate) fn no_callgrind(&self) -> Option<&'static str> {
        match &self.kind {
            Kind::Peer(peer) => peer.no_callgrind(),
            Kind::Floor | Kind::QuicStreams | Kind::Gateway(..) => None,
        }
    }

    /// The path of a response of 1 GiB, if it has one; the gateway's is an option.
    pub(crate) fn stream_path<'a>(&self, gateway: Option<&'a str>) -> Option<&'a str> {
        match &self.kind {
            Kind::Floor | Kind::QuicStreams => None,
            Kind::Gateway(..) => gateway,
            Kind::Peer(peer) => peer.stream_path(),
        }
    }

    /// How many cores it needs.
    pub(crate) fn cores(&self) -> usize {
        if let Kind::Gateway(_, settings) = &self.kind { settings.workers } else { 1 }
    }

    /// Starts it with its files in a folder of its name.
    pub(crate) async fn start(&self, folder: &Path, launch: &Launch<'_>) -> anyhow::Result<Subject> {
        let folder = folder.join(self.folder_name());
        fs::create_dir_all(&folder).context("cannot make a folder")?;
        let mut end_signal = Signal::TERM;
        let server = match &self.kind {
            Kind::Floor | Kind::QuicStreams => {
                let ready_file = folder.join("ready.json");
                let mut command = launch.command(&this_program()?);
                command.arg("floor").arg("--ready-file").arg(&ready_file);
                Server::start(command, &ready_file, &folder.join("log"), None).await
            }
            Kind::Gateway(binary, settings) => gateway(binary, *settings, &folder, launch).await,
            Kind::Peer(peer) => {
                end_signal = peer.end_signal();
                peer.start(&folder, launch).await
            }
        };
        let server = server.with_context(|| format!("cannot start {}", self.name))?;
        Ok(Subject {
            name: self.name.clone(),
            idle_bytes: memory_bytes(server.pid())?,
            server,
            checks_keys: !matches!(self.kind, Kind::Floor | Kind::QuicStreams),
            quic_streams: matches!(self.kind, Kind::QuicStreams),
            end_signal,
        })
    }
}

/// Starts a gateway. A folder that was used before keeps its store.
async fn gateway(
    binary: &Path,
    settings: Settings,
    folder: &Path,
    launch: &Launch<'_>,
) -> anyhow::Result<Server> {
    let binary = binary
        .canonicalize()
        .with_context(|| format!("there is no {}; build it with: cargo build --release", binary.display()))?;
    let (config, data, ready_file) =
        (folder.join("gateway.toml"), folder.join("data"), folder.join("ready.json"));
    fs::write(&config, CONFIG).context("cannot write the configuration")?;
    if !data.exists() {
        seed(&data, KEYS + settings.more_keys)?;
    }
    let mut command = launch.command(&binary);
    command.arg("serve").arg("--ready-file").arg(&ready_file);
    command.arg("--data-dir").arg(&data).arg("--config").arg(&config);
    // Options in this process's environment would win over the file.
    let options = std::env::vars_os().map(|(name, _)| name);
    options.filter(|name| name.to_string_lossy().starts_with(VARIABLE_PREFIX)).for_each(|name| {
        command.env_remove(name);
    });
    command.env("GATEWAY__RUNTIME__WORKERS", settings.workers.to_string());
    command.env("GATEWAY__LOG__ACCESS", settings.access_log.to_string());
    command.env("GATEWAY__STORE__LAST_USED_INTERVAL", settings.last_used_interval);
    if launch.callgrind.is_some() {
        // A request takes fifty times longer there, so work by the clock would count fifty times too much.
        command.env("GATEWAY__STORE__CHANGE_INTERVAL", "1s");
    }
    Server::start(command, &ready_file, &folder.join("log"), None).await
}

impl Subject {
    /// The process whose CPU time, system calls and memory count.
    pub(crate) fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// The time from its start until it was ready.
    pub(crate) fn ready_after(&self) -> Duration {
        self.server.ready_after()
    }

    /// The protocol that the load uses for a comparison over `protocol`.
    pub(crate) fn protocol(&self, protocol: Protocol) -> Protocol {
        if self.quic_streams { Protocol::QuicStreams } else { protocol }
    }

    /// Ends it in order.
    pub(crate) async fn end(self) -> anyhow::Result<()> {
        self.server.end(self.end_signal).await.with_context(|| format!("cannot end {}", self.name))
    }

    /// Fails if it has child processes: their work would be in no figure.
    pub(crate) fn ensure_one_process(&self) -> anyhow::Result<()> {
        let children = children(self.pid())?;
        ensure!(children.is_empty(), "{} works in child processes ({children:?})", self.name);
        Ok(())
    }
}
