//! Starting the servers that are measured: the floor, and the gateway on a data folder of its own with
//! one key that may do what is asked.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use crate::pin;
use crate::seed::seed;
use crate::server::Server;

/// No line for what is usual, and a rate that the load never reaches. The limiter itself stays on: its
/// cost belongs to the figure.
const CONFIG: &str = r#"[log]
level = "warn"

[limits]
key_rate = "1000000/s+1000000"

[listeners.http]
addresses = ["127.0.0.1:0"]

[listeners.https]
addresses = ["127.0.0.1:0"]

[listeners.docs]
enabled = false
[listeners.operations]
addresses = ["127.0.0.1:0"]
"#;

/// Every option that comes from the environment begins with this.
const VARIABLE_PREFIX: &str = "GATEWAY__";
/// Making a key makes the store first.
const KEY_TIMEOUT: Duration = Duration::from_secs(60);

/// How a server is to run.
#[derive(Clone, Debug)]
pub struct Setup<'a> {
    /// The cores that it may use.
    pub cores: Vec<usize>,
    /// Its workers; the floor always has one.
    pub workers: usize,
    /// Whether the gateway writes a line for each request, to the file of its other output.
    pub access_log: bool,
    /// Keys that the gateway holds beside the one that is used.
    pub more_keys: u32,
    /// Where callgrind writes the profile of the run, if it is to run under callgrind.
    pub callgrind: Option<&'a Path>,
}

impl Setup<'_> {
    /// One worker on one core, no access log, one key.
    #[must_use]
    pub fn on(core: usize) -> Self {
        Self { cores: vec![core], workers: 1, access_log: false, more_keys: 0, callgrind: None }
    }

    /// A command that runs the program so.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let Some(profile) = self.callgrind else { return pin::command_on(&self.cores, program) };
        let mut command = pin::command_on(&self.cores, Path::new("valgrind"));
        let mut file = OsString::from("--callgrind-out-file=");
        file.push(profile);
        command.args(["--tool=callgrind", "--quiet"]).arg(file).arg(program);
        command
    }
}

/// What `key create --json` prints, as far as it is needed.
#[derive(Deserialize)]
struct CreatedKey {
    key: String,
}

/// Starts a floor, which is this program in another role. Its files begin with `name`.
///
/// # Errors
/// If it does not get ready.
pub async fn floor(name: &Path, setup: &Setup<'_>) -> anyhow::Result<Server> {
    let ready_file = name.with_extension("ready.json");
    let mut command = setup.command(&this_program()?);
    command.arg("floor").arg("--ready-file").arg(&ready_file);
    Server::start(command, &ready_file, &name.with_extension("log")).await
}

/// Makes a key and as many more as nobody uses, starts the gateway, and gives the value of
/// `Authorization` to send. A folder that was used before keeps its store and gets another key.
///
/// # Errors
/// If it makes no key or does not get ready.
pub async fn gateway(binary: &Path, folder: &Path, setup: &Setup<'_>) -> anyhow::Result<(Server, String)> {
    std::fs::create_dir_all(folder).context("cannot make a folder")?;
    let binary = binary
        .canonicalize()
        .with_context(|| format!("there is no {}; build it with: cargo build --release", binary.display()))?;
    let config = folder.join("gateway.toml");
    std::fs::write(&config, CONFIG).context("cannot write the configuration")?;
    let data = folder.join("data");

    let authorization = format!("Bearer {}", create_key(&binary, &data, &config).await?);

    if setup.more_keys > 0 {
        seed(&data, setup.more_keys as usize)?;
    }

    let ready_file = folder.join("gateway.ready.json");
    let mut command = setup.command(&binary);
    command.arg("serve").arg("--ready-file").arg(&ready_file);
    with_store(&mut command, &data, &config);
    command.env("GATEWAY__RUNTIME__WORKERS", setup.workers.to_string());
    command.env("GATEWAY__LOG__ACCESS", setup.access_log.to_string());
    if setup.callgrind.is_some() {
        // Time goes fifty times as slowly there, so what is done by the clock would count as often too much.
        command.env("GATEWAY__STORE__CHANGE_INTERVAL", "1s");
    }
    let server = Server::start(command, &ready_file, &folder.join("gateway.log")).await?;
    Ok((server, authorization))
}

async fn create_key(binary: &Path, data: &Path, config: &Path) -> anyhow::Result<String> {
    let mut command = Command::new(binary);
    command
        .args(["key", "create", "--partner", "bench", "--environment", "production"])
        .args(["--permission", "ping:read", "--json"])
        .stdin(Stdio::null());
    with_store(&mut command, data, config);
    let run = tokio::process::Command::from(command).kill_on_drop(true).output();
    let output = tokio::time::timeout(KEY_TIMEOUT, run).await.context("making a key took too long")??;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the gateway made no key ({}): {said}", output.status);
    let created: CreatedKey =
        serde_json::from_slice(&output.stdout).context("`key create --json` printed no key")?;
    Ok(created.key)
}

/// The folder and configuration of this measurement only: options in the caller's environment would win
/// over the file.
fn with_store(command: &mut Command, data: &Path, config: &Path) {
    command.arg("--data-dir").arg(data).arg("--config").arg(config);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with(VARIABLE_PREFIX) {
            command.env_remove(name);
        }
    }
}

/// `cargo run` builds one program only, so floor and load are roles of the one that measures.
///
/// # Errors
/// If the system does not say which file it is.
pub fn this_program() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("cannot find this program's own file")
}
