//! The peers: other servers with the same job as the gateway.
//!
//! Each one looks a key up in a map, limits its partner to a rate that the load never reaches, and responds with the
//! floor's bytes to the paths that it has; it logs no requests. Each has one thread, and TLS with the same kind of
//! certificate. What a peer cannot do, it need not: Debian's servers have no HTTP/3 and caddy no rate limit; none has
//! permissions, dates, or a request id for each call.

mod caddy;
mod haproxy;
mod install;
mod nginx;
mod peer;
mod programs;

use std::path::Path;

use anyhow::Context as _;
use rustix::process::Signal;

use crate::launch::Launch;
use crate::ready::Listener;
use crate::server::Server;
use install::Tool;
pub(crate) use peer::Installed;
pub use peer::Peer;
use peer::{CommandLine, Files, STREAM_PATH};

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

    /// An nginx by its binary.
    pub(crate) fn nginx_at(binary: &Path) -> anyhow::Result<Self> {
        let binary = binary.canonicalize().with_context(|| format!("there is no {}", binary.display()))?;
        nginx::installed("other nginx", Tool::at(binary))
    }

    /// Its program.
    pub(crate) fn program(&self) -> &Path {
        &self.tool.program
    }

    /// Why it cannot run under callgrind, if it cannot.
    pub(crate) fn no_callgrind(&self) -> Option<&'static str> {
        (self.peer == Peer::Caddy).then_some("callgrind aborts at the signals of Go's scheduler")
    }

    /// The path of a file of 1 GiB, where it serves files.
    pub(crate) fn stream_path(&self) -> Option<&'static str> {
        matches!(self.peer, Peer::Nginx | Peer::Caddy).then_some(STREAM_PATH)
    }

    /// The signal that ends it at once: pingora would go on for five minutes after TERM.
    pub(crate) fn end_signal(&self) -> Signal {
        if self.peer == Peer::Pingora { Signal::INT } else { Signal::TERM }
    }

    /// Configures and starts it, on ports that are free now.
    pub(crate) async fn start(&self, folder: &Path, launch: &Launch<'_>) -> anyhow::Result<Server> {
        let mut files = Files::new(folder)?;
        if self.peer == Peer::Haproxy {
            // It adds no date.
            files.responses = files.responses.with_constant_date();
        }
        let CommandLine { arguments, variables } = match self.peer {
            Peer::Nginx => nginx::configure(self, &files),
            Peer::Haproxy => haproxy::configure(&files),
            Peer::Caddy => caddy::configure(&files),
            Peer::Pingora | Peer::Axum => programs::configure(&files),
        }?;
        let mut command = launch.command(self.program());
        command.args(arguments).envs(self.tool.variables()).envs(variables).current_dir(folder);
        let listener = |address, tls| {
            let protocols = self.protocols.iter().copied().filter(|protocol| protocol.is_encrypted() == tls);
            Listener::api(address, protocols, tls)
        };
        let listeners = vec![listener(files.http, false), listener(files.https, true)];
        let (ready_file, log) = (folder.join("ready.json"), folder.join("log"));
        Server::start(command, &ready_file, &log, Some((listeners, &files.certificate))).await
    }
}
