//! How long it takes to write the documentation, and how much there is: `documents --dates 100`.

use benches::documents::{Options, run};
use clap::Parser;

/// The allocator of the gateway.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Time and size of every page of an API of 50 endpoints.
#[derive(Parser)]
#[command(after_help = "\
Examples:
  documents
  documents --dates 10 --rounds 3")]
struct Cli {
    #[command(flatten)]
    options: Options,
}

fn main() -> anyhow::Result<()> {
    run(&Cli::parse().options)
}
