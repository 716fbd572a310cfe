//! An SMTP server of another make, which reports each mail that it takes.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::{PATIENCE, Script, repository, tool};

/// PyPI's `aiosmtpd` as a process. It is killed when it is dropped.
pub struct SmtpSink {
    script: Script,
    port: u16,
}

impl SmtpSink {
    /// Without encryption.
    pub async fn plain() -> Self {
        Self::start(&["plain"]).await
    }

    /// Takes mail only after STARTTLS, and from this user.
    ///
    /// # Panics
    /// When a path is not UTF-8.
    pub async fn starttls([chain, key]: [&Path; 2], user: &str, password: &str) -> Self {
        let [chain, key] = [chain, key].map(|file| file.to_str().expect("temporary paths are UTF-8"));
        Self::start(&["starttls", chain, key, user, password]).await
    }

    async fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(tool("py-smtp/bin/python"));
        command.arg(repository().join("tests/clients").join("smtp_sink.py")).args(arguments);
        command.stderr(Stdio::null());
        // Its input stays open until it is dropped.
        let mut sink = Self { script: Script::start(command), port: 0 };
        let started = sink.next().await;
        sink.port = started["port"].as_u64().and_then(|port| u16::try_from(port).ok()).expect("a port");
        sink
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Settings with which the gateway sends its mail here.
    pub fn overlay(&self) -> String {
        let port = self.port;
        format!(
            "[mail]\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\nfrom = \"gateway@example.com\"\n"
        )
    }

    /// The next mail that it took, or what became of a recipient.
    ///
    /// # Panics
    /// When there is none in time.
    pub async fn next(&mut self) -> Value {
        self.script.next(PATIENCE).await
    }

    /// Whether it has reported nothing more so far.
    pub fn is_quiet(&mut self) -> bool {
        self.script.is_quiet()
    }
}
