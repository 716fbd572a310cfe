//! Warnings about what works but needs an operator's attention: printed by `check-config`, logged at the
//! start and by a reload.

use jiff::{SignedDuration, Timestamp};

use crate::config::{self, Certificate, Config, Listener, Sources};
use crate::transport::{is_valid_for, load_certified_key, validity_warning};

/// A certificate that expires within this time is reported; those of ACME are renewed earlier.
const EXPIRES_SOON: SignedDuration = SignedDuration::from_hours(14 * 24);

/// What the certificate that the first launch creates is valid for.
const LOCAL_HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

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
    for (name, listener) in config.listeners.iter().filter(|(_, listener)| listener.enabled) {
        check_hosts(name, listener, config, &mut warnings);
    }
    warnings
}

/// A client that asks for a host is shown a certificate that is valid for it.
fn check_hosts(name: &str, listener: &Listener, config: &Config, warnings: &mut Vec<String>) {
    let files = |name: &String| config.certificates.get(name);
    let load =
        |Certificate { chain_file, key_file }: &Certificate| load_certified_key(chain_file, key_file).ok();
    // The local certificate may not exist yet, and one that cannot be loaded is an error.
    let loaded: Option<Vec<_>> = listener.certificate.iter().filter_map(files).map(load).collect();
    let has_local = listener.certificate.iter().any(|name| !config.certificates.contains_key(name));
    let Some(loaded) = loaded.filter(|loaded| !loaded.is_empty()) else { return };
    for host in listener.sites().flat_map(|(_, hosts)| hosts) {
        let is_local = has_local && LOCAL_HOSTS.contains(&host.as_str());
        if !is_local && !loaded.iter().any(|certificate| is_valid_for(certificate, host)) {
            warnings.push(format!(
                "`listeners.{name}.certificate`: no certificate is valid for {host}, so clients that ask for that host refuse the connection; add one that is"
            ));
        }
    }
}

/// Logs all warnings.
pub fn log(config: &Config, sources: &Sources, now: Timestamp) {
    for warning in warnings(config, sources, now) {
        tracing::warn!("{warning}");
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    /// A certificate of its own for these names, in files in this folder.
    fn certificate(folder: &Path, names: &[&str]) -> Certificate {
        let (chain_file, key_file) = (folder.join("chain.pem"), folder.join("key.pem"));
        let pair = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let params = CertificateParams::new(names).unwrap();
        fs::write(&chain_file, params.self_signed(&pair).unwrap().pem()).unwrap();
        crate::folder::write_private(&key_file, pair.serialize_pem().as_bytes()).unwrap();
        Certificate { chain_file, key_file }
    }

    #[test]
    fn a_host_that_no_certificate_is_valid_for_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let certificate = certificate(folder.path(), &["*.example.com"]);
        for (sites, reported) in [
            ("serves.api.hosts = [\"api.example.com\"]", &[][..]),
            ("serves.api.hosts = [\"api.example.com\", \"localhost\"]", &[]),
            ("hosts = [\"example.com\", \"api.example.com\", \"10.0.0.1\"]", &["example.com", "10.0.0.1"]),
            ("hosts = [\"example.com\"]\nenabled = false", &[]),
        ] {
            let file = folder.path().join("gateway.toml");
            let text = format!(
                "[listeners.https]\ncertificate = [\"own\", \"local\"]\n{sites}\n[certificates.own]\nchain_file = {:?}\nkey_file = {:?}\n",
                certificate.chain_file, certificate.key_file
            );
            fs::write(&file, text).unwrap();
            let config = Config::load(&Sources { file: Some(file), ..Sources::default() }).unwrap();
            let warnings = warnings(&config, &Sources::default(), "2026-01-01T00:00:00Z".parse().unwrap());
            let expected: Vec<String> = reported
                .iter()
                .map(|host| format!("`listeners.https.certificate`: no certificate is valid for {host}, so clients that ask for that host refuse the connection; add one that is"))
                .collect();
            assert_eq!(warnings, expected, "{sites}");
        }
    }

    #[test]
    fn a_certificate_is_reported_before_and_after_it_expires() {
        let folder = tempfile::tempdir().unwrap();
        let (chain_file, key_file) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
        let pair = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 4, 1);
        fs::write(&chain_file, params.self_signed(&pair).unwrap().pem()).unwrap();
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
