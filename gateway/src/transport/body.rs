//! The bodies of requests and responses, independent of the protocol.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;

use super::http3::{Http3Body, RequestError};

/// The body of a request.
pub enum RequestBody {
    /// No bytes.
    Empty,
    /// All bytes at once; `None` once they are taken.
    Full(Option<Bytes>),
    /// A body over HTTP/1.
    Http1(Incoming),
    /// A body over HTTP/2.
    Http2(h2::RecvStream),
    /// A body over HTTP/3; boxed, because it is large and requests of all protocols are moved.
    Http3(Box<Http3Body>),
}

impl From<Bytes> for RequestBody {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() { Self::Empty } else { Self::Full(Some(bytes)) }
    }
}

/// The body of a response. The transport reports its progress.
pub trait ResponseBody:
    http_body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send>
    + Send
    + Unpin
    + 'static
{
    /// Counts bytes that were handed to the connection, within the client's window.
    fn sent(&mut self, bytes: usize);

    /// Marks it as completely sent. A body that is dropped without this is incomplete.
    fn complete(&mut self);
}

/// A complete body, of a response that is not recorded.
impl ResponseBody for http_body_util::Full<Bytes> {
    fn sent(&mut self, _: usize) {}

    fn complete(&mut self) {}
}

/// The client disconnected, or its content violates the protocol.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// Over HTTP/1.
    #[error("the body is incomplete")]
    Http1(#[source] hyper::Error),
    /// Over HTTP/2.
    #[error("the body is incomplete")]
    Http2(#[source] h2::Error),
    /// Over HTTP/3.
    #[error("the body is incomplete")]
    Http3(#[source] RequestError),
}

impl BodyError {
    /// Whether the content violates the protocol and a response may still reach the client. Otherwise it has
    /// disconnected.
    #[must_use]
    pub fn is_malformed(&self) -> bool {
        // hyper reports a malformed chunk as invalid input, and everything else that ends a body early
        // as an end of file or a reset.
        let error = match self {
            Self::Http1(error) => error,
            // The stream is closed with it, so no response can be sent.
            Self::Http2(_) => return false,
            Self::Http3(error) => return error.is_malformed(),
        };
        let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<io::Error>());
        cause.is_some_and(|cause| {
            matches!(cause.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData)
        })
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Ready(match &mut *self {
            Self::Empty => None,
            Self::Full(bytes) => bytes.take().map(|bytes| Ok(Frame::data(bytes))),
            Self::Http1(body) => ready!(http_body::Body::poll_frame(Pin::new(body), context))
                .map(|frame| frame.map_err(BodyError::Http1)),
            Self::Http2(body) => {
                let data = ready!(pin!(body.data()).poll(context));
                if let Some(Ok(data)) = &data {
                    // Lets the client send as much again. An error means that the stream is closed.
                    let _ = body.flow_control().release_capacity(data.len());
                }
                data.map(|data| data.map(Frame::data).map_err(BodyError::Http2))
            }
            Self::Http3(body) => ready!(body.poll_content(context))
                .map(|content| content.map(Frame::data))
                .map_err(BodyError::Http3)
                .transpose(),
        })
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty | Self::Full(None) => true,
            Self::Full(Some(_)) | Self::Http3(_) => false,
            Self::Http1(body) => http_body::Body::is_end_stream(body),
            Self::Http2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty | Self::Full(None) => SizeHint::with_exact(0),
            Self::Full(Some(bytes)) => SizeHint::with_exact(bytes.len() as u64),
            Self::Http1(body) => http_body::Body::size_hint(body),
            Self::Http2(_) | Self::Http3(_) => SizeHint::default(),
        }
    }
}
