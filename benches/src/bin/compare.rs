//! The comparison as a process: `compare --gateway target/release/partner-gateway`.
//!
//! It starts itself again as floor and as load, so that one `cargo run` builds all that is needed.

use std::process::ExitCode;

use benches::{compare, floor, load};
use clap::{Parser, Subcommand};

/// CPU time and requests per second of the gateway by those of its stack alone and of other servers, in
/// paired rounds.
///
/// Ends with 1 if any request was not answered as it should be.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_help = "\
Examples:
  compare --gateway target/release/partner-gateway
  compare --gateway target/release/partner-gateway --protocols h2-tls,h3 --rounds 21 --json
  compare --gateway target/release/partner-gateway --peers nginx,haproxy,caddy,pingora,axum --plot cpu.svg
  compare --floor-vs-floor        how noisy is this machine?
  compare --floor-vs-floor --smoke")]
struct Cli {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    options: Option<compare::Options>,
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
}

/// The allocator of the gateway, so that the floor pays the same for its memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    match (cli.role, cli.options) {
        (Some(Role::Floor(options)), _) => floor::run(&options).map(|()| ExitCode::SUCCESS),
        (Some(Role::Load(options)), _) => load::run(&options),
        (None, Some(options)) => compare::run(&options),
        (None, None) => anyhow::bail!("name the gateway with --gateway, or use --floor-vs-floor"),
    }
}
