//! The certificate of floor and peers: made at each start and signed by itself.

use std::sync::Arc;

use rcgen::{CertifiedKey, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::version::TLS13;
use rustls::{ServerConfig, SupportedProtocolVersion};
use tokio_rustls::TlsAcceptor;

/// A key and its self-signed certificate for localhost.
pub(crate) struct Identity {
    pair: CertifiedKey<KeyPair>,
}

impl Identity {
    /// Makes a new one.
    pub(crate) fn generate() -> anyhow::Result<Self> {
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        Ok(Self { pair: rcgen::generate_simple_self_signed(names)? })
    }

    /// The certificate, which clients have to trust.
    pub(crate) fn certificate_pem(&self) -> String {
        self.pair.cert.pem()
    }

    /// The private key, for servers that read it from a file.
    pub(crate) fn private_key_pem(&self) -> String {
        self.pair.signing_key.serialize_pem()
    }

    /// TLS 1.3 and 1.2 for HTTP/2 and HTTP/1.1.
    pub(crate) fn tls(&self) -> anyhow::Result<TlsAcceptor> {
        Ok(TlsAcceptor::from(Arc::new(self.config(rustls::DEFAULT_VERSIONS, &[b"h2", b"http/1.1"])?)))
    }

    /// TLS 1.3 for QUIC, which has no other (RFC 9001 §4.2).
    pub(crate) fn quic(&self, alpn: &[u8]) -> anyhow::Result<quinn::crypto::rustls::QuicServerConfig> {
        Ok(self.config(&[&TLS13], &[alpn])?.try_into()?)
    }

    fn config(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        alpn: &[&[u8]],
    ) -> anyhow::Result<ServerConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let chain = vec![CertificateDer::from(self.pair.cert.der().to_vec())];
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.pair.signing_key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Ok(config)
    }
}
