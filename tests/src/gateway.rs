//! A gateway for one test: the real binary, on free ports, with a temporary data folder.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tempfile::TempDir;

use crate::tools::output_within;
use crate::{
    Answer, Client, Family, Key, KeySpec, PATIENCE, Protocol, Raw, Response, Way, eventually, gateway_binary,
    get, merged, test_gateway_binary,
};

/// The content of the ready file.
#[derive(Clone, Debug, Deserialize)]
pub struct Ready {
    /// The bound addresses.
    pub listeners: Vec<Listener>,
    /// The process.
    pub pid: u32,
    /// The certificate of the local authority, PEM.
    pub ca: PathBuf,
}

/// One bound address.
#[derive(Clone, Debug, Deserialize)]
pub struct Listener {
    /// The name in the configuration.
    pub name: String,
    /// With the port that was bound.
    pub address: SocketAddr,
    /// Of `http1`, `http2`, `http3`.
    pub protocols: Vec<String>,
    /// Whether it has a certificate.
    pub tls: bool,
    /// Of `api`, `operations`.
    pub serves: Vec<String>,
    /// Of `staging`, `production`.
    pub environments: Vec<String>,
}

/// The settings of a start, and its folder.
#[derive(Clone, Debug)]
pub struct Start {
    program: PathBuf,
    config: String,
    folder: Arc<TempDir>,
    data: PathBuf,
    environment: Vec<(String, String)>,
    profile: Option<&'static str>,
}

impl Start {
    /// A new folder, and the tests' configuration merged with `overlay` (TOML).
    ///
    /// # Panics
    /// When no temporary folder can be made.
    pub fn with(overlay: &str) -> Self {
        let folder = TempDir::with_prefix("partner-gateway-").expect("a temporary folder can be made");
        let data = folder.path().join("data");
        let program = gateway_binary().to_owned();
        Self {
            program,
            config: merged(overlay),
            folder: Arc::new(folder),
            data,
            environment: Vec::new(),
            profile: None,
        }
    }

    /// With the endpoints of [`crate::endpoints`] beside the product's.
    #[must_use]
    pub fn with_test_endpoints(mut self) -> Self {
        self.program = test_gateway_binary();
        self
    }

    /// Uses another data folder than the default.
    #[must_use]
    pub fn data_folder(mut self, path: &Path) -> Self {
        self.data = path.to_owned();
        self
    }

    /// Uses a profile, for the server and the commands.
    #[must_use]
    pub fn profile(mut self, name: &'static str) -> Self {
        self.profile = Some(name);
        self
    }

    /// Sets an environment variable for the server and the commands.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The folder that holds everything of this gateway, data folder included.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The configuration file that the server and the commands are given.
    pub fn config_file(&self) -> PathBuf {
        self.folder.path().join("gateway.toml")
    }

    /// The command `partner-gateway ARGUMENTS` on this folder and configuration.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).arg("--data-dir").arg(&self.data).arg("--config").arg(self.config_file());
        command.args(self.profile.into_iter().flat_map(|profile| ["--profile", profile]));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.folder.path()).env("RUST_BACKTRACE", "1");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    ///
    /// # Panics
    /// When it takes longer than 30 seconds.
    pub async fn run(&self, arguments: &[&str]) -> Output {
        let command = self.command(arguments);
        let run = move || output_within(command, Duration::from_secs(30));
        tokio::task::spawn_blocking(run).await.expect("the command ends in time")
    }

    /// Writes the configuration file again with another overlay, without a reload.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn write_config(&mut self, overlay: &str) {
        self.config = merged(overlay);
        self.write_config_text(&self.config);
    }

    /// Writes any text as the configuration file.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn write_config_text(&self, text: &str) {
        std::fs::write(self.config_file(), text).expect("the test's folder is writable");
    }

    /// Starts the server and waits until it is ready.
    ///
    /// # Errors
    /// The status and the output, when it ended instead.
    ///
    /// # Panics
    /// When it is neither ready nor ended in time.
    pub async fn try_launch(self) -> Result<TestGateway, (ExitStatus, String)> {
        self.write_config_text(&self.config);
        let ready_file = self.folder.path().join("ready.json");
        // A launch on a folder that was used before must not read the earlier launch's file.
        let _ = std::fs::remove_file(&ready_file);
        let log_file = |name: &str| self.folder.path().join(name);
        let create = |path: PathBuf| File::create(path).expect("the test's folder is writable");
        let child = self
            .command(&["serve", "--ready-file", ready_file.to_str().expect("temporary paths are UTF-8")])
            .stdout(create(log_file("stdout")))
            .stderr(create(log_file("stderr")))
            .spawn()
            .expect("the gateway can be started");
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a child has a pid");
        let mut gateway = TestGateway {
            start: self,
            child: Mutex::new(child),
            pid,
            ready: Ready { listeners: Vec::new(), pid: 0, ca: PathBuf::new() },
        };
        let read = eventually(PATIENCE, async || {
            if let Some(status) = gateway.status() {
                return Some(Err(status));
            }
            let text = std::fs::read_to_string(&ready_file).ok()?;
            Some(Ok(serde_json::from_str::<Ready>(&text).unwrap_or_else(|error| panic!("{error}: {text}"))))
        })
        .await;
        match read {
            Some(Ok(ready)) => {
                gateway.ready = ready;
                Ok(gateway)
            }
            Some(Err(status)) => Err((status, gateway.log())),
            None => panic!("the gateway was not ready within {PATIENCE:?}:\n{}", gateway.log()),
        }
    }

    /// [`Self::try_launch`] that must succeed.
    ///
    /// # Panics
    /// When the server ends instead of becoming ready.
    pub async fn launch(self) -> TestGateway {
        match self.try_launch().await {
            Ok(gateway) => gateway,
            Err((status, log)) => panic!("the gateway ended with {status}:\n{log}"),
        }
    }
}

/// A running gateway. It is killed when it is dropped, and its folder goes with it.
#[derive(Debug)]
pub struct TestGateway {
    start: Start,
    child: Mutex<Child>,
    pid: Pid,
    ready: Ready,
}

impl TestGateway {
    /// Starts one in a new folder, with the tests' configuration merged with `overlay` (TOML).
    pub async fn start(overlay: &str) -> Self {
        Start::with(overlay).launch().await
    }

    /// The same, with the endpoints of [`crate::endpoints`] beside the product's.
    pub async fn start_with_test_endpoints(overlay: &str) -> Self {
        Start::with(overlay).with_test_endpoints().launch().await
    }

    /// The settings of its start.
    pub fn settings(&self) -> &Start {
        &self.start
    }

    /// The same, to write another configuration.
    pub fn settings_mut(&mut self) -> &mut Start {
        &mut self.start
    }

    /// The content of its ready file.
    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// The listener of this name and family.
    ///
    /// # Panics
    /// When the ready file names none.
    pub fn listener(&self, name: &str, family: Family) -> &Listener {
        self.ready
            .listeners
            .iter()
            .find(|listener| listener.name == name && family.holds(listener.address))
            .unwrap_or_else(|| panic!("no {family} listener {name} in {:?}", self.ready.listeners))
    }

    /// The address that `protocol` is served on over IPv4.
    pub fn address(&self, protocol: Protocol) -> SocketAddr {
        self.listener(protocol.listener(), Family::V4).address
    }

    /// Runs a command beside the server, on its folder and configuration.
    pub async fn cli(&self, arguments: &[&str]) -> Output {
        self.start.run(arguments).await
    }

    /// Runs a command that must succeed and print JSON.
    ///
    /// # Panics
    /// When it fails or prints anything else.
    pub async fn json<T: DeserializeOwned>(&self, arguments: &[&str]) -> T {
        let output = self.cli(arguments).await;
        let output_text = String::from_utf8_lossy(&output.stdout);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?} ended with {}: {complaint}", output.status);
        serde_json::from_str(&output_text)
            .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {output_text}"))
    }

    /// Creates a key of the partner `Tests`.
    pub async fn create_key(&self, spec: KeySpec) -> Key {
        let command = spec.command("Tests");
        self.json(&command.iter().map(String::as_str).collect::<Vec<_>>()).await
    }

    /// Revokes a key and returns what the command printed.
    pub async fn revoke(&self, key: &Key) -> serde_json::Value {
        self.json(&["key", "revoke", &key.id, "--json"]).await
    }

    /// Rotates a key; the old one stays valid for `overlap` (such as `24h`), if given.
    pub async fn rotate(&self, key: &Key, overlap: Option<&str>) -> Key {
        let mut command = vec!["key", "rotate", &key.id, "--json"];
        command.extend(overlap.into_iter().flat_map(|overlap| ["--overlap", overlap]));
        self.json(&command).await
    }

    /// `GET` on the operations listener.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn operations(&self, path: &str) -> Response {
        let way = Way { protocol: Protocol::H1, family: Family::V4 };
        let client = Client::open(self, "operations", way).await.expect("the operations listener accepts");
        client.ask(get(path)).await
    }

    /// The value of one series of `/metrics`, by the text before the space; `None` if there is none.
    pub async fn metric(&self, series: &str) -> Option<f64> {
        let text = self.operations("/metrics").await.text();
        text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.trim().parse().ok())
    }

    /// Sends bytes on a new cleartext connection and reads until the other side closes.
    pub async fn exchange(&self, bytes: &[u8]) -> Vec<Answer> {
        let mut raw = Raw::connect(self.address(Protocol::H1)).await;
        raw.write(bytes).await;
        crate::answers(&raw.read_to_end(PATIENCE).await)
    }

    /// Sends a signal to the process.
    ///
    /// # Panics
    /// When the process is gone already.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).expect("the gateway is still there");
    }

    /// The portal's URL.
    pub fn portal_url(&self) -> String {
        format!("https://localhost:{}", self.listener("portal", Family::V4).address.port())
    }

    /// The exit status, once the process has ended.
    pub fn status(&self) -> Option<ExitStatus> {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        child.try_wait().expect("a child can be waited for")
    }

    /// Waits for the process to end by itself.
    pub async fn ended(&self, within: Duration) -> Option<ExitStatus> {
        eventually(within, async || self.status()).await
    }

    /// Stops the server as a service manager does, and returns its folder for another start.
    ///
    /// # Panics
    /// When it does not end in time, or not with success.
    pub async fn stop(self) -> Start {
        self.signal(Signal::TERM);
        let status = self.ended(PATIENCE).await.expect("the gateway ends on SIGTERM");
        assert!(status.success(), "the gateway ended with {status}:\n{}", self.log());
        self.start.clone()
    }

    /// Memory that the process holds (`VmRSS`).
    ///
    /// # Panics
    /// When the process is gone.
    pub fn memory_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid.as_raw_nonzero()))
            .expect("the gateway is still there");
        let line =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the kernel reports VmRSS");
        let kilobytes = line.trim().trim_end_matches(" kB").parse::<u64>().expect("VmRSS is a number of kB");
        kilobytes * 1024
    }

    /// Everything that it has printed on standard output.
    ///
    /// # Panics
    /// When the file is gone.
    pub fn stdout(&self) -> String {
        self.printed("stdout")
    }

    /// Everything that it has logged on standard error.
    ///
    /// # Panics
    /// When the file is gone.
    pub fn log(&self) -> String {
        self.printed("stderr")
    }

    /// The log's lines, read as JSON.
    ///
    /// # Panics
    /// When a line is not JSON.
    pub fn log_lines(&self) -> Vec<serde_json::Value> {
        let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        self.log().lines().map(parse).collect()
    }

    fn printed(&self, name: &str) -> String {
        let bytes =
            std::fs::read(self.start.folder().join(name)).expect("the gateway's output is in its folder");
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for TestGateway {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap_or_else(PoisonError::into_inner);
        // Both fail only if it has ended already.
        let _ = child.kill();
        let _ = child.wait();
    }
}
