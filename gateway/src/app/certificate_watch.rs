//! Looks after the certificates of a running server: renews the local one, and exports when each expires.

use tracing::{error, info};

use super::listen::{CertificatesByName, LOCAL};
use crate::authority;
use crate::folder::DataFolder;
use crate::transport::ServedCertificate;
use jiff::{SignedDuration, Timestamp};

/// The pause after a failed renewal; there is a month for it.
const RETRY_AFTER: SignedDuration = SignedDuration::from_hours(1);

/// The certificates in use.
pub(super) struct CertificateWatch {
    certificates: CertificatesByName,
    folder: DataFolder,
    failed: Option<Timestamp>,
}

impl CertificateWatch {
    pub(super) const fn new(certificates: CertificatesByName, folder: DataFolder) -> Self {
        Self { certificates, folder, failed: None }
    }

    /// Renews what is due, and sets the gauges. Called every few seconds; a renewal reads and writes files, once a year.
    pub(super) fn run(&mut self, now: Timestamp) {
        if let Some(local) = self.certificates.get(LOCAL)
            && self.failed.is_none_or(|failed| now.duration_since(failed).abs() >= RETRY_AFTER)
        {
            self.failed = None;
            match authority::renew(&self.folder, local, now) {
                Ok(true) => info!("Renewed the local certificate"),
                Ok(false) => {}
                Err(error) => {
                    self.failed = Some(now);
                    error!(%error, "The local certificate expires soon and cannot be renewed");
                }
            }
        }
        for (name, certificate) in &self.certificates {
            set_gauge(name, certificate);
        }
    }
}

fn set_gauge(name: &str, certificate: &ServedCertificate) {
    if let Some(not_after) = certificate.not_after() {
        metrics::gauge!("gateway_certificate_not_after_timestamp_seconds", "certificate" => name.to_owned())
            .set(not_after.as_second() as f64);
    }
}
