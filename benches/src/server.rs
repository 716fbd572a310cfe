//! A server under test: started, awaited by its ready file, and ended whatever happens.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpStream;

use crate::ready::{Listener, Ready};

/// From the start of the process to its ready file; a first launch makes keys and certificates.
/// Under a profiler that takes fifty times as long as usual.
const READY_TIMEOUT: Duration = Duration::from_secs(120);
/// From the request to end to the end: longer than the gateway drains.
const END_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a server is asked to end. One that looks for the signal right before it arrives and then waits
/// for a connection, as nginx may, does not end by it.
const END_INTERVAL: Duration = Duration::from_secs(5);
const READY_INTERVAL: Duration = Duration::from_millis(10);
/// How much of what the server printed is shown when it fails.
const LOG_LINES_SHOWN: usize = 20;

/// A running server. Dropping it ends the process.
#[derive(Debug)]
pub struct Server {
    child: Child,
    ready_file: PathBuf,
    ready_after: Duration,
}

impl Server {
    /// Starts a server and waits until its ready file is there. What it prints goes to `log`.
    ///
    /// # Errors
    /// If it cannot be started, ends, is not ready in time, or is not the process that got ready.
    pub async fn start(command: Command, ready_file: &Path, log: &Path) -> anyhow::Result<Self> {
        let mut server = Self::spawn(command, ready_file, log)?;
        let begin = Instant::now();
        server.await_ready().await.with_context(|| failed(log))?;
        server.ready_after = begin.elapsed();
        Ok(server)
    }

    /// Starts a server that knows no ready files: waits until it accepts connections on every listener,
    /// and writes the file for it.
    ///
    /// # Errors
    /// If it cannot be started, ends, or does not accept in time.
    pub async fn start_without_ready_file(
        command: Command,
        (listeners, ca): (Vec<Listener>, &Path),
        ready_file: &Path,
        log: &Path,
    ) -> anyhow::Result<Self> {
        let mut server = Self::spawn(command, ready_file, log)?;
        let begin = Instant::now();
        server.await_listeners(&listeners).await.with_context(|| failed(log))?;
        server.ready_after = begin.elapsed();
        Ready { listeners, pid: server.child.id(), ca: Some(ca.to_owned()) }.write(ready_file)?;
        Ok(server)
    }

    fn spawn(mut command: Command, ready_file: &Path, log: &Path) -> anyhow::Result<Self> {
        // One that an earlier server left would be taken for this one's.
        if ready_file.exists() {
            fs::remove_file(ready_file).with_context(|| format!("cannot remove {}", ready_file.display()))?;
        }
        let output = fs::File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
        Ok(Self { child, ready_file: ready_file.to_owned(), ready_after: Duration::ZERO })
    }

    /// The process, which is also the one whose CPU time counts.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where the load finds it.
    #[must_use]
    pub fn ready_file(&self) -> &Path {
        &self.ready_file
    }

    /// From its start to its ready file, to [`READY_INTERVAL`].
    #[must_use]
    pub fn ready_after(&self) -> Duration {
        self.ready_after
    }

    /// Its resident memory now, in bytes; 0 where the system does not say.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        memory_bytes(self.child.id())
    }

    /// Asks the process by a signal to end and waits until it has: a profiler writes its figures then.
    ///
    /// # Errors
    /// If it is still there after [`END_TIMEOUT`].
    pub async fn end(mut self, signal: Signal) -> anyhow::Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("no such process")?;
        let deadline = Instant::now() + END_TIMEOUT;
        let mut asked: Option<Instant> = None;
        while self.child.try_wait()?.is_none() {
            ensure!(Instant::now() < deadline, "the server did not end within {END_TIMEOUT:?}");
            if asked.is_none_or(|at| at.elapsed() >= END_INTERVAL) {
                kill_process(pid, signal).context("cannot end the server")?;
                asked = Some(Instant::now());
            }
            tokio::time::sleep(READY_INTERVAL).await;
        }
        Ok(())
    }

    async fn await_ready(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY_TIMEOUT;
        loop {
            self.ensure_running()?;
            // A file that is there but not whole yet is as good as none.
            if let Ok(ready) = Ready::read(&self.ready_file) {
                // CPU time is read by this number, so another process's would be a false figure.
                let (told, started) = (ready.pid, self.child.id());
                ensure!(told == started, "its ready file names process {told}, but it is process {started}");
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "it was not ready after {READY_TIMEOUT:?}");
            tokio::time::sleep(READY_INTERVAL).await;
        }
    }

    async fn await_listeners(&mut self, listeners: &[Listener]) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY_TIMEOUT;
        for Listener { address, .. } in listeners {
            while TcpStream::connect(address).await.is_err() {
                self.ensure_running()?;
                ensure!(Instant::now() < deadline, "nothing accepts on {address} after {READY_TIMEOUT:?}");
                tokio::time::sleep(READY_INTERVAL).await;
            }
        }
        // Whoever accepted was another process if this one could not bind and ended.
        self.ensure_running()
    }

    fn ensure_running(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("it ended before it was ready ({status})"),
            None => Ok(()),
        }
    }
}

impl Drop for Server {
    /// Ends the process without a drain, since its data is thrown away, and takes its exit status.
    fn drop(&mut self) {
        // Either fails only if the process has ended and was waited for already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The processes that a process started and that are still there.
///
/// # Errors
/// If the system does not list its processes.
pub(crate) fn children(pid: u32) -> anyhow::Result<Vec<u32>> {
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc").context("cannot list the processes")?.flatten() {
        let Some(child) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // One that has ended meanwhile is nobody's child.
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        if parent(&stat) == Some(pid) {
            children.push(child);
        }
    }
    Ok(children)
}

/// The fourth field of `/proc/PID/stat`. The second one is a name in parentheses, which may hold some itself.
fn parent(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// The resident memory of a process now, in bytes; 0 where the system does not say.
fn memory_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// What an error says first.
fn failed(log: &Path) -> String {
    format!("the server failed; it printed:\n{}", tail(log))
}

/// The last lines of what the server printed.
fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn a_server_that_ends_at_once_is_an_error_with_what_it_printed() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let mut command = Command::new("sh");
        command.args(["-c", "echo no such option; exit 2"]);
        let started = Server::start(command, &folder.path().join("ready"), &folder.path().join("log")).await;
        let Err(error) = started else { bail!("it cannot be ready") };
        assert!(format!("{error:#}").contains("no such option"));
        Ok(())
    }

    #[test]
    fn a_process_is_its_parents_child() -> anyhow::Result<()> {
        assert_eq!(parent("42 (a) b (c) S 7 42 42 0"), Some(7));
        let mut child = Command::new("sleep").arg("60").spawn()?;
        let found = children(std::process::id());
        child.kill()?;
        child.wait()?;
        assert!(found?.contains(&child.id()));
        Ok(())
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_server_that_misses_the_first_signal_ends_by_the_second() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let ready_file = folder.path().join("ready");
        let mut command = Command::new("sh");
        command.args(["-c", "trap 'trap - TERM' TERM; touch $0; while :; do sleep 0.05; done"]);
        command.arg(&ready_file);
        let server = Server::spawn(command, &ready_file, &folder.path().join("log"))?;
        let deadline = Instant::now() + READY_TIMEOUT;
        while !ready_file.exists() {
            ensure!(Instant::now() < deadline, "the shell did not begin");
            tokio::time::sleep(READY_INTERVAL).await;
        }
        let begin = Instant::now();
        server.end(Signal::TERM).await?;
        assert!(begin.elapsed() >= END_INTERVAL, "it ended after {:?}", begin.elapsed());
        Ok(())
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_server_without_ready_file_that_ends_at_once_gets_none() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        // The port is given back at once, so that nobody accepts on it.
        let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let listeners = vec![crate::floor::listener("http", address, &["http1"], false)];
        let (ready_file, log) = (folder.path().join("ready"), folder.path().join("log"));
        let mut command = Command::new("sh");
        command.args(["-c", "echo address in use; exit 1"]);
        let started =
            Server::start_without_ready_file(command, (listeners, Path::new("ca")), &ready_file, &log).await;
        let Err(error) = started else { bail!("it cannot be ready") };
        assert!(format!("{error:#}").contains("address in use"));
        assert!(!ready_file.exists());
        Ok(())
    }
}
