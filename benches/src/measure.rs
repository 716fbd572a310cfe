//! Instruments of the gateway alone: the cost of its settings and parts, and the guard over its instructions.
//!
//! What is also measured of other servers is a figure of [`crate::compare`].

mod guard;
mod revocations;

use std::process::ExitCode;

use crate::compare::{Figure, MeasurementOptions, compare};
use crate::contestant::{Contestant, Settings};
use crate::load::Load;
use crate::options::Common;
use crate::protocol::Protocol;
use crate::runner::block_on;
use crate::{dates, documents, pipeline};

/// An instrument and its options.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Instrument {
    /// Instructions and allocations of this build beside the committed ones, within 3 %.
    Guard(guard::Options),
    /// CPU with the access log by that without.
    AccessLog(Common),
    /// CPU, memory and start with many keys by those with few.
    Keys(KeysOptions),
    /// Milliseconds until a revoked key is refused, with many keys in use whose last use is written all the time.
    Revocations(revocations::Options),
    /// CPU of two workers by that of one. Throughput is cores by CPU per request, so two cores ÷ one is 2 ÷ this: the
    /// load takes most of a core, which leaves two workers little more than one.
    Cores(Common),
    /// CPU of HTTP/3 by that of plain QUIC streams, of the floor and of the gateway.
    Streams(Common),
    /// Nanoseconds of a request in the pipeline alone, without sockets.
    Pipeline(pipeline::Options),
    /// Nanoseconds of finding an endpoint among many dates, and of answering for an old one.
    Dates(dates::Options),
    /// Time and size of the documentation of an API with many dates.
    Documents(documents::Options),
}

/// The command line of the keys.
#[derive(Clone, Debug, clap::Args)]
pub struct KeysOptions {
    #[command(flatten)]
    common: Common,
    /// Keys in the store beside those that are used.
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000_000)]
    keys: usize,
}

/// Runs an instrument and prints its figures.
pub fn run(instrument: &Instrument) -> anyhow::Result<ExitCode> {
    match instrument {
        Instrument::Guard(options) => block_on(guard::run(options)),
        Instrument::AccessLog(common) => gateways(
            common,
            ("log off", Settings::default()),
            ("log on", Settings { access_log: true, ..Settings::default() }),
        ),
        Instrument::Keys(KeysOptions { common, keys }) => {
            let more_keys = if common.smoke { 1_000.min(*keys) } else { *keys };
            let many = Settings { more_keys, ..Settings::default() };
            gateways(common, ("few keys", Settings::default()), ("many keys", many))
        }
        Instrument::Revocations(options) => block_on(revocations::run(options)),
        Instrument::Cores(common) => {
            let two = Settings { workers: 2, ..Settings::default() };
            gateways(common, ("1 worker", Settings::default()), ("2 workers", two))
        }
        Instrument::Streams(common) => {
            let common = Common { protocols: vec![Protocol::H3], ..common.clone() };
            let gateway = Contestant::gateway("gateway", &common.gateway, Settings::default());
            let mut code = ExitCode::SUCCESS;
            for http in [Contestant::floor("floor"), gateway] {
                // Plain streams carry as many bytes as a repeated request.
                code = pair(&common, Load::Repeated, [Contestant::quic_streams(), http])?;
            }
            Ok(code)
        }
        Instrument::Pipeline(options) => pipeline::run(options).map(|()| ExitCode::SUCCESS),
        Instrument::Dates(options) => dates::run(options).map(|()| ExitCode::SUCCESS),
        Instrument::Documents(options) => documents::run(options).map(|()| ExitCode::SUCCESS),
    }
}

/// Compares two gateways that differ in their settings.
fn gateways(common: &Common, one: (&str, Settings), other: (&str, Settings)) -> anyhow::Result<ExitCode> {
    pair(
        common,
        Load::Varied,
        [one, other].map(|(name, settings)| Contestant::gateway(name, &common.gateway, settings)),
    )
}

fn pair(common: &Common, load: Load, contestants: [Contestant; 2]) -> anyhow::Result<ExitCode> {
    let report =
        block_on(compare(&MeasurementOptions::cpu(common), &[Figure::Cpu], &[load], contestants.into()))?;
    print!("{report}");
    Ok(if report.has_failures() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
