//! The instruments as a process: `measure guard`.
//!
//! It starts itself again as floor, load and pipeline, so that one `cargo run` builds all that is needed.

use std::process::ExitCode;

use benches::{floor, load, measure};
use clap::{Parser, Subcommand};

/// What the gateway's settings cost, and whether its instructions are as committed.
#[derive(Parser)]
#[command(after_help = "\
Examples:
  measure access-log --protocols h1,h3 --rounds 9
  measure keys --keys 100000 --json
  measure guard              is this build as the committed figures say?
  measure guard --write      take the figures of this build")]
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

/// What this program is when it starts itself.
#[derive(Subcommand)]
enum Role {
    /// The floor.
    #[command(hide = true)]
    Floor(floor::Options),
    /// The load.
    #[command(hide = true)]
    Load(load::Options),
    /// The path of a request alone.
    #[command(hide = true)]
    Pipeline(measure::PipelineOptions),
}

/// The allocator of the gateway, so that the floor pays the same for its memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<ExitCode> {
    match Cli::parse().command {
        Command::Instrument(instrument) => measure::run(&instrument),
        Command::Role(Role::Floor(options)) => floor::run(&options).map(|()| ExitCode::SUCCESS),
        Command::Role(Role::Load(options)) => load::run(&options),
        Command::Role(Role::Pipeline(options)) => measure::pipeline(&options).map(|()| ExitCode::SUCCESS),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound_and_the_guard_takes_no_rounds() {
        Cli::command().debug_assert();
        assert!(Cli::try_parse_from(["measure", "keys", "--keys", "10,20", "--rounds", "3"]).is_ok());
        assert!(Cli::try_parse_from(["measure", "guard", "--rounds", "3"]).is_err());
    }
}
