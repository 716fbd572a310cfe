//! The options that the comparison and the instruments have in common, under the same names.

use std::path::PathBuf;

use crate::protocol::Protocol;

/// What is measured, and where.
#[derive(Clone, Debug, clap::Args)]
pub struct Place {
    /// The gateway's binary.
    #[arg(long, value_name = "FILE", default_value = "target/release/partner-gateway")]
    pub gateway: PathBuf,
    /// The core of the servers [default: the first that may be used].
    #[arg(long, value_name = "NUMBER")]
    pub server_core: Option<usize>,
    /// The core of the load [default: the second that may be used, if there is one].
    #[arg(long, value_name = "NUMBER")]
    pub load_core: Option<usize>,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
    /// As little as shows that it works; the figures mean nothing.
    #[arg(long)]
    pub smoke: bool,
}

/// A place, and how much is done there.
#[derive(Clone, Debug, clap::Args)]
pub struct Common {
    #[command(flatten)]
    pub place: Place,
    /// What to measure over.
    #[arg(long, value_name = "PROTOCOL,…", value_delimiter = ',', default_value = "h1,h1-tls,h2-tls,h3")]
    pub protocols: Vec<Protocol>,
    /// Rounds, in each of which every server is measured, one right after the other [default: as many as
    /// the figure needs].
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub rounds: Option<u32>,
    /// Requests that each server answers in a round [default: as many as the figure needs].
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub requests: Option<u64>,
}

impl Common {
    /// The rounds asked for, or else the usual ones; a smoke run has one.
    #[must_use]
    pub fn rounds(&self, usual: u32) -> u32 {
        if self.place.smoke { 1 } else { self.rounds.unwrap_or(usual) }
    }

    /// The requests asked for, or else the usual ones; a smoke run has so many.
    #[must_use]
    pub fn requests(&self, usual: u64, smoke: u64) -> u64 {
        if self.place.smoke { smoke } else { self.requests.unwrap_or(usual) }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        common: Common,
    }

    #[test]
    fn protocols_are_a_list_with_commas_and_the_help_says_so() -> anyhow::Result<()> {
        let usual = Cli::try_parse_from(["it"])?.common;
        assert_eq!(usual.protocols, Protocol::ALL);
        let two = Cli::try_parse_from(["it", "--protocols", "h1,h2-tls"])?.common;
        assert_eq!(two.protocols, [Protocol::H1, Protocol::H2Tls]);
        let help = <Cli as clap::CommandFactory>::command().render_help().to_string();
        assert!(help.contains("--protocols <PROTOCOL,…>"), "{help}");
        assert!(help.contains("[default: h1,h1-tls,h2-tls,h3]"), "{help}");
        Ok(())
    }

    #[test]
    fn a_smoke_run_is_short_whatever_is_asked_for() -> anyhow::Result<()> {
        let asked = Cli::try_parse_from(["it", "--rounds", "9", "--requests", "5000"])?.common;
        assert_eq!((asked.rounds(41), asked.requests(8_000, 200)), (9, 5_000));
        let smoke = Cli::try_parse_from(["it", "--rounds", "9", "--requests", "5000", "--smoke"])?.common;
        assert_eq!((smoke.rounds(41), smoke.requests(8_000, 200)), (1, 200));
        Ok(())
    }
}
