//! TLS: which versions, which certificate, and tickets to come back with.
//!
//! The key exchange offers X25519MLKEM768 first. A certificate is looked up at each handshake, so that
//! a new one is taken over at once, by TCP and QUIC alike. Tickets are sealed under keys that live in
//! the process, so that a client can resume on any worker. Early data (0-RTT) is never accepted.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ProducesTickets, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SupportedProtocolVersion, version};

/// A certificate or its key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or holds no PEM of that kind.
    #[error("{}: {reason}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The key does not belong to the certificate, or is of a kind that is not supported.
    #[error("the certificate in {} and the key in {} do not fit: {source}", chain.display(), key.display())]
    Pair {
        /// The certificate's file.
        chain: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What rustls says.
        source: rustls::Error,
    },
    /// The settings contradict each other.
    #[error("TLS cannot be set up")]
    Setup(#[from] rustls::Error),
}

/// Reads a certificate chain (leaf first) and its key, and makes sure that they belong together.
///
/// # Errors
/// [`TlsError`] names the file and what is wrong with it; never anything of the key.
pub fn load_certified_key(chain_file: &Path, key_file: &Path) -> Result<CertifiedKey, TlsError> {
    let error = |file: &Path, reason: String| TlsError::File { file: file.to_owned(), reason };
    let chain = CertificateDer::pem_file_iter(chain_file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|reason| error(chain_file, format!("no certificate could be read: {reason}")))?;
    if chain.is_empty() {
        return Err(error(chain_file, "it holds no certificate (PEM, `BEGIN CERTIFICATE`)".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(key_file)
        .map_err(|reason| error(key_file, format!("no private key could be read: {reason}")))?;
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|source| TlsError::Pair {
        chain: chain_file.to_owned(),
        key: key_file.to_owned(),
        source,
    })
}

/// The certificate of a listener, which can be replaced while it serves, and its tickets' keys.
pub struct Certificates {
    current: ArcSwap<CertifiedKey>,
    tickets: Arc<dyn ProducesTickets>,
}

impl Certificates {
    /// Serves one certificate until another takes its place.
    ///
    /// # Errors
    /// Where no keys for tickets can be made.
    pub fn new(certificate: CertifiedKey) -> Result<Arc<Self>, TlsError> {
        let tickets = aws_lc_rs::Ticketer::new()?;
        Ok(Arc::new(Self { current: ArcSwap::from_pointee(certificate), tickets }))
    }

    /// Takes another certificate for all new handshakes.
    pub fn replace(&self, certificate: CertifiedKey) {
        self.current.store(Arc::new(certificate));
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
/// Where the versions cannot be had from the crypto provider.
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
/// Where TLS 1.3 cannot be had from the crypto provider.
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
    // One ticket is enough to resume with; each costs a sealing and 200 bytes in every handshake.
    config.send_tls13_tickets = 1;
    config.max_early_data_size = 0;
    Ok(config)
}
