//! Who is measured: the floor, the gateway and the peers, at rest and running.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::Signal;

use crate::answer;
use crate::peers::{Installed, Peer};
use crate::protocol::Protocol;
use crate::server::{Server, children};
use crate::start::{self, Setup, this_program};

/// A server that can be started, as often as it takes.
#[derive(Debug)]
pub(crate) struct Contestant {
    /// What it is called in reports.
    pub(crate) name: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Floor,
    Gateway(PathBuf),
    Peer(Installed),
}

/// A running server, and what has to be known to ask it. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) name: String,
    server: Server,
    /// Its resident memory when it was ready, before the first request.
    pub(crate) idle_bytes: u64,
    /// A file with the value of `Authorization` that it answers.
    pub(crate) authorization_file: PathBuf,
    /// Whether it refuses a wrong key.
    pub(super) knows_keys: bool,
    end_signal: Signal,
}

impl Contestant {
    /// The floor: it speaks everything and answers everyone.
    pub(crate) fn floor(name: &str) -> Self {
        Self { name: name.to_owned(), kind: Kind::Floor }
    }

    /// A gateway by its binary.
    pub(crate) fn gateway(name: &str, binary: &Path) -> Self {
        Self { name: name.to_owned(), kind: Kind::Gateway(binary.to_owned()) }
    }

    /// A peer, which is installed if it is missing.
    pub(crate) fn peer(peer: Peer) -> anyhow::Result<Self> {
        Installed::find(peer).map(Self::installed)
    }

    /// An nginx from elsewhere.
    pub(crate) fn nginx(binary: &Path) -> anyhow::Result<Self> {
        Installed::nginx_at(binary).map(Self::installed)
    }

    fn installed(peer: Installed) -> Self {
        Self { name: peer.name.clone(), kind: Kind::Peer(peer) }
    }

    /// Whether it can be measured over this protocol.
    pub(crate) fn speaks(&self, protocol: Protocol) -> bool {
        match &self.kind {
            Kind::Floor | Kind::Gateway(_) => Protocol::ALL.contains(&protocol),
            Kind::Peer(peer) => peer.protocols.contains(&protocol),
        }
    }

    /// Its own file.
    pub(crate) fn program(&self) -> anyhow::Result<PathBuf> {
        match &self.kind {
            Kind::Floor => this_program(),
            Kind::Gateway(binary) => Ok(binary.clone()),
            Kind::Peer(peer) => Ok(peer.program().to_owned()),
        }
    }

    /// Why it cannot be run under callgrind, if it cannot.
    pub(crate) fn no_callgrind(&self) -> Option<&'static str> {
        match &self.kind {
            Kind::Peer(peer) => peer.no_callgrind(),
            Kind::Floor | Kind::Gateway(_) => None,
        }
    }

    pub(super) async fn start(&self, folder: &Path, setup: &Setup<'_>) -> anyhow::Result<Subject> {
        let own = folder.join(self.name.replace(' ', "-"));
        let (mut knows_keys, mut end_signal) = (true, Signal::TERM);
        let (server, authorization) = match &self.kind {
            Kind::Floor => {
                knows_keys = false;
                (start::floor(&own, setup).await?, answer::PLACEHOLDER_AUTHORIZATION.to_owned())
            }
            Kind::Gateway(binary) => start::gateway(binary, &own, setup).await?,
            Kind::Peer(peer) => {
                end_signal = peer.end_signal();
                (peer.start(&own, setup).await?, answer::PLACEHOLDER_AUTHORIZATION.to_owned())
            }
        };
        let authorization_file = server.ready_file().with_extension("authorization");
        fs::write(&authorization_file, authorization).context("cannot write the authorization")?;
        let (name, idle_bytes) = (self.name.clone(), server.memory_bytes());
        Ok(Subject { name, server, idle_bytes, authorization_file, knows_keys, end_signal })
    }
}

impl Subject {
    /// Its process, whose CPU time, system calls and memory count.
    pub(crate) fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// Where the load finds it.
    pub(crate) fn ready_file(&self) -> &Path {
        self.server.ready_file()
    }

    /// From its start until it served.
    pub(crate) fn ready_after(&self) -> Duration {
        self.server.ready_after()
    }

    /// Its resident memory now.
    ///
    /// # Errors
    /// If the system does not say.
    pub(crate) fn memory_bytes(&self) -> anyhow::Result<u64> {
        let bytes = self.server.memory_bytes();
        ensure!(bytes > 0, "the system does not say how much memory {} has", self.name);
        Ok(bytes)
    }

    /// Ends it in order.
    pub(crate) async fn end(self) -> anyhow::Result<()> {
        self.server.end(self.end_signal).await.with_context(|| format!("cannot end {}", self.name))
    }

    /// Whether all of it is one process: what a child does would be in no figure.
    pub(super) fn ensure_alone(&self) -> anyhow::Result<()> {
        let children = children(self.pid())?;
        ensure!(children.is_empty(), "{} works in processes of its own ({children:?})", self.name);
        Ok(())
    }
}
