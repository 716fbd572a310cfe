//! A program of `tests/clients` that runs while the test goes on: it takes lines and prints JSON.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::repository;

/// A running program. It is killed when it is dropped.
pub struct Script {
    name: String,
    child: Child,
    input: Option<ChildStdin>,
    lines: mpsc::UnboundedReceiver<String>,
}

impl Script {
    /// Starts a program with Node.js.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn node(name: &str, arguments: &[String]) -> Self {
        let mut command = Command::new("node");
        command.arg(repository().join("tests/clients").join(name)).args(arguments);
        command.env("NODE_PATH", repository().join("target/tools/node/node_modules"));
        command.env_remove("NODE_EXTRA_CA_CERTS");
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = spawned.unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
        let output = child.stdout.take().expect("it is piped");
        let (sender, lines) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| sender.send(line).ok())
        });
        let input = child.stdin.take();
        Self { name: name.to_owned(), child, input, lines }
    }

    /// The next line that it prints.
    ///
    /// # Panics
    /// When none comes in time, or it is no JSON.
    pub async fn next(&mut self, within: Duration) -> Value {
        let line = timeout(within, self.lines.recv()).await;
        let line = line.unwrap_or_else(|_| panic!("{} prints nothing within {within:?}", self.name));
        let line = line.unwrap_or_else(|| panic!("{} has ended", self.name));
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{}: {error}: {line}", self.name))
    }

    /// Sends it a line.
    ///
    /// # Panics
    /// When it reads no more.
    pub fn tell(&mut self, line: &str) {
        let input = self.input.as_mut().expect("its input was not ended");
        writeln!(input, "{line}").unwrap_or_else(|error| panic!("{}: {error}", self.name));
    }

    /// Ends its input.
    pub fn end_input(&mut self) {
        self.input = None;
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
