//! SIGHUP: the configuration and the certificates are read anew. Either all of it is good and taken over,
//! or nothing is and the log says why.

use std::sync::Arc;

use tracing::{error, info, warn};

use super::addresses::Addresses;
use super::listen::{self, CertificatesByName};
use super::settings;
use crate::config::{Config, Sources, differences_needing_restart};
use crate::documents::{Documents, Words};
use crate::folder::DataFolder;
use crate::pipeline::Pipeline;
use crate::telemetry::Logs;
use crate::transport::Connections;

/// Everything that a reload reaches.
pub(super) struct Reloader {
    pub(super) sources: Sources,
    /// What the process was started with: what takes a restart is as it says there.
    pub(super) started: Config,
    pub(super) folder: DataFolder,
    pub(super) certificates: CertificatesByName,
    pub(super) addresses: Addresses,
    pub(super) pipeline: &'static Pipeline,
    pub(super) documents: &'static Documents,
    pub(super) connections: Arc<Connections>,
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
                error!(error = format!("{error:#}"), "Reload refused; everything stays as it was");
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
                // A name that is gone stays in use until the restart that its listener needs anyway.
                let config = if config.certificates.contains_key(name) { &config } else { &self.started };
                Ok((name.clone(), listen::load(config, &self.folder, name)?))
            })
            .collect::<anyhow::Result<_>>()?;
        Ok((config, certificates))
    }

    fn take_over(&self, config: &Config, certificates: Vec<(String, rustls::sign::CertifiedKey)>) {
        for option in differences_needing_restart(&self.started, config) {
            warn!(option, "`{option}` has changed; it takes a restart");
        }
        for (name, certificate) in certificates {
            if let Some(used) = self.certificates.get(&name) {
                used.replace(certificate);
            }
        }
        let mut filled = config.clone();
        self.addresses.fill(&mut filled);
        self.pipeline.reload(&filled);
        self.documents.reload(Words::new(&filled, self.addresses.doors.clone()));
        self.connections.reload(settings(config));
        self.logs.set_level(config.log.level);
        info!("Reloaded");
    }
}
