//! The transport: sockets, TLS, QUIC, and three HTTP versions, all converted to the same form of request.
//!
//! Whatever the protocol, a request is its head and a [`RequestBody`] with its [`Peer`], and goes to a
//! [`Service`]. Nothing here depends on keys, versions or configuration files, only on [`Settings`]. Every
//! bound on connections, time and bytes that a protocol library leaves open is set here.

mod body;
mod connection;
mod http1;
mod http2;
mod http3;
mod lingering;
mod listener;
mod pem;
mod prefer_send;
mod quic;
mod recycled_future;
mod sockets;
mod tcp;
mod tls;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Response, StatusCode, Version};

pub use body::{BodyError, RequestBody, ResponseBody};
pub use connection::{Close, Connections, Encryption, Peer, Settings, network};
pub use http1::HeadWatch;
pub use http2::serve as serve_http2;
pub use http3::{
    ControlError, Frame, FrameError, FrameGuard, FrameTooLarge, Frames, HeadError, RequestError, read_head,
};
pub use listener::Listener;
pub use quic::{QuicListener, QuicSocket, ResetKey, serve_quic, steer};
pub use sockets::{BindError, bind_tcp, bind_udp};
pub use tcp::{Protocols, TcpService, serve_tcp};
pub use tls::{
    Certificates, ServedCertificate, TlsError, is_valid_for, load_certified_key, quic_config, tcp_config,
    validity_warning,
};

/// The most that is buffered of a head. Larger than any `header_bytes_max`, so that a head over that limit is
/// still read and gets the gateway's error.
const HEAD_BYTES_MAX: usize = 128 * 1024;

/// Handles requests. It is `'static`, so that requests need no reference count.
pub trait Service: Sync + 'static {
    /// The state that the requests of a connection share while it is open.
    type ConnectionState: Default + Send + Sync + 'static;
    /// The body of its responses.
    type Body: ResponseBody;

    /// Handles one request of a connection. It cannot fail: an error is a response too.
    fn serve(
        &'static self,
        head: Parts,
        body: RequestBody,
        peer: Arc<Peer>,
        state: Arc<Self::ConnectionState>,
    ) -> impl Future<Output = Response<Self::Body>> + Send + 'static;

    /// The response to a head that cannot be read or did not arrive in time.
    fn refuse(&'static self, status: StatusCode, version: Version, peer: &Arc<Peer>) -> Response<Bytes>;
}

/// Awaits `future` for at most `limit`; the timer is created only if it is not ready at once.
pub async fn within<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    match std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await {
        Poll::Ready(output) => Some(output),
        Poll::Pending => tokio::time::timeout(limit, future).await.ok(),
    }
}
