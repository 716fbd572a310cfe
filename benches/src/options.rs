//! The options that the comparison and the instruments share.

use std::path::PathBuf;

use crate::protocol::Protocol;

/// What is measured, over which protocols and how often.
#[derive(Clone, Debug, clap::Args)]
pub struct Common {
    /// The gateway's binary.
    #[arg(long, value_name = "FILE", default_value = "target/release/partner-gateway")]
    pub gateway: PathBuf,
    /// What to measure over.
    #[arg(long, value_name = "PROTOCOL,…", value_delimiter = ',', default_value = "h1,h1-tls,h2-tls,h3")]
    pub protocols: Vec<Protocol>,
    /// Rounds; each one measures every server once, one right after the other [default: what the figure needs].
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub rounds: Option<u32>,
    /// Requests to each server in a round [default: what the figure needs].
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub requests: Option<u64>,
    /// Do as little as shows that it works; the figures mean nothing.
    #[arg(long)]
    pub smoke: bool,
}

impl Common {
    /// The rounds asked for, or else the default; one in a smoke run.
    #[must_use]
    pub fn rounds(&self, default: u32) -> u32 {
        if self.smoke { 1 } else { self.rounds.unwrap_or(default) }
    }

    /// The requests asked for, or else the default; so many in a smoke run.
    #[must_use]
    pub fn requests(&self, default: u64, smoke: u64) -> u64 {
        if self.smoke { smoke } else { self.requests.unwrap_or(default) }
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
    fn protocols_are_a_list_with_commas_and_a_smoke_run_is_short() -> anyhow::Result<()> {
        assert_eq!(Cli::try_parse_from(["it"])?.common.protocols, Protocol::ALL);
        let two = ["it", "--protocols", "h1,h2-tls", "--rounds", "9", "--requests", "5000"];
        let asked = Cli::try_parse_from(two)?.common;
        assert_eq!(asked.protocols, [Protocol::H1, Protocol::H2Tls]);
        assert_eq!((asked.rounds(41), asked.requests(8_000, 200)), (9, 5_000));
        let smoke = Common { smoke: true, ..asked };
        assert_eq!((smoke.rounds(41), smoke.requests(8_000, 200)), (1, 200));
        Ok(())
    }
}
