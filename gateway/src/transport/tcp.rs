//! HTTP/1.1 and HTTP/2 over TCP, with and without TLS.
//!
//! The protocol is chosen by ALPN, or in cleartext by HTTP/2's preface, for the entire connection.

use std::future::{Future, poll_fn};
use std::net::{SocketAddr, TcpListener as StdListener};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use http::{StatusCode, Version};
use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use super::connection::{Carrier, Open, Phase, SocketPair};
use super::lingering::linger;
use super::prefer_send::PreferSend;
use super::{Connections, Encryption, Listener, Service, Settings, http1, http2};
use crate::throttle::Throttle;

/// The protocols of a listener.
#[derive(Clone, Copy, Debug)]
pub struct Protocols {
    /// HTTP/1.1 and 1.0.
    pub http1: bool,
    /// HTTP/2.
    pub http2: bool,
}

/// The settings of a TCP listener.
pub struct TcpService<S: 'static> {
    /// The listener that its requests came by.
    pub listener: Arc<Listener>,
    /// Its protocols.
    pub protocols: Protocols,
    /// TLS, or cleartext.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Handles the requests.
    pub service: &'static S,
}

impl<S> Clone for TcpService<S> {
    fn clone(&self) -> Self {
        Self { listener: Arc::clone(&self.listener), tls: self.tls.clone(), ..*self }
    }
}

/// The pause in accepting when the process has no file descriptor left, instead of spinning.
const ACCEPT_REST: Duration = Duration::from_millis(50);
/// Limits the line that no file descriptor is left: strangers who hold connections could provoke any number of them.
static NO_DESCRIPTOR: Throttle = Throttle::new(Duration::from_secs(10));
/// How many of a client's first bytes show whether it speaks HTTP where TLS is expected.
const METHOD_BYTES_MAX: usize = 16;
/// The start of an HTTP/2 connection (RFC 9113 §3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Accepts connections until `stop` is `true`, and then those that the kernel has completed already.
///
/// # Errors
/// If the socket cannot be registered with the runtime.
pub async fn serve_tcp<S: Service>(
    socket: StdListener,
    tcp: TcpService<S>,
    connections: Arc<Connections>,
    mut stop: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let socket = TcpListener::from_std(socket)?;
    let mut stopping = false;
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop), if !stopping => {
                stopping = true;
                continue;
            }
            accepted = socket.accept() => accepted,
            // Accepts what the kernel has completed, so that a client that connected just before the end is
            // not reset.
            () = std::future::ready(()), if stopping => return Ok(()),
        };
        if connections.is_crowded() {
            // Those that this worker has accepted read the requests that came with them, so that none of them
            // is closed.
            tokio::task::yield_now().await;
        }
        match accepted {
            Ok((stream, address)) => match connections.open(address.ip(), &tcp.listener) {
                Ok(open) => {
                    let settings = connections.settings();
                    tokio::spawn(serve_connection(stream, address, open, tcp.clone(), settings));
                }
                Err(refusal) => {
                    metrics::counter!("gateway_connections_refused_total", "reason" => refusal.name())
                        .increment(1);
                }
            },
            Err(error) => {
                log_accept_error(&error);
                metrics::counter!("gateway_accept_errors_total").increment(1);
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}

/// An exhausted limit is a warning; any other error concerns one connection, which is gone.
fn log_accept_error(error: &std::io::Error) {
    let exhausted = [Errno::MFILE, Errno::NFILE].map(|errno| Some(errno.raw_os_error()));
    if !exhausted.contains(&error.raw_os_error()) {
        debug!(%error, "Accepting a connection failed");
    } else if let Some(suppressed) = NO_DESCRIPTOR.admit(Instant::now()) {
        warn!(
            %error,
            suppressed,
            "No file descriptor is left, so new connections wait; raise the limit (LimitNOFILE, ulimit -n) or lower `limits.connections_max`"
        );
    }
}

/// Each step is boxed and freed before the next one, because a future keeps room for every value it ever
/// holds.
fn serve_connection<S: Service>(
    stream: TcpStream,
    remote: SocketAddr,
    open: Open,
    tcp: TcpService<S>,
    settings: Arc<Settings>,
) -> impl Future<Output = ()> + Send {
    // Responses are written completely, so Nagle's algorithm would only delay them.
    let _ = stream.set_nodelay(true);
    let ends = stream.local_addr().map(|local| SocketPair { local, remote });
    let begun = ends.ok().map(|ends| Box::new((stream, ends)));
    async move {
        let Some(begun) = begun else { return };
        let serving = match &tcp.tls {
            Some(tls) => Box::pin(serve_tls(begun, tls, &open, &tcp, &settings)).await,
            None => Box::pin(serve_cleartext(begun, &open, &tcp, &settings)).await,
        };
        if let Some(serving) = serving {
            serving.await;
        }
    }
}

/// The stream of an accepted connection, and its two addresses.
type Accepted = Box<(TcpStream, SocketPair)>;

async fn serve_tls<'c, S: Service>(
    begun: Accepted,
    tls: &Arc<rustls::ServerConfig>,
    open: &'c Open,
    tcp: &TcpService<S>,
    settings: &Arc<Settings>,
) -> Option<BoxFuture<'c, ()>> {
    let (stream, ends) = *begun;
    let peer = &open.peer;
    let mut first = [0; METHOD_BYTES_MAX];
    // An error is met again in the handshake.
    let peeked = peer.until_closed(stream.peek(&mut first)).await.and_then(Result::ok).unwrap_or(0);
    if is_http(&first[..peeked]) {
        debug!(client.address = %peer.origin, "The client speaks HTTP without TLS");
        metrics::counter!("gateway_handshake_errors_total", "protocol" => "tls").increment(1);
        peer.establish(None, Carrier::Tcp(ends));
        let refusal = tcp.service.refuse(StatusCode::BAD_REQUEST, Version::HTTP_11, peer);
        return Some(Box::pin(linger(stream, http1::text(&refusal))));
    }
    let handshake = Box::pin(TlsAcceptor::from(Arc::clone(tls)).accept(PreferSend(stream)));
    let error = match peer.until_closed(handshake).await {
        Some(Ok(stream)) => {
            peer.enter(Phase::Head);
            let (_, session) = stream.get_ref();
            peer.establish(Encryption::agreed(session), Carrier::Tcp(ends));
            let is_http2 = session.alpn_protocol() == Some(b"h2") && tcp.protocols.http2;
            let is_served = is_http2 || tcp.protocols.http1;
            return is_served.then(|| serve(stream, is_http2, Bytes::new(), open, tcp.service, settings));
        }
        Some(Err(error)) => error,
        None => std::io::ErrorKind::TimedOut.into(),
    };
    debug!(%error, client.address = %peer.origin, "TLS handshake failed");
    metrics::counter!("gateway_handshake_errors_total", "protocol" => "tls").increment(1);
    None
}

/// Whether the first bytes of a connection are those of an HTTP request: a method and a blank. No TLS record begins with a
/// letter. Bytes that come one by one are not waited for; the handshake refuses them.
fn is_http(first: &[u8]) -> bool {
    let method = first.split(|byte| *byte == b' ').next().unwrap_or_default();
    method.len() < first.len() && method.len() >= 3 && method.iter().all(u8::is_ascii_uppercase)
}

async fn serve_cleartext<'c, S: Service>(
    begun: Accepted,
    open: &'c Open,
    tcp: &TcpService<S>,
    settings: &Arc<Settings>,
) -> Option<BoxFuture<'c, ()>> {
    let (mut stream, ends) = *begun;
    let peer = &open.peer;
    peer.enter(Phase::Head);
    peer.establish(None, Carrier::Tcp(ends));
    let Protocols { http1, http2 } = tcp.protocols;
    let (is_http2, first) = match (http1, http2) {
        // The client sent nothing in time, or disconnected.
        (true, true) => peer.until_closed(detect_protocol(&mut stream)).await?.ok()?,
        (_, http2) => (http2, Bytes::new()),
    };
    Some(serve(stream, is_http2, first, open, tcp.service, settings))
}

/// Reads until the bytes are, or can no longer become, HTTP/2's preface, or the client has closed.
///
/// The buffer is on the stack, so that the many silent connections hold no memory for it.
fn detect_protocol(stream: &mut TcpStream) -> impl Future<Output = std::io::Result<(bool, Bytes)>> {
    let mut first = BytesMut::new();
    poll_fn(move |context| {
        loop {
            let mut room = [0; 1024];
            let mut room = ReadBuf::new(&mut room);
            ready!(Pin::new(&mut *stream).poll_read(context, &mut room))?;
            first.extend_from_slice(room.filled());
            let compared = first.len().min(HTTP2_PREFACE.len());
            let may_be = first[..compared] == HTTP2_PREFACE[..compared] && !room.filled().is_empty();
            if !may_be || compared == HTTP2_PREFACE.len() {
                return Poll::Ready(Ok((may_be, std::mem::take(&mut first).freeze())));
            }
        }
    })
}

/// Serves a connection to its end; `first` was already read from the stream.
fn serve<'c, S: Service, T>(
    stream: T,
    is_http2: bool,
    first: Bytes,
    open: &'c Open,
    service: &'static S,
    settings: &Arc<Settings>,
) -> BoxFuture<'c, ()>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'c,
{
    if is_http2 {
        Box::pin(http2::serve(stream, first, &open.peer, service, settings))
    } else {
        Box::pin(http1::serve(stream, first, &open.peer, service))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_in_cleartext_is_told_from_tls_and_from_anything_else() {
        for first in ["GET / HTTP/1.1\r\n", "OPTIONS * HTTP/1", "PROPFIND ", "PRI * HTTP/2.0\r\n"] {
            assert!(is_http(first.as_bytes()), "{first}");
        }
        for first in [
            "",
            "GET",
            "GETS",
            " GET /",
            "G /",
            "get / HTTP/1.1\r\n",
            "SSH-2.0-OpenSSH ",
            "\x16\x03\x01 ",
            "\0\0\0 ",
        ] {
            assert!(!is_http(first.as_bytes()), "{first}");
        }
    }
}
