//! The floor as a process: `floor --ready-file FILE`.

use clap::Parser;

/// The gateway's stack with no gateway in it, answering the same bytes.
#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    options: benches::floor::Options,
}

fn main() -> anyhow::Result<()> {
    benches::floor::run(&Cli::parse().options)
}
