//! Where the server is, and how a connection to it is opened.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use http::uri::Authority;
use quinn::crypto::rustls::QuicClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::protocol::Protocol;
use crate::ready::Ready;

/// The name in every server's certificate.
const HOST: &str = "localhost";

/// A server's address over one protocol, and the TLS configuration for it.
pub(super) struct Target {
    pub(super) protocol: Protocol,
    address: SocketAddr,
    tls: Option<(Arc<ClientConfig>, Arc<CountingVerifier>)>,
}

impl Target {
    /// `resume` says whether a connection may resume the session of an earlier one.
    pub(super) fn new(ready: &Ready, protocol: Protocol, resume: bool) -> anyhow::Result<Self> {
        let address = ready.address(protocol)?;
        let Some(alpn) = protocol.alpn() else { return Ok(Self { protocol, address, tls: None }) };
        let ca = ready.ca.as_ref().context("the ready file names no CA")?;
        let mut roots = RootCertStore::empty();
        for certificate in
            CertificateDer::pem_file_iter(ca).with_context(|| format!("cannot read {}", ca.display()))?
        {
            roots.add(certificate?)?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let webpki =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build()?;
        let verifier = Arc::new(CountingVerifier { webpki, verified: AtomicU64::new(0) });
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&verifier) as Arc<dyn ServerCertVerifier>)
            .with_no_client_auth();
        config.alpn_protocols = vec![alpn.to_vec()];
        if !resume {
            config.resumption = Resumption::disabled();
        }
        Ok(Self { protocol, address, tls: Some((Arc::new(config), verifier)) })
    }

    /// Full handshakes so far.
    pub(super) fn full_handshakes(&self) -> u64 {
        self.tls.as_ref().map_or(0, |(_, verifier)| verifier.verified.load(Ordering::Relaxed))
    }

    /// The value of `Host` and `:authority`.
    pub(super) fn authority(&self) -> anyhow::Result<Authority> {
        Ok(format!("{HOST}:{}", self.address.port()).parse()?)
    }

    /// Opens a TCP connection.
    pub(super) async fn tcp(&self) -> anyhow::Result<TcpStream> {
        let socket = TcpStream::connect(self.address).await?;
        socket.set_nodelay(true)?;
        Ok(socket)
    }

    /// Opens a TLS connection and checks that the server chose the protocol.
    pub(super) async fn tls(&self) -> anyhow::Result<TlsStream<TcpStream>> {
        let (config, _) = self.tls.as_ref().context("this protocol has no TLS")?;
        let connector = TlsConnector::from(Arc::clone(config));
        let handshake = connector.connect(ServerName::try_from(HOST)?, self.tcp().await?);
        let stream = handshake.await.context("the TLS handshake failed")?;
        let chosen = stream.get_ref().1.alpn_protocol();
        anyhow::ensure!(chosen == self.protocol.alpn(), "the server does not offer {}", self.protocol);
        Ok(stream)
    }

    /// Opens a QUIC connection on a new socket: a server with several sockets on one port distributes clients
    /// by their addresses.
    pub(super) async fn quic(&self) -> anyhow::Result<(quinn::Endpoint, quinn::Connection)> {
        let (config, _) = self.tls.as_ref().context("this protocol has no TLS")?;
        let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(Arc::clone(config))?));
        let endpoint = quinn::Endpoint::client((Ipv4Addr::UNSPECIFIED, 0).into())?;
        let handshake = endpoint.connect_with(config, self.address, HOST)?;
        let connection = handshake.await.context("the QUIC handshake failed")?;
        Ok((endpoint, connection))
    }
}

/// rustls's verifier, counting certificates: a resumed session has none to verify, over TLS and QUIC alike.
#[derive(Debug)]
struct CountingVerifier {
    webpki: Arc<WebPkiServerVerifier>,
    verified: AtomicU64,
}

impl ServerCertVerifier for CountingVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.verified.fetch_add(1, Ordering::Relaxed);
        self.webpki.verify_server_cert(certificate, intermediates, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.webpki.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.webpki.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}
