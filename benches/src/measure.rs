//! Instruments: what the comparison of CPU time does not show.
//!
//! Each one starts floor and gateway by itself, in the same way, and measures them in turn. What varies
//! from minute to minute is measured in paired rounds; what does not, by the difference of two runs.

mod callgrind;
mod guard;
mod handshakes;
mod instructions;
mod latency;
mod memory;
mod paired;
mod settings;
mod stage;
mod streams;
mod system_calls;

use std::fmt::Display;
use std::process::ExitCode;

use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

pub use guard::PipelineOptions;
pub use stage::{Common, Running};

/// One instrument and its options.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Instrument {
    /// User instructions and allocations per request, by function (callgrind).
    Instructions(instructions::Options),
    /// Instructions and allocations of this build beside the committed ones, 3 % either way.
    Guard(guard::Options),
    /// System calls per request under load (strace).
    SystemCalls(system_calls::Options),
    /// Latency at half of the most that each one can, in an open loop.
    Latency(latency::Options),
    /// CPU of a new connection, whole handshakes and resumed ones.
    Handshakes(handshakes::Options),
    /// Memory of the idle process and of an idle connection.
    Memory(memory::Options),
    /// CPU of HTTP/3 by that of the streams of QUIC alone.
    Streams(streams::Options),
    /// CPU with the access log by that without.
    AccessLog(settings::Options),
    /// CPU with many keys by that with one.
    Keys(settings::KeysOptions),
    /// CPU and throughput of two workers by those of one.
    Cores(settings::Options),
}

impl Instrument {
    async fn measure(&self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Guard(options) => guard::run(options).await,
            Self::Instructions(options) => show(&instructions::measure(options).await?, &options.common),
            Self::SystemCalls(options) => show(&system_calls::measure(options).await?, &options.common),
            Self::Latency(options) => show(&latency::measure(options).await?, &options.common),
            Self::Handshakes(options) => show(&handshakes::measure(options).await?, &options.common),
            Self::Memory(options) => show(&memory::measure(options).await?, &options.common),
            Self::Streams(options) => show(&streams::measure(options).await?, &options.common),
            Self::AccessLog(options) => show(&settings::access_log(options).await?, &options.common),
            Self::Keys(options) => show(&settings::keys(options).await?, &options.options.common),
            Self::Cores(options) => show(&settings::cores(options).await?, &options.common),
        }
    }
}

/// Runs an instrument and prints what it came to.
///
/// # Errors
/// If a server cannot be started, a tool is missing, or a request is not answered as it should be.
pub fn run(instrument: &Instrument) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // Both signals end it by dropping it, which ends the servers and removes their folder.
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            code = instrument.measure() => code,
            result = tokio::signal::ctrl_c() => Err(result.map_or_else(Into::into, |()| anyhow::anyhow!("interrupted"))),
            _ = terminate.recv() => Err(anyhow::anyhow!("terminated")),
        }
    })
}

/// The path of a request alone, for callgrind.
///
/// # Errors
/// If a request is not answered with 200.
pub fn pipeline(options: &PipelineOptions) -> anyhow::Result<()> {
    crate::pipeline::exercise(options.made, options.answered)
}

fn show<R: Serialize + Display>(report: &R, common: &Common) -> anyhow::Result<ExitCode> {
    if common.json {
        println!("{}", serde_json::to_string_pretty(report)?);
    } else {
        print!("{report}");
    }
    Ok(ExitCode::SUCCESS)
}
