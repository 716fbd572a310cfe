//! The floor as a process: `floor --ready-file FILE`.

use clap::Parser;

/// The gateway's stack with no gateway in it, answering the same bytes.
#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    options: benches::floor::Options,
}

/// The allocator of the gateway, so that the floor pays the same for its memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    benches::floor::run(&Cli::parse().options)
}
