//! The TLS session for quinn, which exposes the result of the handshake.
//!
//! quinn's session around rustls exposes the protocol and the server's name, but not the cipher suite, the
//! group or whether the session was resumed. This one makes the same calls in the same order, and its
//! handshake data is an [`Encryption`]. The initial keys and retry tags are still quinn's. Early data (0-RTT)
//! never has keys.

use std::any::Any;
use std::io::Cursor;
use std::sync::Arc;

use quinn::crypto::rustls::{NoInitialCipherSuite, QuicServerConfig};
use quinn_proto::crypto::{
    ExportKeyingMaterialError, HeaderKey, KeyPair, Keys, PacketKey, ServerConfig, Session, UnsupportedVersion,
};
use quinn_proto::transport_parameters::TransportParameters;
use quinn_proto::{ConnectionId, Side, TransportError, TransportErrorCode};
use rustls::quic::{self, Connection, KeyChange, Secrets, ServerConnection, Version};

use crate::transport::connection::Encryption;

/// Creates a session for each connection.
pub(in crate::transport) struct QuicTls {
    tls: Arc<rustls::ServerConfig>,
    before: QuicServerConfig,
}

impl QuicTls {
    /// # Errors
    /// If the crypto provider lacks the cipher suite of initial packets.
    pub(in crate::transport) fn new(
        tls: &Arc<rustls::ServerConfig>,
    ) -> Result<Arc<Self>, NoInitialCipherSuite> {
        let before = QuicServerConfig::try_from(Arc::clone(tls))?;
        Ok(Arc::new(Self { tls: Arc::clone(tls), before }))
    }
}

impl ServerConfig for QuicTls {
    fn initial_keys(&self, version: u32, id: &ConnectionId) -> Result<Keys, UnsupportedVersion> {
        self.before.initial_keys(version, id)
    }

    fn retry_tag(&self, version: u32, id: &ConnectionId, packet: &[u8]) -> [u8; 16] {
        self.before.retry_tag(version, id, packet)
    }

    fn start_session(self: Arc<Self>, number: u32, parameters: &TransportParameters) -> Box<dyn Session> {
        // The drafts up to 32 have different keys; unsupported versions were refused before.
        let version =
            if matches!(number, 0xff00_001d..=0xff00_0020) { Version::V1Draft } else { Version::V1 };
        let mut written = Vec::new();
        parameters.write(&mut written);
        let connection = ServerConnection::new(Arc::clone(&self.tls), version, written)
            .expect("TLS 1.3 is configured, and no early data");
        let connection = Connection::Server(connection);
        Box::new(QuicSession { connection, number, config: self, handshake_reported: false, secrets: None })
    }
}

/// The TLS session of a connection.
struct QuicSession {
    connection: Connection,
    number: u32,
    config: Arc<QuicTls>,
    /// Whether the end of the handshake was reported to quinn.
    handshake_reported: bool,
    /// The secrets for the next key update.
    secrets: Option<Secrets>,
}

impl Session for QuicSession {
    fn initial_keys(&self, id: &ConnectionId, _: Side) -> Keys {
        self.config.initial_keys(self.number, id).expect("the version was accepted before")
    }

    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        if self.is_handshaking() {
            return None;
        }
        Encryption::agreed(&self.connection).map(|agreed| Box::new(agreed) as Box<dyn Any>)
    }

    /// Clients have no certificates.
    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        None
    }

    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        None
    }

    fn early_data_accepted(&self) -> Option<bool> {
        None
    }

    fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    fn read_handshake(&mut self, bytes: &[u8]) -> Result<bool, TransportError> {
        self.connection.read_hs(bytes).map_err(|error| {
            let code = match self.connection.alert() {
                Some(alert) => TransportErrorCode::crypto(alert.into()),
                None => TransportErrorCode::PROTOCOL_VIOLATION,
            };
            TransportError { code, frame: None, reason: error.to_string() }
        })?;
        let has_finished = !self.handshake_reported && !self.is_handshaking();
        self.handshake_reported |= has_finished;
        Ok(has_finished)
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        let Some(bytes) = self.connection.quic_transport_parameters() else { return Ok(None) };
        Ok(Some(TransportParameters::read(Side::Server, &mut Cursor::new(bytes))?))
    }

    fn write_handshake(&mut self, bytes: &mut Vec<u8>) -> Option<Keys> {
        let quic::Keys { local, remote } = match self.connection.write_hs(bytes)? {
            KeyChange::Handshake { keys } => keys,
            KeyChange::OneRtt { keys, next } => {
                self.secrets = Some(next);
                keys
            }
        };
        Some(Keys {
            header: KeyPair { local: Box::new(local.header), remote: Box::new(remote.header) },
            packet: KeyPair { local: Box::new(local.packet), remote: Box::new(remote.packet) },
        })
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        let next = self.secrets.as_mut()?.next_packet_keys();
        Some(KeyPair { local: Box::new(next.local), remote: Box::new(next.remote) })
    }

    /// Only clients get a retry.
    fn is_valid_retry(&self, _: &ConnectionId, _: &[u8], _: &[u8]) -> bool {
        false
    }

    fn export_keying_material(
        &self,
        output: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        let exported = self.connection.export_keying_material(output, label, Some(context));
        exported.map_err(|_| ExportKeyingMaterialError)?;
        Ok(())
    }
}
