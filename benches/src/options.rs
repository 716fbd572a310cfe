//! The options that several commands share.

use std::path::PathBuf;

use crate::protocol::Protocol;

/// The gateway as `cargo build --release` builds it.
pub(crate) const GATEWAY: &str = "target/release/partner-gateway";

/// What is measured, over which protocols and how often.
#[derive(Clone, Debug, clap::Args)]
pub struct Common {
    /// The gateway's binary.
    #[arg(long, value_name = "FILE", default_value = GATEWAY)]
    pub(crate) gateway: PathBuf,
    /// What to measure over.
    #[arg(long, value_name = "PROTOCOL,…", value_delimiter = ',', default_value = "h1,h1-tls,h2-tls,h3")]
    pub(crate) protocols: Vec<Protocol>,
    /// Rounds; each one measures every server once, one right after the other [default: what the figure needs].
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) rounds: Option<u32>,
    /// Do no more than is needed to see that it works; the figures mean nothing.
    #[arg(long)]
    pub(crate) smoke: bool,
}

/// The option of what is measured in this process.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Rounds {
    /// Rounds, whose medians are printed.
    #[arg(long, value_name = "NUMBER", default_value_t = 31, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) rounds: u32,
}
