//! The benches as a process.

use std::process::ExitCode;

use benches::{compare, dates, documents, floor, guard, pipeline, revocations, sessions, settings};
use clap::{Parser, Subcommand};

/// What a request costs on the gateway, on its stack with no gateway, and on other servers.
///
/// Exits with 1 if anything failed.
#[derive(Parser)]
#[command(
    name = "benches",
    after_help = "\
Examples:
  benches compare                CPU of target/release/partner-gateway and of the floor
  benches compare --peers nginx,haproxy,caddy,pingora,axum --figures cpu,instructions
  benches compare --figures instructions --functions 12 --protocols h3
  benches compare --figures stream --peers nginx --gateway PROGRAM --stream-path '/2026-11-01/stream.json?bytes=1073741824'
  benches compare --floor-vs-floor       how noisy is this machine?
  taskset --cpu-list 2,3 target/release/benches compare   servers on core 2, the load on core 3"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The gateway beside its stack alone and other servers, in paired rounds.
    Compare(compare::Options),
    /// Instructions and allocations of this build beside the committed ones, within 3 %.
    Guard(guard::Options),
    #[command(flatten)]
    Settings(settings::Setting),
    /// Milliseconds until a revoked key is refused, while many keys are in use and their last use is written.
    Revocations(revocations::Options),
    /// Nanoseconds of a request in the pipeline alone, without sockets.
    Pipeline(pipeline::Options),
    /// Nanoseconds of finding an endpoint among many dates, and of answering for an old one.
    Dates(dates::Options),
    /// Time and size of the documentation of an API with many dates.
    Documents(documents::Options),
    /// Microseconds of verifying a session JWT, and of finding it again.
    Sessions(sessions::Options),
    /// The floor, as the other commands start it.
    #[command(hide = true)]
    Floor(floor::Options),
    /// The path of a request alone, for callgrind.
    #[command(hide = true)]
    Exercise(pipeline::Exercise),
}

/// The allocator of the gateway, so that the floor pays the same for its memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<ExitCode> {
    match Cli::parse().command {
        Command::Compare(options) => return compare::run(&options),
        Command::Guard(options) => return guard::run(&options),
        Command::Settings(setting) => return settings::run(&setting),
        Command::Revocations(options) => revocations::run(&options)?,
        Command::Pipeline(options) => pipeline::run(options)?,
        Command::Dates(options) => dates::run(options)?,
        Command::Documents(options) => documents::run(options)?,
        Command::Sessions(options) => sessions::run(options)?,
        Command::Floor(options) => floor::run(&options)?,
        Command::Exercise(options) => options.run()?,
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound_and_needs_no_option() {
        Cli::command().debug_assert();
        let parses = |line: &str| Cli::try_parse_from(line.split(' ')).is_ok();
        assert!(parses("benches compare") && parses("benches guard") && parses("benches keys"));
        assert!(parses("benches compare --figures cpu,memory --peers nginx,haproxy --protocols h1,h2-tls"));
        assert!(parses("benches compare --load repeated") && !parses("benches compare --load every-key"));
        assert!(!parses("benches compare --floor-vs-floor --gateway g"));
        assert!(!parses("benches guard --rounds 3"));
    }
}
