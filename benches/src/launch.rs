//! How processes are started: on which cores, and under callgrind or not.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

/// How a process is started.
pub(crate) struct Launch<'a> {
    /// The cores that it may use.
    pub(crate) cores: &'a [u32],
    /// The profile that callgrind writes, where it is to run under callgrind.
    pub(crate) callgrind: Option<&'a Path>,
}

impl Launch<'_> {
    /// A command for a program.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let Some(profile) = self.callgrind else { return pinned(self.cores, program) };
        let mut command = pinned(self.cores, Path::new("valgrind"));
        let mut file = OsString::from("--callgrind-out-file=");
        file.push(profile);
        command.args(["--tool=callgrind", "--quiet"]).arg(file).arg(program);
        command
    }
}

/// A command for a program on some cores, which the kernel ends when its parent ends. Both tools replace themselves by
/// what follows, so the child's id is the program's.
pub(crate) fn pinned(cores: &[u32], program: &Path) -> Command {
    let cores: Vec<String> = cores.iter().map(u32::to_string).collect();
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "taskset", "--cpu-list", &cores.join(",")]).arg(program);
    command
}

/// The file of this program.
pub(crate) fn this_program() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("cannot find this program's file")
}

/// Fails unless a tool is installed.
pub(crate) fn need(tool: &str) -> anyhow::Result<()> {
    let version = Command::new(tool).arg("--version").output();
    anyhow::ensure!(
        version.is_ok_and(|output| output.status.success()),
        "{tool} is missing; install it with: apt-get install {tool}"
    );
    Ok(())
}
