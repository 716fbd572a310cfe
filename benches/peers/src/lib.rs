//! What both programs have in common: the command line and the job.

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

#[path = "../../src/response.rs"]
pub mod response;

/// The rate and the burst of a partner, which the load never reaches: the cost of the limiter is what counts.
pub const REQUESTS_PER_SECOND_MAX: u32 = 1_000_000;
/// The interval between two requests at that rate.
pub const RATE_INTERVAL: Duration = Duration::from_nanos(1_000_000_000 / REQUESTS_PER_SECOND_MAX as u64);

/// The command line of a peer.
#[derive(Debug, clap::Parser)]
pub struct Options {
    /// Where to listen in cleartext.
    #[arg(long)]
    pub http: SocketAddr,
    /// Where to listen with TLS.
    #[arg(long)]
    pub https: SocketAddr,
    /// The certificate, in PEM.
    #[arg(long, value_name = "FILE")]
    pub certificate: PathBuf,
    /// Its private key, in PEM.
    #[arg(long, value_name = "FILE")]
    pub private_key: PathBuf,
    /// The keys: lines of a partner, a blank, and the value of `Authorization`.
    #[arg(long, value_name = "FILE")]
    pub keys: PathBuf,
}

/// The partner of each value of `Authorization`.
pub type Keys = HashMap<String, Arc<str>>;

/// Reads the file of keys.
pub fn read_keys(options: &Options) -> anyhow::Result<Keys> {
    let text = fs::read_to_string(&options.keys).context("cannot read the keys")?;
    let key = |line: &str| {
        let (partner, authorization) = line.split_once(' ').context("a line of the keys has no blank")?;
        Ok((authorization.to_owned(), Arc::from(partner)))
    };
    text.lines().map(key).collect()
}
