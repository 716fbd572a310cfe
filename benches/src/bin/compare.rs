//! The comparison as a process: `compare --gateway target/release/partner-gateway`.
//!
//! It starts itself again as floor and as load, so that one `cargo run` builds all that is needed.

use std::process::ExitCode;

use benches::{compare, floor, load};
use clap::{Parser, Subcommand};

/// The gateway beside its stack alone and other servers, in paired rounds: CPU, requests per second,
/// instructions, allocations, system calls, latency, handshakes and memory.
///
/// Ends with 1 if any request was not answered as it should be.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "\
Examples:
  compare                        CPU and requests per second of target/release/partner-gateway and the floor
  compare --peers nginx,haproxy,caddy,pingora,axum --figures all --plot compare.svg
  compare --peers nginx --nginx /opt/nginx/sbin/nginx --protocols h2-tls,h3 --rounds 21 --json
  compare --figures instructions --functions 12 --protocols h3
  compare --floor-vs-floor       how noisy is this machine?")]
struct Cli {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    options: compare::Options,
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
}

/// The allocator of the gateway, so that the floor pays the same for its memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    match cli.role {
        Some(Role::Floor(options)) => floor::run(&options).map(|()| ExitCode::SUCCESS),
        Some(Role::Load(options)) => load::run(&options),
        Some(Role::Connect(options)) => options.run().map(|()| ExitCode::SUCCESS),
        Some(Role::Hold(options)) => options.run().map(|()| ExitCode::SUCCESS),
        None => compare::run(&cli.options),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound_and_needs_no_option() {
        Cli::command().debug_assert();
        assert!(Cli::try_parse_from(["compare"]).is_ok_and(|cli| cli.role.is_none()));
        assert!(Cli::try_parse_from(["compare", "--figures", "all", "--peers", "nginx,haproxy"]).is_ok());
        assert!(Cli::try_parse_from(["compare", "--floor-vs-floor", "--gateway", "g"]).is_err());
    }
}
