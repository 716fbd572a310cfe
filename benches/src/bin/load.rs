//! The load as a process: prints one JSON object and ends with 1 if a request was not answered as it should be.

use std::process::ExitCode;

use clap::Parser;

/// A closed loop of requests over one protocol.
///
/// `Authorization` comes from a file or from the variable LOAD_AUTHORIZATION, never from an argument.
#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    options: benches::load::Options,
}

/// The allocator of the gateway, so that the floor pays the same for its memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<ExitCode> {
    benches::load::run(&Cli::parse().options)
}
