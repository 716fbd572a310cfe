//! An SMTP server of another make, which reports each mail that it takes.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::{PATIENCE, repository, tool};

/// PyPI's `aiosmtpd` as a process. It is killed when it is dropped.
pub struct SmtpSink {
    child: Child,
    lines: mpsc::UnboundedReceiver<String>,
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
        // Its input stays open until it is dropped.
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut child = spawned.unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
        let output = child.stdout.take().expect("it is piped");
        let (sender, lines) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| sender.send(line).ok())
        });
        let mut sink = Self { child, lines, port: 0 };
        let started = sink.next().await;
        sink.port = started["port"].as_u64().and_then(|port| u16::try_from(port).ok()).expect("a port");
        sink
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The next mail that it took, or what became of a recipient.
    ///
    /// # Panics
    /// When there is none in time.
    pub async fn next(&mut self) -> Value {
        let line = timeout(PATIENCE, self.lines.recv()).await.expect("a mail comes in time");
        let line = line.expect("the SMTP server runs");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// Whether it has reported nothing more so far.
    pub fn is_quiet(&mut self) -> bool {
        self.lines.try_recv().is_err()
    }
}

impl Drop for SmtpSink {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
