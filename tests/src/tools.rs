//! The repository's folder, and the external tools that `tests/run` installs below `target/tools`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// The top folder of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the repository")
}

/// A tool that `tests/run tools` installs, by its path below `target/tools`.
///
/// # Panics
/// When it is missing: a test that needs it must not pass without it.
pub fn tool(path: &str) -> PathBuf {
    let found = repository().join("target/tools").join(path);
    assert!(found.exists(), "target/tools/{path} is missing; `tests/run tools` installs it");
    found
}

/// Runs a program of `tests/clients` with `interpreter` and returns the JSON that it prints last.
///
/// Python's and Node's own certificate settings are removed: each script is given the CA to trust.
///
/// # Panics
/// When the program fails, takes longer than `within`, or prints no JSON.
pub async fn client_script(
    interpreter: PathBuf,
    script: &str,
    arguments: &[String],
    within: Duration,
) -> serde_json::Value {
    let script_path = repository().join("tests/clients").join(script);
    let mut command = Command::new(interpreter);
    command.arg(script_path).args(arguments);
    for name in
        ["SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"]
    {
        command.env_remove(name);
    }
    command.env("NODE_PATH", repository().join("target/tools/node/node_modules"));
    let script = script.to_owned();
    tokio::task::spawn_blocking(move || {
        let output = output_within(command, within);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let last = text.lines().last().unwrap_or_default();
        match serde_json::from_str(last) {
            Ok(json) if output.status.success() => json,
            _ => panic!(
                "{script} ended with {}\nstdout: {text}\nstderr: {}",
                output.status,
                String::from_utf8_lossy(&output.stderr)
            ),
        }
    })
    .await
    .expect("the script's watcher does not panic")
}

/// Runs a command to its end with a bound, killing it beyond.
///
/// # Panics
/// When it cannot be started or takes longer than `within`.
pub(crate) fn output_within(mut command: Command, within: Duration) -> std::process::Output {
    // Files instead of pipes: a child that is killed may leave grandchildren which hold a pipe open.
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let (out, err) = (folder.path().join("out"), folder.path().join("err"));
    let file = |path: &Path| std::fs::File::create(path).expect("a file can be made in it");
    let mut child = command
        .stdin(std::process::Stdio::null())
        .stdout(file(&out))
        .stderr(file(&err))
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
    let deadline = Instant::now() + within;
    let read = |path: &Path| std::fs::read(path).expect("the file is still there");
    loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            return std::process::Output { status, stdout: read(&out), stderr: read(&err) };
        }
        if Instant::now() >= deadline {
            child.kill().expect("a child can be killed");
            child.wait().expect("a child can be waited for");
            panic!(
                "{command:?} took longer than {within:?}\nstdout: {}\nstderr: {}",
                String::from_utf8_lossy(&read(&out)),
                String::from_utf8_lossy(&read(&err))
            );
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
