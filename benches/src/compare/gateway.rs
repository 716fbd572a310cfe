//! Starting the gateway on a data folder of its own, with one key that may do what is asked.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use super::contestant::Contestant;
use crate::pin;
use crate::protocol::Protocol;
use crate::seed::seed;
use crate::server::Server;

/// One worker like the floor, no line for each request, and a rate that the load never reaches. The
/// limiter itself stays on: its cost belongs to the figure.
const CONFIG: &str = r#"[runtime]
workers = 1

[log]
access = false
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

/// What `key create --json` prints, as far as it is needed.
#[derive(Deserialize)]
struct CreatedKey {
    key: String,
}

/// Makes a key and `more_keys` that nobody uses, and starts the gateway.
pub(super) async fn start(
    name: &str,
    binary: &Path,
    folder: &Path,
    core: usize,
    more_keys: u32,
) -> anyhow::Result<Contestant> {
    std::fs::create_dir_all(folder).context("cannot make a folder")?;
    let binary = binary
        .canonicalize()
        .with_context(|| format!("there is no {}; build it with: cargo build --release", binary.display()))?;
    let config = folder.join("gateway.toml");
    std::fs::write(&config, CONFIG).context("cannot write the configuration")?;
    let data = folder.join("data");

    let authorization = format!("Bearer {}", create_key(&binary, &data, &config).await?);

    if more_keys > 0 {
        seed(&data, more_keys as usize)?;
    }

    let ready_file = folder.join("gateway.ready.json");
    let mut command = pin::command(core, &binary);
    command.arg("serve").arg("--ready-file").arg(&ready_file);
    with_store(&mut command, &data, &config);
    let server = Server::start(command, &ready_file, &folder.join("gateway.log")).await?;
    Contestant::new(name, server, &authorization, &Protocol::ALL)
}

async fn create_key(binary: &Path, data: &Path, config: &Path) -> anyhow::Result<String> {
    let mut command = Command::new(binary);
    command
        .args(["key", "create", "--partner", "bench", "--environment", "production"])
        .args(["--permission", "ping:read", "--json"])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    with_store(&mut command, data, config);
    let run = tokio::process::Command::from(command).kill_on_drop(true).output();
    let output = tokio::time::timeout(KEY_TIMEOUT, run).await.context("making a key took too long")??;
    ensure!(output.status.success(), "the gateway made no key ({})", output.status);
    let created: CreatedKey =
        serde_json::from_slice(&output.stdout).context("`key create --json` printed no key")?;
    Ok(created.key)
}

/// The folder and configuration of this comparison only: options in the caller's environment would win
/// over the file.
fn with_store(command: &mut Command, data: &Path, config: &Path) {
    command.arg("--data-dir").arg(data).arg("--config").arg(config);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with(VARIABLE_PREFIX) {
            command.env_remove(name);
        }
    }
}
