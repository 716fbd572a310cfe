//! Warnings about what works but needs an operator's attention: printed by `check-config`, logged at the
//! start and by a reload.

use jiff::{SignedDuration, Timestamp};

use crate::config::{self, Certificate, Config, Sources};
use crate::transport::{load_certified_key, validity_warning};

/// A certificate that expires within this time is reported; those of ACME are renewed earlier.
const EXPIRES_SOON: SignedDuration = SignedDuration::from_hours(14 * 24);

/// All warnings for a configuration that was read from these sources, each in one sentence.
#[must_use]
pub fn warnings(config: &Config, sources: &Sources, now: Timestamp) -> Vec<String> {
    let mut warnings = config::warnings(config, sources);
    for (name, Certificate { chain_file, key_file }) in &config.certificates {
        // One that cannot be loaded is an error where it is used.
        let Ok(certificate) = load_certified_key(chain_file, key_file) else { continue };
        if let Some(warning) = validity_warning(&certificate, now, EXPIRES_SOON) {
            warnings.push(format!("`certificates.{name}` {warning} ({})", chain_file.display()));
        }
    }
    warnings
}

/// Logs all warnings.
pub fn log(config: &Config, sources: &Sources, now: Timestamp) {
    for warning in warnings(config, sources, now) {
        tracing::warn!("{warning}");
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    #[test]
    fn a_certificate_is_reported_before_and_after_it_expires() {
        let folder = tempfile::tempdir().unwrap();
        let (chain_file, key_file) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
        let pair = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 4, 1);
        std::fs::write(&chain_file, params.self_signed(&pair).unwrap().pem()).unwrap();
        crate::folder::write_private(&key_file, pair.serialize_pem().as_bytes()).unwrap();
        let mut config = Config::load(&Sources::default()).unwrap();
        config.certificates.insert("own".to_owned(), Certificate { chain_file, key_file });
        let at = |now: &str| warnings(&config, &Sources::default(), now.parse().unwrap());
        assert_eq!(at("2026-03-17T00:00:00Z"), [""; 0]);
        for (now, clue) in
            [("2026-03-19T00:00:00Z", "expires at 2026-04-01"), ("2026-05-01T00:00:00Z", "expired at")]
        {
            let warnings = at(now);
            assert!(warnings.len() == 1 && warnings[0].contains(clue), "{warnings:?}");
            assert!(warnings[0].starts_with("`certificates.own`"), "{warnings:?}");
        }
        config.certificates.clear();
        assert_eq!(warnings(&config, &Sources::default(), Timestamp::MAX), [""; 0]);
    }
}
