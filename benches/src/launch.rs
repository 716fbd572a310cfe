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
    /// A command for a program, which the kernel ends when this process ends. Each tool replaces itself by what follows,
    /// so the child's id is the program's.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let cores: Vec<String> = self.cores.iter().map(u32::to_string).collect();
        let mut command = Command::new("setpriv");
        // An option of the gateway in this process's environment would count.
        command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.args(["--pdeathsig", "KILL", "taskset", "--cpu-list", &cores.join(",")]);
        if let Some(profile) = self.callgrind {
            let mut file = OsString::from("--callgrind-out-file=");
            file.push(profile);
            command.args(["valgrind", "--tool=callgrind", "--quiet", "--compress-strings=no"]).arg(file);
        }
        command.arg(program);
        command
    }
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
