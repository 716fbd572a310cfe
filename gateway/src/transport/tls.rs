//! TLS: which versions, which certificate, and tickets for resumption.
//!
//! The key exchange offers X25519MLKEM768 first. The certificate is looked up in each handshake, so that a new one is
//! used at once, by TCP and QUIC alike. Tickets are encrypted under keys of the process, so that a client can resume on
//! any worker. Early data (0-RTT) is never accepted.

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
use super::pem::{read_chain, read_key, validity};

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

/// The certificate of a listener, which can be replaced while it serves, and the keys of its tickets.
pub struct Certificates {
    current: ArcSwap<CertifiedKey>,
    tickets: Arc<dyn ProducesTickets>,
}

impl Certificates {
    /// Serves a certificate until it is replaced.
    ///
    /// # Errors
    /// Where no keys for tickets can be generated.
    pub fn new(certificate: CertifiedKey) -> Result<Arc<Self>, TlsError> {
        let tickets = aws_lc_rs::Ticketer::new()?;
        Ok(Arc::new(Self { current: ArcSwap::from_pointee(certificate), tickets }))
    }

    /// Uses another certificate for all new handshakes.
    pub fn replace(&self, certificate: CertifiedKey) {
        self.current.store(Arc::new(certificate));
    }

    /// The end of the current certificate's validity, if it can be read.
    #[must_use]
    pub fn not_after(&self) -> Option<Timestamp> {
        Self::not_after_of(&self.current.load())
    }

    /// The end of a certificate's validity, if it can be read.
    #[must_use]
    pub fn not_after_of(certificate: &CertifiedKey) -> Option<Timestamp> {
        validity(certificate).map(|(_, not_after)| not_after)
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

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificates([redacted])")
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
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
    config.ticketer = Arc::clone(&certificates.tickets);
    // One ticket is enough to resume with; each costs an encryption and 200 bytes in every handshake.
    config.send_tls13_tickets = 1;
    config.max_early_data_size = 0;
    Ok(config)
}
