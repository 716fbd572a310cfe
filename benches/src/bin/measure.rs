//! The instruments as a process.

use std::process::ExitCode;

use benches::{Role, measure};
use clap::{Parser, Subcommand};

/// The cost of the gateway's settings and parts, and whether its instructions are as committed.
#[derive(Parser)]
#[command(after_help = "\
Examples:
  measure access-log --protocols h1,h3 --rounds 9
  measure keys --keys 100000
  measure guard              is this build as the committed figures say?
  measure guard --write      write the figures of this build")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[command(flatten)]
    Instrument(measure::Instrument),
    #[command(flatten)]
    Role(Role),
}

/// The allocator of the gateway, so that the floor pays the same for its memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<ExitCode> {
    match Cli::parse().command {
        Command::Instrument(instrument) => measure::run(&instrument),
        Command::Role(role) => role.run().map(|()| ExitCode::SUCCESS),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound_and_the_guard_takes_no_rounds() {
        Cli::command().debug_assert();
        assert!(Cli::try_parse_from(["measure", "keys", "--keys", "10", "--rounds", "3"]).is_ok());
        assert!(Cli::try_parse_from(["measure", "guard", "--rounds", "3"]).is_err());
    }
}
