//! One server in the comparison, and how it is put under load.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::answer;
use crate::load::Outcome;
use crate::pin;
use crate::protocol::Protocol;
use crate::server::Server;

/// One part in so many is sent as a warm-up before each run.
const WARM_UP_SHARE: u64 = 10;
/// A run that takes longer than this is given up; the load gives up a little earlier by itself.
const RUN_TIMEOUT: Duration = Duration::from_secs(300);
/// As long as a key, and known to nobody.
const WRONG_AUTHORIZATION: &str = "Bearer pgw_live_1111111111111111111111111111111111111111111111111";

/// A running server, and what has to be known to ask it.
pub(super) struct Contestant {
    /// What it is called in the report.
    pub(super) name: String,
    /// Its process, and the ready file by which it is found.
    pub(super) server: Server,
    /// A file with the value of `Authorization` that it answers.
    pub(super) authorization: PathBuf,
    /// What it speaks.
    pub(super) protocols: Vec<Protocol>,
    /// Whether it refuses a wrong key.
    knows_keys: bool,
}

impl Contestant {
    /// Writes the authorization beside the ready file.
    pub(super) fn new(
        name: &str,
        server: Server,
        authorization: &str,
        protocols: &[Protocol],
    ) -> anyhow::Result<Self> {
        let file = server.ready_file().with_extension("authorization");
        std::fs::write(&file, authorization).context("cannot write the authorization")?;
        let (name, protocols) = (name.to_owned(), protocols.to_vec());
        Ok(Self { name, server, authorization: file, protocols, knows_keys: true })
    }

    /// The floor: it speaks everything and answers everyone.
    pub(super) fn floor(name: &str, server: Server) -> anyhow::Result<Self> {
        let floor = Self::new(name, server, answer::PLACEHOLDER_AUTHORIZATION, &Protocol::ALL)?;
        Ok(Self { knows_keys: false, ..floor })
    }

    /// Whether it can take part in the comparison over this protocol.
    pub(super) fn speaks(&self, protocol: Protocol) -> bool {
        self.protocols.contains(&protocol)
    }

    /// One run of the load on a core of its own.
    pub(super) async fn drive(
        &self,
        protocol: Protocol,
        requests: u64,
        load_core: usize,
    ) -> anyhow::Result<Outcome> {
        let warm_up = (requests / WARM_UP_SHARE).to_string();
        self.load(protocol, requests, load_core, &self.authorization, &["--warm-up", &warm_up]).await
    }

    /// Whether it answers its own key and refuses another over this protocol, by one request of each.
    ///
    /// # Errors
    /// If it does not: its figures would be those of another job.
    pub(super) async fn prove(&self, protocol: Protocol, load_core: usize) -> anyhow::Result<()> {
        let one = ["--warm-up", "0", "--connections", "1", "--streams", "1"];
        let outcome = self.load(protocol, 1, load_core, &self.authorization, &one).await?;
        self.ensure_right(&outcome, "its own key")?;
        if self.knows_keys {
            let wrong = self.authorization.with_extension("wrong");
            std::fs::write(&wrong, WRONG_AUTHORIZATION).context("cannot write the wrong authorization")?;
            let refused = [one.as_slice(), &["--expect-status", "401,403", "--expect", ""]].concat();
            let outcome = self.load(protocol, 1, load_core, &wrong, &refused).await?;
            self.ensure_right(&outcome, "a wrong key")?;
        }
        Ok(())
    }

    fn ensure_right(&self, outcome: &Outcome, key: &str) -> anyhow::Result<()> {
        let (name, protocol) = (&self.name, outcome.protocol.name());
        let error = outcome.first_error.as_deref().unwrap_or_default();
        ensure!(
            outcome.errors == 0,
            "{name} answers {key} over {protocol} otherwise than it should: {error}"
        );
        Ok(())
    }

    /// Runs the load as a process of its own, because it needs another core than the server.
    async fn load(
        &self,
        protocol: Protocol,
        requests: u64,
        core: usize,
        authorization: &Path,
        arguments: &[&str],
    ) -> anyhow::Result<Outcome> {
        let mut command = pin::command(core, &super::this_program()?);
        command
            .args(["load", "--protocol", protocol.name(), "--requests", &requests.to_string()])
            .arg("--ready-file")
            .arg(self.server.ready_file())
            .arg("--authorization-file")
            .arg(authorization)
            .args(arguments)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit());
        let run = tokio::process::Command::from(command).kill_on_drop(true).output();
        let output = tokio::time::timeout(RUN_TIMEOUT, run).await.context("the load took too long")??;
        // It also ends with 1 when requests failed, but then it has figures, and they say so.
        ensure!(
            !output.stdout.is_empty(),
            "the load of {} over {} ended without figures ({})",
            self.name,
            protocol.name(),
            output.status
        );
        serde_json::from_slice(&output.stdout).context("the load printed something else than its figures")
    }
}
