//! Instruments of the gateway alone: the guard over its instructions, and what its settings cost.
//!
//! What is also measured of other servers is a figure of [`crate::compare`].

mod guard;
mod paired;
mod settings;
mod streams;

use std::fmt::Display;
use std::process::ExitCode;

use serde::Serialize;

use crate::options::Common;
use crate::stage::until_ended;
pub use guard::PipelineOptions;

/// Rounds, and requests that each one answers in a round, if nothing else is asked for.
const ROUNDS: u32 = 21;
const REQUESTS: u64 = 8_000;
const SMOKE_REQUESTS: u64 = 200;

/// One instrument and its options.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Instrument {
    /// Instructions and allocations of this build beside the committed ones, 3 % either way.
    Guard(guard::Options),
    /// CPU of HTTP/3 by that of the streams of QUIC alone.
    Streams(Common),
    /// CPU with the access log by that without.
    AccessLog(Common),
    /// CPU with many keys by that with one.
    Keys(settings::KeysOptions),
    /// CPU and throughput of two workers by those of one.
    Cores(Common),
}

impl Instrument {
    async fn measure(&self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Guard(options) => guard::run(options).await,
            Self::Streams(common) => show(&streams::measure(common).await?, common),
            Self::AccessLog(common) => show(&settings::access_log(common).await?, common),
            Self::Keys(options) => show(&settings::keys(options).await?, &options.common),
            Self::Cores(common) => show(&settings::cores(common).await?, common),
        }
    }
}

/// Runs an instrument and prints what it came to.
///
/// # Errors
/// If a server cannot be started, a tool is missing, or a request is not answered as it should be.
pub fn run(instrument: &Instrument) -> anyhow::Result<ExitCode> {
    until_ended(instrument.measure())
}

/// The path of a request alone, for callgrind.
///
/// # Errors
/// If a request is not answered with 200.
pub fn pipeline(options: &PipelineOptions) -> anyhow::Result<()> {
    crate::pipeline::exercise(options.made, options.answered)
}

fn show<R: Serialize + Display>(report: &R, common: &Common) -> anyhow::Result<ExitCode> {
    if common.place.json {
        println!("{}", serde_json::to_string_pretty(report)?);
    } else {
        print!("{report}");
    }
    Ok(ExitCode::SUCCESS)
}
