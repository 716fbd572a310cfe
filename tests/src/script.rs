//! A program of another make that runs while the test goes on: it takes lines and prints JSON.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

use crate::repository;

/// A running program. It is killed when it is dropped.
pub struct Script {
    child: Child,
    input: Option<ChildStdin>,
    lines: UnboundedReceiver<String>,
}

impl Script {
    /// Starts a program of `tests/clients` with Node.js.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn node(name: &str, arguments: &[String]) -> Self {
        let mut command = Command::new("node");
        command.arg(repository().join("tests/clients").join(name)).args(arguments);
        command.env("NODE_PATH", repository().join("target/tools/node/node_modules"));
        command.env_remove("NODE_EXTRA_CA_CERTS");
        Self::start(command)
    }

    /// Starts a program.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(mut command: Command) -> Self {
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = spawned.unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
        let lines = lines(child.stdout.take().expect("it is piped"));
        let input = child.stdin.take();
        Self { child, input, lines }
    }

    /// The next JSON that it prints. Libraries print lines of their own, which are none.
    ///
    /// # Panics
    /// When none comes in time.
    pub async fn next(&mut self, within: Duration) -> Value {
        let next = async {
            loop {
                let line = self.lines.recv().await.expect("the program runs");
                if let Ok(value) = serde_json::from_str(&line) {
                    return value;
                }
            }
        };
        timeout(within, next).await.unwrap_or_else(|_| panic!("no line within {within:?}"))
    }

    /// Whether it has printed nothing more so far.
    pub fn is_quiet(&mut self) -> bool {
        self.lines.try_recv().is_err()
    }

    /// Sends it a line.
    ///
    /// # Panics
    /// When it reads no more.
    pub fn tell(&mut self, line: &str) {
        let input = self.input.as_mut().expect("its input was not ended");
        writeln!(input, "{line}").expect("the program reads");
    }

    /// Ends its input.
    pub fn end_input(&mut self) {
        self.input = None;
    }

    /// Ends it, and waits until its ports are closed.
    pub fn stop(&mut self) {
        self.end_input();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The lines of an output, as they come.
pub fn lines(output: impl Read + Send + 'static) -> UnboundedReceiver<String> {
    let (sender, lines) = unbounded_channel();
    std::thread::spawn(move || {
        BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| sender.send(line).ok())
    });
    lines
}
