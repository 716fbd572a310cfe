//! HTTP/3 over QUIC.
//!
//! quinn carries the connection, h3 speaks HTTP over [`super::streams`]. What h3 leaves out is added
//! here: time limits, `date` and `content-length`, and the codes with which a connection ends.

use std::borrow::Borrow as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use bytes::Bytes;
use h3::error::{Code, ConnectionError, StreamError};
use h3::server::RequestStream;
use http::{HeaderValue, Response, StatusCode, Version, header};
use http_body_util::BodyExt as _;
use quinn::{Endpoint, EndpointConfig, IdleTimeout, Incoming, ServerConfig, TransportConfig, VarInt};
use tokio::sync::watch;
use tracing::debug;

use super::connections::Open;
use super::http3_head::{self, Head, Resolver};
use super::peer::{Carrier, InFlight, Phase};
use super::quic_tls::QuicTls;
use super::streams::{Connection, SendStream};
use super::{Body, Close, Connections, Encryption, Listener, Peer, QuicSocket, Service, Settings, within};

/// What one UDP socket serves.
pub struct QuicListener<S: 'static> {
    /// The listener that its requests came by.
    pub listener: Arc<Listener>,
    /// TLS, with `h3` as its only protocol.
    pub tls: Arc<rustls::ServerConfig>,
    /// What answers.
    pub service: &'static S,
}

/// The most that a frame other than DATA, and a head when it is unpacked, may have. Larger than any
/// `header_bytes_max`, so that a head over that limit is still read and answered in our form.
const FRAME_BYTES_MAX: u64 = 128 * 1024;
/// Unidirectional streams that a client may open: control, two of QPACK, and some that are ignored.
const UNIDIRECTIONAL_STREAMS_MAX: u32 = 16;
/// Bytes that a client may send ahead on one stream, and on one connection.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// Bytes kept of connections that are not accepted yet: of one, and of all of a worker.
const INCOMING_BYTES_MAX: u64 = 64 * 1024;
const INCOMING_BYTES_TOTAL_MAX: u64 = 16 * 1024 * 1024;
/// How many faults one oversized head counts for: the connection survives a few, and no attack.
const TOO_LARGE_FAULTS: u32 = 64;
/// Requests that are still answered after the first GOAWAY: those that were on their way.
const GOAWAY_GRACE_REQUESTS: usize = 256;

/// Takes QUIC connections until `stop` says so; then waits until those that are open have ended.
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
    let mut shared = EndpointConfig::default();
    shared.cid_generator(socket.id_generator());
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
            // It cannot fail: `may_retry` was asked.
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
    // New clients, and those that wait in the queue, are told at once to go elsewhere. That lasts until
    // every worker is done: until then this socket may read what is for another.
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
    // The sweep ends a connection without requests; this ends one whose client has vanished.
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

/// A handshake that is counted until it is over.
struct Handshake(Arc<AtomicUsize>);

impl Drop for Handshake {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What the requests of a connection share.
struct Link {
    connection: quinn::Connection,
    settings: Arc<Settings>,
}

type Http3 = h3::server::Connection<Connection, Bytes>;

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
    let mut builder = h3::server::builder();
    builder.max_field_section_size(FRAME_BYTES_MAX).send_grease(false);
    let transport = Connection::new(connection.clone(), FRAME_BYTES_MAX);
    let Some(Ok(mut http3)) = peer.until_closed(builder.build(transport)).await else {
        return end(&connection, Code::H3_NO_ERROR);
    };
    let link = Arc::new(Link { connection, settings });
    let code = speak_http3(&mut http3, &link, peer, service).await;
    // Before `http3` goes: dropping it closes the connection as well, and always with H3_NO_ERROR.
    end(&link.connection, code);
}

fn end(connection: &quinn::Connection, code: Code) {
    connection.close(VarInt::from_u64(code.value()).unwrap_or(VarInt::MAX), b"");
}

#[expect(clippy::large_enum_variant, reason = "it is moved once and nearly always the large one")]
enum Next {
    Announce,
    End(Code),
    Accepted(Result<Option<Resolver>, ConnectionError>),
}

/// Answers requests until the connection is over; returns the code to close it with.
async fn speak_http3<S: Service>(
    http3: &mut Http3,
    link: &Arc<Link>,
    peer: &Arc<Peer>,
    service: &'static S,
) -> Code {
    let (mut announced, mut rests) = (false, false);
    let mut watch = peer.watch_close();
    loop {
        let next = {
            let mut accept = std::pin::pin!(http3.accept());
            std::future::poll_fn(|context| match watch.poll(context) {
                Some(Close::Now) => Poll::Ready(Next::End(Code::H3_NO_ERROR)),
                Some(Close::Excess) => Poll::Ready(Next::End(Code::H3_EXCESSIVE_LOAD)),
                Some(Close::Drain | Close::Revoked) if !announced => Poll::Ready(Next::Announce),
                // h3 has said that there is nothing to accept; whatever changes that wakes this task.
                _ if std::mem::take(&mut rests) => Poll::Pending,
                _ => accept.as_mut().poll(context).map(Next::Accepted),
            })
            .await
        };
        match next {
            Next::Announce => {
                announced = true;
                peer.enter(Phase::Goodbye);
                if http3.shutdown(GOAWAY_GRACE_REQUESTS).await.is_err() {
                    return Code::H3_NO_ERROR;
                }
            }
            Next::Accepted(Ok(Some(resolver))) => {
                let mut request =
                    Box::pin(serve_request(resolver, Arc::clone(link), peer.begin_request(), service));
                // Most requests are whole when they are accepted and answered at once: no task for those.
                let done = std::future::poll_fn(|context| Poll::Ready(request.as_mut().poll(context))).await;
                if done.is_pending() {
                    tokio::spawn(request);
                }
            }
            // The client has said that it will go (GOAWAY), and nothing is in flight. The last answers may
            // still be on their way, so the client is the one to close, or else the sweep.
            Next::Accepted(Ok(None)) => {
                rests = true;
                peer.enter(Phase::Goodbye);
            }
            // The client has gone away, or broke the protocol; in that case h3 has closed with the code.
            Next::Accepted(Err(_)) => return Code::H3_NO_ERROR,
            Next::End(code) => return code,
        }
    }
}

async fn serve_request<S: Service>(
    resolver: Resolver,
    link: Arc<Link>,
    in_flight: InFlight,
    service: &'static S,
) {
    let peer: &Arc<Peer> = in_flight.borrow();
    let head = http3_head::read(resolver, link.settings.header).await;
    peer.seen_at(link.connection.remote_address().ip());
    let (mut send, response) = match head {
        Head::Read(request, stream) => {
            peer.forgive_fault();
            let (send, receive) = stream.split();
            let request = request.map(|()| Body::Http3(Box::new(receive)));
            (send, service.serve(request, peer).await)
        }
        Head::Refused(status, stream) => {
            let (send, _) = stream.split();
            (send, refuse(status, peer, service).map(Body::from))
        }
        Head::Answered(status) => {
            refuse(status, peer, service);
            return;
        }
        Head::GivenUp => return peer.count_faults(1),
    };
    match within(link.settings.write, answer(&mut send, response)).await {
        Some(Ok(())) => {}
        // The client gave up the stream, or the connection is over.
        Some(Err(_)) => {}
        None => send.stop_stream(Code::H3_REQUEST_CANCELLED),
    }
}

/// Reports a head that never became a request, and makes the answer to it.
fn refuse<S: Service>(status: StatusCode, peer: &Arc<Peer>, service: &'static S) -> Response<Bytes> {
    let (reason, faults) = match status {
        StatusCode::REQUEST_TIMEOUT => ("timeout", 1),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => ("too_large", TOO_LARGE_FAULTS),
        _ => ("malformed", 1),
    };
    metrics::counter!("gateway_heads_refused_total", "reason" => reason).increment(1);
    peer.count_faults(faults);
    service.refuse(status, Version::HTTP_3, peer)
}

type Answer = RequestStream<SendStream<Bytes>, Bytes>;

async fn answer(send: &mut Answer, response: Response<Body>) -> Result<(), StreamError> {
    let (mut head, mut body) = response.into_parts();
    if let Some(length) = http_body::Body::size_hint(&body).exact().filter(|length| *length > 0) {
        head.headers.entry(header::CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
    }
    send.send_response(Response::from_parts(head, ())).await?;
    while let Some(Ok(frame)) = body.frame().await {
        if let Ok(data) = frame.into_data() {
            send.send_data(data).await?;
        }
    }
    send.finish().await
}
