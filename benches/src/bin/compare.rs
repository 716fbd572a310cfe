//! The comparison as a process.

use std::process::ExitCode;

use benches::{Role, compare};
use clap::Parser;

/// The gateway beside its stack alone and other servers, in paired rounds.
///
/// Exits with 1 if anything failed.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "\
Examples:
  compare                        CPU and requests per second of target/release/partner-gateway and the floor
  compare --peers nginx,haproxy,caddy,pingora,axum --figures all
  compare --peers nginx --nginx /opt/nginx/sbin/nginx --protocols h2-tls,h3 --rounds 21
  compare --figures instructions --functions 12 --protocols h3
  compare --figures stream --peers nginx --gateway PROGRAM --stream-path '/2026-11-01/stream.json?bytes=1073741824'
  compare --floor-vs-floor       how noisy is this machine?
  taskset --cpu-list 2,3 compare   servers on core 2, the load on core 3")]
struct Cli {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    options: compare::Options,
}

/// The allocator of the gateway, so that the floor pays the same for its memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    match cli.role {
        Some(role) => role.run().map(|()| ExitCode::SUCCESS),
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
        let twice = Cli::try_parse_from(["compare", "--peers", "nginx,haproxy,nginx"]);
        let refused = twice.map(|cli| compare::run(&cli.options));
        assert!(
            refused.is_ok_and(|refused| refused.is_err_and(|e| e.to_string() == "--peers names nginx twice"))
        );
    }
}
