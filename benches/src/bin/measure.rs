//! The instruments as a process: `measure instructions`.
//!
//! It starts itself again as floor, load and pipeline, so that one `cargo run` builds all that is needed.

use std::process::ExitCode;

use benches::{floor, load, measure};
use clap::{Parser, Subcommand};

/// Instructions, allocations, system calls, latency, handshakes and memory of floor and gateway.
#[derive(Parser)]
#[command(after_help = "\
Examples:
  measure instructions --protocols h3
  measure latency --seconds 10 --json
  measure system-calls --ready-file FILE --authorization-file FILE
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
    /// Connections made one after the other.
    #[command(hide = true)]
    Connect(load::Connections),
    /// Connections held open.
    #[command(hide = true)]
    Hold(load::Hold),
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
        Command::Role(Role::Connect(options)) => options.run().map(|()| ExitCode::SUCCESS),
        Command::Role(Role::Hold(options)) => options.run().map(|()| ExitCode::SUCCESS),
        Command::Role(Role::Pipeline(options)) => measure::pipeline(&options).map(|()| ExitCode::SUCCESS),
    }
}
