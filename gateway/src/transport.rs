//! How it is served: sockets, TLS, QUIC, and three HTTP versions turned into one form of request.
//!
//! A request arrives as `Request<Body>` with its [`Peer`], whatever it came by, and goes to a
//! [`Service`]. Nothing here knows keys, versions or configuration files: what it needs of those is
//! [`Settings`]. Every bound on connections, time and bytes that a protocol library leaves open is
//! set here.

mod body;
mod connection_ids;
mod connections;
mod encryption;
mod frame_guard;
mod head_watch;
mod http2;
mod http3;
mod io;
mod peer;
mod place;
mod quic;
mod quic_tls;
mod round_trip;
mod side_streams;
mod sockets;
mod steering;
mod streams;
mod tcp;
mod tls;
mod whole;

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
pub use connections::{Connections, Settings, network};
pub use encryption::Encryption;
pub use frame_guard::{FrameGuard, FrameTooLarge};
pub use head_watch::HeadWatch;
pub use http3::{Frame, FrameError, Frames, HeadError, RequestError, read_head};
use peer::InFlight;
pub use peer::{Close, Listener, Peer};
pub use quic::{QuicListener, serve_quic};
pub use sockets::{BindError, bind_tcp, bind_udp};
pub use steering::{QuicSocket, steer};
pub use tcp::{Protocols, TcpService, serve_tcp};
pub use tls::{Certificates, TlsError, load_certified_key, quic_config, tcp_config};

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
