//! SIGHUP: reads the configuration and the certificates again. Either all of it is valid and applied, or
//! nothing is and the log has the reason.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::{error, info, warn};

use super::addresses::Addresses;
use super::listen::{self, CertificatesByName};
use super::pools::Pools;
use crate::clock::{Clock as _, SystemClock};
use crate::config::{Config, ConfigError, Sources, differences_needing_restart};
use crate::folder::DataFolder;
use crate::pipeline::Pipeline;
use crate::telemetry::Logs;
use crate::warnings;

/// Everything that a reload replaces.
pub(super) struct Reloader {
    pub(super) sources: Sources,
    /// The configuration of the start, whose values apply for options that need a restart.
    pub(super) started: Config,
    pub(super) folder: DataFolder,
    pub(super) certificates: CertificatesByName,
    pub(super) addresses: Mutex<Addresses>,
    /// The configuration in force, whose addresses may move.
    pub(super) current: Mutex<Config>,
    pub(super) pipeline: &'static Pipeline,
    pub(super) pools: Arc<Pools>,
    pub(super) logs: Arc<Logs>,
}

impl Reloader {
    pub(super) fn reload(&self) {
        let outcome = match self.read() {
            Ok((config, certificates)) => {
                self.take_over(&config, certificates);
                "done"
            }
            Err(error) => {
                report(&error);
                "refused"
            }
        };
        metrics::counter!("gateway_reloads_total", "outcome" => outcome).increment(1);
    }

    fn read(&self) -> anyhow::Result<(Config, Vec<(String, rustls::sign::CertifiedKey)>)> {
        let config = Config::load(&self.sources)?;
        let certificates = self
            .certificates
            .keys()
            .map(|name| {
                // A certificate that was removed stays in use until the restart that its listener needs
                // anyway.
                let config = if config.certificates.contains_key(name) { &config } else { &self.started };
                Ok((name.clone(), listen::load(config, &self.folder, name)?))
            })
            .collect::<anyhow::Result<_>>()?;
        Ok((config, certificates))
    }

    /// From now on, the API is at another port, which the documentation says.
    pub(super) fn move_api(&self, from: SocketAddr, to: SocketAddr) {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner).move_api(from, to);
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.write_addresses(&current);
    }

    fn write_addresses(&self, config: &Config) {
        let mut filled = config.clone();
        let addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        addresses.fill(&mut filled);
        self.pipeline.reload(&filled, addresses.server_urls(&filled));
    }

    fn take_over(&self, config: &Config, certificates: Vec<(String, rustls::sign::CertifiedKey)>) {
        for option in differences_needing_restart(&self.started, config) {
            warn!(option, "`{option}` has changed; this needs a restart");
        }
        for (name, certificate) in certificates {
            if let Some(used) = self.certificates.get(&name) {
                used.replace(certificate);
            }
        }
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = config.clone();
        self.write_addresses(config);
        self.pipeline.frontend().set_access_log(config.log.access);
        self.pools.reload(config);
        self.logs.set_level(config.log.level);
        warnings::log(config, &self.sources, SystemClock.now());
        info!("Reloaded");
    }
}

/// Logs why nothing was applied: one record for each problem, one line for each record.
fn report(error: &anyhow::Error) {
    let Some(config) = error.downcast_ref::<ConfigError>() else {
        let causes: Vec<String> = error.chain().map(one_line).collect();
        error!(error = causes.join(": "), "Reload refused; nothing was changed");
        return;
    };
    for problem in config.problems() {
        let place = [problem.line, problem.column].into_iter().flatten();
        let place = place.fold(one_line(&problem.file), |place, number| format!("{place}:{number}"));
        let help = problem.help.as_deref().map(one_line);
        error!(place, help, "Reload refused; nothing was changed: {}", one_line(&problem.message));
    }
}

/// Text without line ends and other control characters.
fn one_line(text: impl ToString) -> String {
    let text = text.to_string();
    let mut line = String::with_capacity(text.len());
    for character in text.trim_end().chars() {
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}
