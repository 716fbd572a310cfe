//! A server under test as a process: started, awaited, and ended whatever happens.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpStream;

use crate::ready::{Listener, Ready};

/// From the start of the process until it is ready. A first launch makes certificates, and callgrind makes it fifty
/// times slower.
const READY_TIMEOUT: Duration = Duration::from_secs(120);
/// From the signal to the end; longer than the gateway drains.
const END_TIMEOUT: Duration = Duration::from_secs(60);
/// How often the signal is repeated: nginx misses one that arrives right before it waits for a connection.
const END_INTERVAL: Duration = Duration::from_secs(5);
const READY_INTERVAL: Duration = Duration::from_millis(10);
/// How many lines of the server's output an error has.
const LOG_LINES_MAX: usize = 20;

/// How a server shows that it is ready.
pub(crate) enum Readiness {
    /// It writes a ready file.
    File(PathBuf),
    /// It accepts on all of these listeners, with certificates of this CA.
    Accepts(Vec<Listener>, PathBuf),
}

impl Readiness {
    /// What the server with this process id has announced, once it is ready.
    async fn check(&self, pid: u32) -> Option<Ready> {
        match self {
            Self::File(file) => Ready::read(file).ok(),
            Self::Accepts(listeners, ca) => {
                for Listener { address, .. } in listeners {
                    TcpStream::connect(address).await.ok()?;
                }
                Some(Ready { listeners: listeners.clone(), pid, ca: Some(ca.clone()) })
            }
        }
    }
}

/// A running server. Dropping it ends the process.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) ready: Ready,
    /// The time from its start until it was ready, to [`READY_INTERVAL`].
    pub(crate) ready_after: Duration,
}

impl Server {
    /// Starts a server and waits until it is ready. Its output goes to `log`.
    pub(crate) async fn start(
        mut command: Command,
        log: &Path,
        readiness: Readiness,
    ) -> anyhow::Result<Self> {
        if let Readiness::File(file) = &readiness {
            // An earlier server's file names another process, which would end the wait.
            drop(fs::remove_file(file));
        }
        let output = fs::File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
        let ready = Ready { listeners: Vec::new(), pid: child.id(), ca: None };
        let mut server = Self { child, ready, ready_after: Duration::ZERO };
        let begin = Instant::now();
        let ready = server.await_ready(&readiness, begin + READY_TIMEOUT).await;
        server.ready = ready.with_context(|| format!("the server failed; it printed:\n{}", tail(log)))?;
        server.ready_after = begin.elapsed();
        Ok(server)
    }

    /// The process whose CPU time, system calls and memory count.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends the signal until the process ends: a profiler writes its figures then.
    pub(crate) async fn end(mut self, signal: Signal) -> anyhow::Result<()> {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).context("no such process")?;
        let deadline = Instant::now() + END_TIMEOUT;
        let mut sent: Option<Instant> = None;
        while self.child.try_wait()?.is_none() {
            ensure!(Instant::now() < deadline, "the server did not end within {END_TIMEOUT:?}");
            if sent.is_none_or(|at| at.elapsed() >= END_INTERVAL) {
                kill_process(pid, signal).context("cannot end the server")?;
                sent = Some(Instant::now());
            }
            tokio::time::sleep(READY_INTERVAL).await;
        }
        Ok(())
    }

    async fn await_ready(&mut self, readiness: &Readiness, deadline: Instant) -> anyhow::Result<Ready> {
        let pid = self.pid();
        loop {
            let ready = readiness.check(pid).await;
            // If this process could not bind and ended, another one accepted.
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended before it was ready ({status})");
            }
            if let Some(ready) = ready {
                // CPU time is read by this number.
                let named = ready.pid;
                ensure!(named == pid, "its ready file names process {named}, but it is process {pid}");
                return Ok(ready);
            }
            ensure!(Instant::now() < deadline, "it was not ready after {READY_TIMEOUT:?}");
            tokio::time::sleep(READY_INTERVAL).await;
        }
    }
}

impl Drop for Server {
    /// Ends the process without a drain and takes its exit status.
    fn drop(&mut self) {
        // Either fails only if the process has ended and was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The last lines of a log.
fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES_MAX)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Protocol;

    async fn shell(script: &str, listeners: Option<Vec<Listener>>) -> anyhow::Result<Server> {
        let folder = tempfile::tempdir()?;
        let ready_file = folder.path().join("ready");
        let mut command = Command::new("sh");
        command.args(["-c", script]).arg(&ready_file);
        let accepts = listeners.map(|listeners| Readiness::Accepts(listeners, "ca".into()));
        let readiness = accepts.unwrap_or(Readiness::File(ready_file));
        Server::start(command, &folder.path().join("log"), readiness).await
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_server_that_ends_at_once_is_an_error_with_its_output() -> anyhow::Result<()> {
        // The port is released at once, so nothing accepts on it.
        let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let listeners = vec![Listener::api(address, [Protocol::H1], false)];
        for listeners in [None, Some(listeners)] {
            let Err(error) = shell("echo no such option; exit 2", listeners).await else {
                bail!("it cannot be ready");
            };
            assert!(format!("{error:#}").contains("no such option"), "{error:#}");
        }
        Ok(())
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_server_that_misses_the_first_signal_ends_by_the_second() -> anyhow::Result<()> {
        let ready = r#"echo "{\"listeners\":[],\"pid\":$$,\"ca\":null}" > $0"#;
        let server =
            shell(&format!("trap 'trap - TERM' TERM; {ready}; while :; do sleep 0.05; done"), None).await?;
        let begin = Instant::now();
        server.end(Signal::TERM).await?;
        assert!(begin.elapsed() >= END_INTERVAL, "it ended after {:?}", begin.elapsed());
        Ok(())
    }
}
