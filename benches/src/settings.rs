//! The cost of the gateway's settings: two gateways, or a gateway and QUIC alone, compared by CPU.

use std::process::ExitCode;

use crate::compare;
use crate::contestant::{Contestant, Settings};
use crate::load::Load;
use crate::options::Common;
use crate::protocol::Protocol;

/// A comparison and its options.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Setting {
    /// CPU with the access log by that without.
    AccessLog(Common),
    /// CPU, memory and start with many keys by those with few.
    Keys {
        #[command(flatten)]
        common: Common,
        /// Keys in the store beside those that are used.
        #[arg(long, value_name = "NUMBER", default_value_t = 1_000_000)]
        keys: usize,
    },
    /// CPU of two workers by that of one. Throughput is cores by CPU per request, so two cores ÷ one is 2 ÷ this: the
    /// load takes most of a core, which leaves two workers little more than one.
    Cores(Common),
    /// CPU of HTTP/3 by that of plain QUIC streams, of the floor and of the gateway.
    Streams(Common),
}

/// Compares, prints a report, and exits with 1 if anything failed.
pub fn run(setting: &Setting) -> anyhow::Result<ExitCode> {
    let default = Settings::default();
    match setting {
        Setting::AccessLog(common) => {
            gateways(common, ("log off", default), ("log on", Settings { access_log: true, ..default }))
        }
        Setting::Keys { common, keys } => {
            let more_keys = if common.smoke { 1_000.min(*keys) } else { *keys };
            gateways(common, ("few keys", default), ("many keys", Settings { more_keys, ..default }))
        }
        Setting::Cores(common) => {
            gateways(common, ("1 worker", default), ("2 workers", Settings { more_workers: 1, ..default }))
        }
        Setting::Streams(common) => {
            let common = Common { protocols: vec![Protocol::H3], ..common.clone() };
            let gateway = Contestant::gateway("gateway", &common.gateway, default)?;
            // Plain streams carry as many bytes as a repeated request.
            let compare = |http| compare::cpu(&common, Load::Repeated, &[Contestant::quic_streams()?, http]);
            let floor = compare(Contestant::floor("floor")?)?;
            if floor == ExitCode::SUCCESS { compare(gateway) } else { Ok(floor) }
        }
    }
}

/// Compares two gateways that differ in their settings.
fn gateways(common: &Common, one: (&str, Settings), other: (&str, Settings)) -> anyhow::Result<ExitCode> {
    let gateway = |(name, settings)| Contestant::gateway(name, &common.gateway, settings);
    compare::cpu(common, Load::Varied, &[gateway(one)?, gateway(other)?])
}
