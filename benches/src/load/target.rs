//! Where the server is, and how a connection to it begins.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use http::uri::Authority;
use quinn::crypto::rustls::QuicClientConfig;
use rustls::client::Resumption;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::verifier::Counted;
use crate::protocol::Protocol;
use crate::ready::Ready;

/// The name that every server under test has a certificate for.
const HOST: &str = "localhost";
/// From the first packet to the end of the handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A server's address over one protocol, and whom to trust for it.
pub(super) struct Target {
    pub(super) protocol: Protocol,
    address: SocketAddr,
    authority: Authority,
    trust: Option<Trust>,
}

/// The two forms of the same TLS configuration.
struct Trust {
    verifier: Arc<Counted>,
    tls: Arc<ClientConfig>,
    quic: Option<quinn::ClientConfig>,
}

impl Target {
    pub(super) fn new(ready: &Ready, protocol: Protocol) -> anyhow::Result<Self> {
        Self::with_resumption(ready, protocol, true)
    }

    /// As [`Self::new`], but a connection may be kept from resuming the session of an earlier one.
    pub(super) fn with_resumption(
        ready: &Ready,
        protocol: Protocol,
        is_resumed: bool,
    ) -> anyhow::Result<Self> {
        let address = ready.listener(protocol)?.address;
        let trust = match protocol.alpn() {
            Some(alpn) => Some(Trust::new(ready, alpn, protocol.is_quic(), is_resumed)?),
            None => None,
        };
        let authority = format!("{HOST}:{}", address.port()).parse()?;
        Ok(Self { protocol, address, authority, trust })
    }

    /// How often a server's certificate was looked at, which a resumed session does without.
    pub(super) fn full_handshakes(&self) -> u64 {
        self.trust.as_ref().map_or(0, |trust| trust.verifier.count())
    }

    /// What goes into `Host` and `:authority`.
    pub(super) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// A TCP connection.
    pub(super) async fn tcp(&self) -> anyhow::Result<TcpStream> {
        let socket = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(self.address))
            .await
            .context("connecting took too long")??;
        socket.set_nodelay(true)?;
        Ok(socket)
    }

    /// A TLS connection on which the server took the protocol.
    pub(super) async fn tls(&self) -> anyhow::Result<TlsStream<TcpStream>> {
        let trust = self.trust.as_ref().context("this protocol has no TLS")?;
        let connector = TlsConnector::from(Arc::clone(&trust.tls));
        let handshake = connector.connect(ServerName::try_from(HOST)?, self.tcp().await?);
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, handshake)
            .await
            .context("the TLS handshake took too long")?
            .context("the TLS handshake failed")?;
        anyhow::ensure!(
            stream.get_ref().1.alpn_protocol() == self.protocol.alpn(),
            "the server does not speak {} here",
            self.protocol.name()
        );
        Ok(stream)
    }

    /// A QUIC connection on a socket of its own, as from a client of its own: a server with several
    /// sockets on one port shares its clients out by their addresses.
    pub(super) async fn quic(&self) -> anyhow::Result<(quinn::Endpoint, quinn::Connection)> {
        let config = self.trust.as_ref().and_then(|trust| trust.quic.clone());
        let config = config.context("this protocol is not QUIC")?;
        let any: SocketAddr = match self.address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let endpoint = quinn::Endpoint::client(any)?;
        let handshake = endpoint.connect_with(config, self.address, HOST)?;
        let connection = tokio::time::timeout(CONNECT_TIMEOUT, handshake)
            .await
            .context("the QUIC handshake took too long")?
            .context("the QUIC handshake failed")?;
        Ok((endpoint, connection))
    }
}

impl Trust {
    fn new(ready: &Ready, alpn: &[u8], is_quic: bool, is_resumed: bool) -> anyhow::Result<Self> {
        let ca = ready.ca.as_ref().context("the ready file names no CA")?;
        let mut roots = RootCertStore::empty();
        for certificate in
            CertificateDer::pem_file_iter(ca).with_context(|| format!("cannot read {}", ca.display()))?
        {
            roots.add(certificate?)?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = Counted::new(roots, Arc::clone(&provider))?;
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&verifier) as Arc<dyn ServerCertVerifier>)
            .with_no_client_auth();
        config.alpn_protocols = vec![alpn.to_vec()];
        if !is_resumed {
            config.resumption = Resumption::disabled();
        }
        let tls = Arc::new(config);
        let quic = if is_quic {
            Some(quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(Arc::clone(&tls))?)))
        } else {
            None
        };
        Ok(Self { verifier, tls, quic })
    }
}
