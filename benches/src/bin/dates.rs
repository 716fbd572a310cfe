//! What dates cost: `dates --rounds 51`.

use benches::dates::{Options, run};
use clap::Parser;

/// The allocator of the gateway.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Nanoseconds of finding an endpoint among many dates, and of answering for an old one.
#[derive(Parser)]
#[command(after_help = "\
Examples:
  dates
  dates --rounds 51")]
struct Cli {
    #[command(flatten)]
    options: Options,
}

fn main() -> anyhow::Result<()> {
    run(&Cli::parse().options)
}
