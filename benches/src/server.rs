//! A server under test as a process: started, awaited, and ended whatever happens.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpStream;

use crate::ready::{Listener, Ready};

/// From the start of the process to its ready file. A first launch makes certificates, and callgrind makes it fifty
/// times slower.
const READY_TIMEOUT: Duration = Duration::from_secs(120);
/// From the signal to the end; longer than the gateway drains.
const END_TIMEOUT: Duration = Duration::from_secs(60);
/// How often the signal is repeated: nginx misses one that arrives right before it waits for a connection.
const END_INTERVAL: Duration = Duration::from_secs(5);
const READY_INTERVAL: Duration = Duration::from_millis(10);
/// How many lines of the server's output an error has.
const LOG_LINES_MAX: usize = 20;

/// A running server. Dropping it ends the process.
#[derive(Debug)]
pub struct Server {
    child: Child,
    ready_file: PathBuf,
    ready_after: Duration,
}

impl Server {
    /// Starts a server and waits until it is ready. Its output goes to `log`.
    ///
    /// A server that writes no ready file names its listeners and its certificate here; it is ready when it
    /// accepts on all of them, and the file is written for it.
    pub async fn start(
        mut command: Command,
        ready_file: &Path,
        log: &Path,
        listeners: Option<(Vec<Listener>, &Path)>,
    ) -> anyhow::Result<Self> {
        // An earlier server's file would be taken for this one's.
        if ready_file.exists() {
            fs::remove_file(ready_file).with_context(|| format!("cannot remove {}", ready_file.display()))?;
        }
        let output = fs::File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
        let mut server = Self { child, ready_file: ready_file.to_owned(), ready_after: Duration::ZERO };
        let begin = Instant::now();
        let ready = server.await_ready(listeners, begin + READY_TIMEOUT).await;
        server.ready_after = begin.elapsed();
        ready.with_context(|| format!("the server failed; it printed:\n{}", tail(log)))?;
        Ok(server)
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The file with its addresses.
    #[must_use]
    pub fn ready_file(&self) -> &Path {
        &self.ready_file
    }

    /// The time from its start until it was ready, to [`READY_INTERVAL`].
    #[must_use]
    pub fn ready_after(&self) -> Duration {
        self.ready_after
    }

    /// Sends the signal until the process ends: a profiler writes its figures then.
    pub async fn end(mut self, signal: Signal) -> anyhow::Result<()> {
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

    async fn await_ready(
        &mut self,
        listeners: Option<(Vec<Listener>, &Path)>,
        deadline: Instant,
    ) -> anyhow::Result<()> {
        if let Some((listeners, ca)) = listeners {
            for Listener { address, .. } in &listeners {
                while TcpStream::connect(address).await.is_err() {
                    self.keep_waiting(deadline).await?;
                }
            }
            // If this process could not bind and ended, another one accepted.
            self.ensure_running()?;
            return Ready { listeners, pid: self.pid(), ca: Some(ca.to_owned()) }.write(&self.ready_file);
        }
        loop {
            if let Ok(ready) = Ready::read(&self.ready_file) {
                // CPU time is read by this number.
                let (pid, started) = (ready.pid, self.pid());
                ensure!(pid == started, "its ready file names process {pid}, but it is process {started}");
                return Ok(());
            }
            self.keep_waiting(deadline).await?;
        }
    }

    async fn keep_waiting(&mut self, deadline: Instant) -> anyhow::Result<()> {
        self.ensure_running()?;
        ensure!(Instant::now() < deadline, "it was not ready after {READY_TIMEOUT:?}");
        tokio::time::sleep(READY_INTERVAL).await;
        Ok(())
    }

    fn ensure_running(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("it ended before it was ready ({status})"),
            None => Ok(()),
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

    async fn shell(script: &str, listeners: Option<(Vec<Listener>, &Path)>) -> anyhow::Result<Server> {
        let folder = tempfile::tempdir()?;
        let ready_file = folder.path().join("ready");
        let mut command = Command::new("sh");
        command.args(["-c", script]).arg(&ready_file);
        Server::start(command, &ready_file, &folder.path().join("log"), listeners).await
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_server_that_ends_at_once_is_an_error_with_its_output() -> anyhow::Result<()> {
        // The port is released at once, so nothing accepts on it.
        let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let listeners = vec![Listener::api(address, [Protocol::H1], false)];
        for listeners in [None, Some((listeners, Path::new("ca")))] {
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
