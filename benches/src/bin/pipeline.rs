//! The path of a request alone: `pipeline --keys 100000`.

use benches::pipeline::{Options, run};
use clap::Parser;

/// The allocator of the gateway.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Nanoseconds of a request from authenticate to record.
#[derive(Parser)]
#[command(after_help = "\
Examples:
  pipeline
  pipeline --keys 100000 --rounds 51")]
struct Cli {
    #[command(flatten)]
    options: Options,
}

fn main() -> anyhow::Result<()> {
    run(&Cli::parse().options)
}
