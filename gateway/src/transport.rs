//! How it is served: sockets, TLS, QUIC, and three HTTP versions turned into one form of request.
//!
//! A request arrives as `Request<Body>` with its [`Peer`], whatever it came by, and goes to a
//! [`Service`]. Nothing here knows keys, versions or configuration files: what it needs of those is
//! [`Settings`]. Every bound on connections, time and bytes that a protocol library leaves open is
//! set here.

mod body;
mod connection;
mod http1;
mod http2;
mod http3;
mod lingering;
mod listener;
mod prefer_send;
mod quic;
mod recycled_future;
mod sockets;
mod tcp;
mod tls;

use std::convert::Infallible;
use std::future::{Future, Ready};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, Either};
use http::request::Parts;
use http::{Response, StatusCode, Version};

pub use body::{Body, BodyError};
use connection::InFlight;
pub use connection::{Close, Connections, Encryption, Peer, Settings, network};
pub use http1::HeadWatch;
pub use http3::{Frame, FrameError, FrameGuard, FrameTooLarge, Frames, HeadError, RequestError, read_head};
pub use listener::Listener;
pub use quic::{QuicListener, QuicSocket, serve_quic, steer};
pub use sockets::{BindError, bind_tcp, bind_udp};
pub use tcp::{Protocols, TcpService, serve_tcp};
pub use tls::{Certificates, TlsError, load_certified_key, quic_config, tcp_config};

/// The most that is buffered of a head. Larger than any `header_bytes_max`, so that a head over that
/// limit is still read and answered in our form.
const HEAD_BYTES_MAX: usize = 128 * 1024;

/// What answers requests. It lives as long as the process, so that no request counts references to it.
pub trait Service: Sync + 'static {
    /// What it notes of a connection, for as long as that is open.
    type Notes: Default + Send + 'static;

    /// Answers one request of a connection. It cannot fail: an error is an answer too.
    fn serve(&'static self, head: Parts, body: Body, peer: &Arc<Peer>, notes: &mut Self::Notes) -> Served;

    /// The answer to something that never became a request: a head that could not be read, or one
    /// that did not come in time.
    fn refuse(&'static self, status: StatusCode, version: Version, peer: &Arc<Peer>) -> Response<Bytes>;
}

/// An answer: known already, as most are, or once the future has waited.
pub type Served = Either<Ready<Response<Body>>, BoxFuture<'static, Response<Body>>>;

/// A request that is being answered, and counts as in flight until it is. In hyper's form of a result.
struct Serving {
    served: Served,
    /// Where it waits: one that was answered at once is over.
    _in_flight: Option<InFlight<Arc<Peer>>>,
}

impl Serving {
    fn begin<S: Service>(
        service: &'static S,
        head: Parts,
        body: Body,
        peer: &Arc<Peer>,
        notes: &mut S::Notes,
    ) -> Self {
        let in_flight = InFlight::begin(&**peer);
        let served = service.serve(head, body, peer, notes);
        let waits = matches!(served, Either::Right(_));
        Self { served, _in_flight: waits.then(|| in_flight.kept(Arc::clone(peer))) }
    }
}

impl Future for Serving {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.served).poll(context).map(Ok)
    }
}

/// Awaits `future` for at most `limit`; the timer is made only if it is not ready at once.
pub async fn within<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    match std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await {
        Poll::Ready(output) => Some(output),
        Poll::Pending => tokio::time::timeout(limit, future).await.ok(),
    }
}
