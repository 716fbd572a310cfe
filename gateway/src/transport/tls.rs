//! TLS: which versions, which certificate, and tickets for resumption.
//!
//! The key exchange offers X25519MLKEM768 first. The certificate is chosen in each handshake, by the name that the
//! client asks for, so that a new one is used at once, by TCP and QUIC alike. Tickets are encrypted under keys of the
//! process, so that a client can resume on any worker. Early data (0-RTT) is never accepted.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ProducesTickets, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SupportedProtocolVersion, version};

pub use super::pem::TlsError;
use super::pem::{names, read_chain, read_key, validity};

/// Reads a certificate chain (leaf first) and its private key, and makes sure that they belong together.
///
/// # Errors
/// [`TlsError`] names the file and what is wrong with it; never anything of the key.
pub fn load_certified_key(chain_file: &Path, key_file: &Path) -> Result<CertifiedKey, TlsError> {
    let chain = read_chain(chain_file)?;
    let key = aws_lc_rs::default_provider()
        .key_provider
        .load_private_key(read_key(key_file)?)
        .map_err(|source| TlsError::Key { file: key_file.to_owned(), source })?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        // A key that cannot be compared is accepted; the first handshake would detect a wrong one.
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(certified),
        Err(source) => Err(TlsError::pair(chain_file, key_file, &certified, source)),
    }
}

/// A certificate that can be replaced while it is served, and the keys of its tickets.
pub struct ServedCertificate {
    current: ArcSwap<NamedCertificate>,
    tickets: Arc<dyn ProducesTickets>,
}

/// A certificate with the names that it is valid for.
struct NamedCertificate {
    key: Arc<CertifiedKey>,
    names: Vec<String>,
}

impl NamedCertificate {
    fn new(certificate: CertifiedKey) -> Self {
        Self { names: names(&certificate), key: Arc::new(certificate) }
    }
}

impl ServedCertificate {
    /// Serves a certificate until it is replaced.
    ///
    /// # Errors
    /// Where no keys for tickets can be generated.
    pub fn new(certificate: CertifiedKey) -> Result<Arc<Self>, TlsError> {
        let tickets = aws_lc_rs::Ticketer::new()?;
        let current = ArcSwap::from_pointee(NamedCertificate::new(certificate));
        Ok(Arc::new(Self { current, tickets }))
    }

    /// Uses another certificate for all new handshakes.
    pub fn replace(&self, certificate: CertifiedKey) {
        self.current.store(Arc::new(NamedCertificate::new(certificate)));
    }

    /// The end of the current certificate's validity, if it can be read.
    #[must_use]
    pub fn not_after(&self) -> Option<Timestamp> {
        Self::not_after_of(&self.current.load().key)
    }

    /// The end of a certificate's validity, if it can be read.
    #[must_use]
    pub fn not_after_of(certificate: &CertifiedKey) -> Option<Timestamp> {
        validity(certificate).map(|(_, not_after)| not_after)
    }

    fn current_key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.current.load().key)
    }
}

/// The certificates of a listener: the name that a client asks for (SNI, RFC 6066 §3) decides which one it gets.
#[derive(Debug)]
pub struct Certificates(Vec<Arc<ServedCertificate>>);

impl Certificates {
    /// In the order of preference; the first is for clients that ask for no name, or for one that none of them has.
    /// `None` where there are none.
    #[must_use]
    pub fn new(certificates: Vec<Arc<ServedCertificate>>) -> Option<Arc<Self>> {
        (!certificates.is_empty()).then(|| Arc::new(Self(certificates)))
    }

    /// A certificate with this very name comes before one with a wildcard for it.
    fn choose(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let first = self.0.first()?;
        let Some(name) = name.filter(|_| self.0.len() > 1) else { return Some(first.current_key()) };
        let with = |matches: fn(&str, &str) -> bool| {
            let mut current = self.0.iter().map(|certificate| certificate.current.load());
            let found = current.find(|current| current.names.iter().any(|own| matches(own, name)))?;
            Some(Arc::clone(&found.key))
        };
        with(is_name).or_else(|| with(is_wildcard_of)).or_else(|| Some(first.current_key()))
    }
}

/// Whether a certificate is valid for a host, as `hosts` of the configuration has it.
#[must_use]
pub fn is_valid_for(certificate: &CertifiedKey, host: &str) -> bool {
    names(certificate).iter().any(|name| is_name(name, host) || is_wildcard_of(name, host))
}

fn is_name(name: &str, host: &str) -> bool {
    name.eq_ignore_ascii_case(host)
}

/// Whether a name such as `*.example.com` stands for a host: for exactly one label (RFC 9525 §6.3).
fn is_wildcard_of(name: &str, host: &str) -> bool {
    match (name.strip_prefix("*."), host.split_once('.')) {
        (Some(parent), Some((label, rest))) => !label.is_empty() && parent.eq_ignore_ascii_case(rest),
        _ => false,
    }
}

/// What an operator should know of a certificate at `now`: that it is not valid yet, has expired, or will within
/// `soon`.
#[must_use]
pub fn validity_warning(
    certificate: &CertifiedKey,
    now: Timestamp,
    soon: jiff::SignedDuration,
) -> Option<String> {
    let (not_before, not_after) = validity(certificate)?;
    let second = |moment: Timestamp| moment.strftime("%Y-%m-%dT%H:%M:%SZ");
    if not_after <= now {
        Some(format!("expired at {}", second(not_after)))
    } else if not_before > now {
        Some(format!("is not valid before {}", second(not_before)))
    } else if not_after.duration_since(now) <= soon {
        Some(format!("expires at {}", second(not_after)))
    } else {
        None
    }
}

impl fmt::Debug for ServedCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServedCertificate([redacted])")
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(hello.server_name())
    }
}

/// The configuration for TCP; `alpn` in order of preference.
///
/// # Errors
/// Where the crypto provider lacks a version.
pub fn tcp_config(
    certificates: &Arc<Certificates>,
    tls13_only: bool,
    alpn: &[&str],
) -> Result<Arc<ServerConfig>, TlsError> {
    let versions: &[&SupportedProtocolVersion] =
        if tls13_only { &[&version::TLS13] } else { &[&version::TLS13, &version::TLS12] };
    config(certificates, versions, alpn).map(Arc::new)
}

/// The configuration for QUIC, which is TLS 1.3 only (RFC 9001 §4.2).
///
/// # Errors
/// Where the crypto provider lacks TLS 1.3.
pub fn quic_config(certificates: &Arc<Certificates>) -> Result<Arc<ServerConfig>, TlsError> {
    config(certificates, &[&version::TLS13], &["h3"]).map(Arc::new)
}

fn config(
    certificates: &Arc<Certificates>,
    versions: &[&'static SupportedProtocolVersion],
    alpn: &[&str],
) -> Result<ServerConfig, TlsError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::<Certificates>::clone(certificates));
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    // A ticket holds the name that was asked for, and is good for that one only.
    if let Some(first) = certificates.0.first() {
        config.ticketer = Arc::clone(&first.tickets);
    }
    // One ticket is enough to resume with; each costs an encryption and 200 bytes in every handshake.
    config.send_tls13_tickets = 1;
    config.max_early_data_size = 0;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn certificate(names: &[&str]) -> CertifiedKey {
        let pair = KeyPair::generate().unwrap();
        let params =
            CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
        let chain = vec![params.self_signed(&pair).unwrap().der().clone()];
        let key = rustls::pki_types::PrivateKeyDer::try_from(pair.serialize_der()).unwrap();
        CertifiedKey::new(chain, aws_lc_rs::default_provider().key_provider.load_private_key(key).unwrap())
    }

    fn served(names: &[&str]) -> Arc<ServedCertificate> {
        ServedCertificate::new(certificate(names)).unwrap()
    }

    #[test]
    fn the_name_that_is_asked_for_chooses_the_certificate() {
        let all = [
            served(&["api.example.com"]),
            served(&["*.example.com"]),
            served(&["Docs.example.com", "docs.example.net"]),
        ];
        let certificates = Certificates::new(all.to_vec()).unwrap();
        for (name, expected) in [
            (None, 0),
            (Some("api.example.com"), 0),
            (Some("API.example.com"), 0),
            (Some("docs.example.com"), 2),
            (Some("docs.example.net"), 2),
            (Some("portal.example.com"), 1),
            (Some("a.portal.example.com"), 0),
            (Some("example.com"), 0),
            (Some(".example.com"), 0),
            (Some("elsewhere.example"), 0),
        ] {
            let chosen = certificates.choose(name).unwrap();
            assert!(Arc::ptr_eq(&chosen, &all[expected].current_key()), "{name:?}");
        }
        all[1].replace(certificate(&["*.example.org"]));
        let chosen = certificates.choose(Some("portal.example.org")).unwrap();
        assert!(Arc::ptr_eq(&chosen, &all[1].current_key()), "the names are those of the new one");
        assert!(Arc::ptr_eq(
            &certificates.choose(Some("portal.example.com")).unwrap(),
            &all[0].current_key()
        ));
        assert!(Certificates::new(Vec::new()).is_none());
    }

    #[test]
    fn a_certificate_is_valid_for_its_names_and_addresses() {
        let certificate = certificate(&["*.example.com", "192.0.2.1", "::1"]);
        for (host, valid) in [
            ("docs.example.com", true),
            ("example.com", false),
            ("192.0.2.1", true),
            ("192.0.2.2", false),
            ("[::1]", true),
        ] {
            assert_eq!(is_valid_for(&certificate, host), valid, "{host}");
        }
    }
}
