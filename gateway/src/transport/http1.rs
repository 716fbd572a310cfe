//! HTTP/1.1 on one connection (RFC 9112), by hyper.

mod head_watch;
mod io;

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Request, Response, StatusCode, Version};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::{Service as HyperService, service_fn};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::connection::{InFlight, Phase};
use super::lingering::linger;
use super::recycled_future::RecycledFuture;
use super::{Close, HEAD_BYTES_MAX, Peer, RequestBody, ResponseBody, Service};
pub use head_watch::HeadWatch;
use io::Io;
pub(super) use io::http1_text as text;

/// The connection is created before the future: an `async fn` keeps room for its arguments until its end, so
/// it would contain the stream twice.
pub(super) fn serve<S: Service, T>(
    stream: T,
    first: Bytes,
    peer: &Arc<Peer>,
    service: &'static S,
) -> impl Future<Output = ()> + Send
where
    T: AsyncRead + AsyncWrite + Unpin + Send,
{
    let io =
        Io::new(stream, Arc::clone(peer), first, |status| service.refuse(status, Version::HTTP_11, peer));
    let mut connection = Builder::new()
        .half_close(true)
        .header_read_timeout(None)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(io), requests(peer, service));
    async move {
        let mut announced = false;
        let mut watch = peer.watch_close();
        // The result of the connection, or none if it was closed from here.
        let ended = poll_fn(|context| {
            match watch.poll(context) {
                Some(Close::Now | Close::Excess) => return Poll::Ready(None),
                Some(Close::Drain | Close::Revoked) if !announced => {
                    announced = true;
                    peer.enter(Phase::Goodbye);
                    Pin::new(&mut connection).graceful_shutdown();
                }
                _ => {}
            }
            // An error is the client's: hyper has responded to it, through `refuse`, if that was possible.
            Pin::new(&mut connection).poll(context).map(|outcome| Some(outcome.is_ok()))
        })
        .await;
        let (stream, head_begun, client_ended) = connection.into_parts().io.into_inner().into_inner();
        let is_late = ended.is_none() && head_begun && peer.phase() == Phase::Head;
        // Once both sides have closed, nothing is in flight any more.
        if is_late || ended.is_some_and(|is_clean| !(is_clean && client_ended)) {
            let late = || text(&service.refuse(StatusCode::REQUEST_TIMEOUT, Version::HTTP_11, peer));
            let last = is_late.then(late);
            // Boxed, because its buffer would otherwise be part of every connection from the start.
            Box::pin(linger(stream, last.unwrap_or_default())).await;
        }
    }
}

/// The hyper service for the requests of one connection.
fn requests<S: Service>(
    peer: &Arc<Peer>,
    service: &'static S,
) -> impl HyperService<
    Request<Incoming>,
    Response = Response<CountedBody<S::Body>>,
    Error = Infallible,
    Future: Send,
> + use<S> {
    let peer = Arc::clone(peer);
    let state = Arc::<S::ConnectionState>::default();
    service_fn(move |request: Request<Incoming>| {
        let in_flight = InFlight::begin(Arc::clone(&peer));
        let (head, body) = request.into_parts();
        let (peer, state) = (Arc::clone(&peer), Arc::clone(&state));
        RecycledFuture::new(|| service.serve(head, RequestBody::Http1(body), peer, state))
            .map(|response| Ok(response.map(|body| CountedBody::new(body, in_flight))))
    })
}

/// A response's body for hyper, which counts the bytes that hyper takes into its buffer.
struct CountedBody<B> {
    body: B,
    _in_flight: InFlight,
}

impl<B: ResponseBody> CountedBody<B> {
    fn new(mut body: B, in_flight: InFlight) -> Self {
        if body.is_end_stream() {
            body.complete();
        }
        Self { body, _in_flight: in_flight }
    }
}

impl<B: ResponseBody> HttpBody for CountedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = loop {
            let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
            // hyper would send trailers to a client that requests them.
            if !frame.as_ref().is_some_and(|frame| frame.as_ref().is_ok_and(Frame::is_trailers)) {
                break frame;
            }
        };
        if let Some(Ok(frame)) = &frame {
            self.body.sent(frame.data_ref().map_or(0, Bytes::len));
        }
        // hyper does not poll again once it has as much as was declared.
        let was_last = self.body.is_end_stream() || self.body.size_hint().exact() == Some(0);
        if frame.is_none() || (was_last && frame.as_ref().is_some_and(Result::is_ok)) {
            self.body.complete();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
