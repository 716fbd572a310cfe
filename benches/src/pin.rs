//! Putting a process on one core, and making sure that it does not outlive the one who started it.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

/// The cores that this process may use.
///
/// # Errors
/// If the kernel does not say.
pub fn allowed_cores() -> anyhow::Result<Vec<usize>> {
    let status = fs::read_to_string("/proc/self/status").context("cannot read /proc/self/status")?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
        .and_then(|list| parse_list(list.trim()))
        .context("/proc/self/status names no cores")
}

/// `0-2,5` is 0, 1, 2 and 5.
fn parse_list(list: &str) -> Option<Vec<usize>> {
    let mut cores = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        cores.extend(first.parse::<usize>().ok()?..=last.parse().ok()?);
    }
    Some(cores)
}

/// Whether the two tools that [`command`] needs are there.
///
/// # Errors
/// If one is not; the message says how to install it.
pub fn check_tools() -> anyhow::Result<()> {
    for tool in ["taskset", "setpriv"] {
        match Command::new(tool).arg("--version").stdout(Stdio::null()).status() {
            Ok(status) if status.success() => {}
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot run {tool}"));
            }
            _ => bail!("{tool} of util-linux is needed; install it with: apt-get install util-linux"),
        }
    }
    Ok(())
}

/// A command that runs the program on one core, and that the kernel ends when its parent does, however
/// that comes about. Both tools replace themselves by what follows, so the child's id is the program's.
#[must_use]
pub fn command(core: usize, program: &Path) -> Command {
    command_on(&[core], program)
}

/// As [`command`], on several cores.
#[must_use]
pub fn command_on(cores: &[usize], program: &Path) -> Command {
    let cores: Vec<String> = cores.iter().map(usize::to_string).collect();
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "taskset", "--cpu-list", &cores.join(",")]).arg(program);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cores_are_single_cores_and_ranges() {
        assert_eq!(parse_list("0-2,5"), Some(vec![0, 1, 2, 5]));
        assert_eq!(parse_list("3"), Some(vec![3]));
        assert_eq!(parse_list("x"), None);
    }

    #[test]
    fn this_process_has_a_core() -> anyhow::Result<()> {
        assert!(!allowed_cores()?.is_empty());
        Ok(())
    }
}
