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

use std::future::{Future, Ready};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
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

/// Has one request answered, which counts as in flight until then.
fn serve<S: Service>(
    service: &'static S,
    head: Parts,
    body: Body,
    peer: &Arc<Peer>,
    notes: &mut S::Notes,
) -> Served {
    let in_flight = InFlight::begin(&**peer);
    match service.serve(head, body, peer, notes) {
        Either::Right(waiting) => {
            let in_flight = in_flight.kept(Arc::clone(peer));
            Either::Right(waiting.inspect(move |_| drop(in_flight)).boxed())
        }
        known => known,
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
