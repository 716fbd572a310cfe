//! How it is served: sockets, TLS, QUIC, and three HTTP versions turned into one form of request.
//!
//! A request arrives as its head and a [`RequestBody`] with its [`Peer`], whatever it came by, and goes to a
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

/// The most that is buffered of a head. Larger than any `header_bytes_max`, so that a head over that
/// limit is still read and answered in our form.
const HEAD_BYTES_MAX: usize = 128 * 1024;

/// What answers requests. It lives as long as the process, so that no request counts references to it.
pub trait Service: Sync + 'static {
    /// What the requests of a connection share, for as long as it is open.
    type ConnectionState: Default + Send + Sync + 'static;
    /// The body of its responses.
    type Body: ResponseBody;

    /// Answers one request of a connection. It cannot fail: an error is a response too.
    fn serve(
        &'static self,
        head: Parts,
        body: RequestBody,
        peer: Arc<Peer>,
        state: Arc<Self::ConnectionState>,
    ) -> impl Future<Output = Response<Self::Body>> + Send + 'static;

    /// The response to something that never became a request: a head that could not be read, or one
    /// that did not come in time.
    fn refuse(&'static self, status: StatusCode, version: Version, peer: &Arc<Peer>) -> Response<Bytes>;
}

/// Awaits `future` for at most `limit`; the timer is made only if it is not ready at once.
pub async fn within<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    match std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await {
        Poll::Ready(output) => Some(output),
        Poll::Pending => tokio::time::timeout(limit, future).await.ok(),
    }
}
