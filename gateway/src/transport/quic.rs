//! QUIC connections: accepts and bounds them, and hands them to [`super::http3`] after the handshake.

mod connection_ids;
mod steering;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use quinn::{Endpoint, EndpointConfig, IdleTimeout, Incoming, ServerConfig, TransportConfig};
use tokio::sync::watch;
use tracing::debug;

use super::connection::{Carrier, Open, Phase};
use super::http3::{self, Control, Link, QuicTls};
use super::{Connections, Encryption, Listener, Service, Settings};
pub use steering::{QuicSocket, steer};

/// Signs the stateless reset tokens of connection ids (RFC 9000 §10.3).
pub type ResetKey = Arc<dyn quinn_proto::crypto::HmacKey>;

/// The settings of a QUIC listener.
pub struct QuicListener<S: 'static> {
    /// The listener of its requests.
    pub listener: Arc<Listener>,
    /// TLS, with `h3` as its only protocol.
    pub tls: Arc<rustls::ServerConfig>,
    /// The same for every process of a data folder, so that the next process resets the connections of a
    /// crashed one.
    pub reset_key: ResetKey,
    /// Handles the requests.
    pub service: &'static S,
}

/// Unidirectional streams that a client may open: control, two for QPACK, and some that are ignored.
const UNIDIRECTIONAL_STREAMS_MAX: u32 = 16;
/// The flow-control windows of a stream and of a connection, in bytes.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// Bytes buffered for connections that are not accepted yet: for one, and for all of a worker.
const INCOMING_BYTES_MAX: u64 = 64 * 1024;
const INCOMING_BYTES_TOTAL_MAX: u64 = 16 * 1024 * 1024;
/// Stateless resets of a worker are at least this far apart; after a crash every client waits for one. A reset is
/// always smaller than the packet that provokes it, so two servers cannot keep resetting each other.
const RESET_INTERVAL_MIN: Duration = Duration::from_millis(1);

/// Accepts QUIC connections until `stop` is `true`; then waits until the open ones have ended.
///
/// # Errors
/// Where the socket or the TLS configuration cannot be used.
pub async fn serve_quic<S: Service>(
    socket: QuicSocket,
    quic: QuicListener<S>,
    connections: Arc<Connections>,
    mut stop: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let crypto = QuicTls::new(&quic.tls).map_err(std::io::Error::other)?;
    let mut config = ServerConfig::with_crypto(crypto);
    let settings = connections.settings();
    config
        .transport_config(Arc::new(transport_config(&settings)))
        .max_incoming(settings.quic_handshakes_max)
        .incoming_buffer_size(INCOMING_BYTES_MAX)
        .incoming_buffer_size_total(INCOMING_BYTES_TOTAL_MAX);
    let runtime = Arc::new(quinn::TokioRuntime);
    let mut shared = EndpointConfig::new(quic.reset_key);
    shared.cid_generator(socket.id_generator()).min_reset_interval(RESET_INTERVAL_MIN);
    let socket = socket.into_steered()?;
    let endpoint = Endpoint::new_with_abstract_socket(shared, Some(config), socket, runtime)?;
    let handshakes = Arc::new(AtomicUsize::new(0));
    loop {
        let incoming = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            incoming = endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else { break };
        let settings = connections.settings();
        let pending = handshakes.load(Ordering::Relaxed);
        if pending >= settings.quic_handshakes_max {
            refused("quic_handshakes_max");
            incoming.ignore();
        } else if pending >= settings.quic_retry_threshold && incoming.may_retry() {
            // It cannot fail after the check of `may_retry`.
            let _ = incoming.retry();
        } else {
            match connections.open(incoming.remote_address().ip(), &quic.listener) {
                Ok(open) => {
                    handshakes.fetch_add(1, Ordering::Relaxed);
                    let handshake = Handshake(Arc::clone(&handshakes));
                    tokio::spawn(serve_connection(incoming, open, handshake, settings, quic.service));
                }
                Err(refusal) => {
                    refused(refusal.name());
                    incoming.refuse();
                }
            }
        }
    }
    // New clients, and those in the queue, are refused at once. This continues until every worker is done,
    // because this socket may read datagrams for another worker.
    let refuse = async {
        while let Some(incoming) = endpoint.accept().await {
            refused("draining");
            incoming.refuse();
        }
    };
    tokio::select! {
        biased;
        () = refuse => {}
        () = connections.all_closed() => {}
    }
    endpoint.wait_idle().await;
    Ok(())
}

fn refused(reason: &'static str) {
    metrics::counter!("gateway_connections_refused_total", "reason" => reason).increment(1);
}

fn transport_config(settings: &Settings) -> TransportConfig {
    let mut config = TransportConfig::default();
    // The sweep closes a connection without requests; this closes one whose client has vanished.
    let vanished = IdleTimeout::try_from(settings.idle + settings.goodbye).ok();
    config
        .max_idle_timeout(vanished)
        .max_concurrent_bidi_streams(settings.streams_per_connection_max.into())
        .max_concurrent_uni_streams(UNIDIRECTIONAL_STREAMS_MAX.into())
        .stream_receive_window(STREAM_WINDOW_BYTES.into())
        .receive_window(CONNECTION_WINDOW_BYTES.into())
        .send_window(CONNECTION_WINDOW_BYTES.into())
        .datagram_receive_buffer_size(None);
    config
}

/// A handshake, counted until it is dropped.
struct Handshake(Arc<AtomicUsize>);

impl Drop for Handshake {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn serve_connection<S: Service>(
    incoming: Incoming,
    open: Open,
    handshake: Handshake,
    settings: Arc<Settings>,
    service: &'static S,
) {
    let peer = &open.peer;
    peer.multiplexed.store(true, Ordering::Relaxed);
    let failed = |error: &dyn std::fmt::Display| {
        debug!(%error, client.address = %peer.origin, "QUIC handshake failed");
        metrics::counter!("gateway_handshake_errors_total", "protocol" => "quic").increment(1);
    };
    let connecting = match incoming.accept() {
        Ok(connecting) => connecting,
        Err(error) => return failed(&error),
    };
    let connection = match peer.until_closed(connecting).await {
        Some(Ok(connection)) => connection,
        Some(Err(error)) => return failed(&error),
        None => return failed(&std::io::Error::from(std::io::ErrorKind::TimedOut)),
    };
    drop(handshake);
    let agreed = connection.handshake_data().and_then(|data| data.downcast::<Encryption>().ok());
    peer.establish(agreed.map(|agreed| *agreed), Carrier::Quic(connection.clone()));
    peer.enter(Phase::Head);
    let Some(Ok(mut control)) = peer.until_closed(Control::open(connection.clone())).await else {
        return connection.close(http3::NO_ERROR, b"");
    };
    let link = Arc::new(Link { connection, settings });
    let code = http3::serve(&mut control, &link, peer, service).await;
    // Before `control` is dropped, which always closes with H3_NO_ERROR.
    link.connection.close(code, b"");
}
