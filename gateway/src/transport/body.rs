//! The one form of a body, whatever protocol carries it: of a request, and of a response.

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
    /// All bytes at once; `None` when they are taken.
    Full(Option<Bytes>),
    /// What comes over HTTP/1.
    Http1(Incoming),
    /// What comes over HTTP/2.
    Http2(h2::RecvStream),
    /// What comes over HTTP/3; boxed, because it is large and the requests of all protocols are moved.
    Http3(Box<Http3Body>),
}

impl From<Bytes> for RequestBody {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() { Self::Empty } else { Self::Full(Some(bytes)) }
    }
}

/// The body of a response. The transport reports what became of it.
pub trait ResponseBody:
    http_body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send>
    + Send
    + Unpin
    + 'static
{
    /// So many more bytes were handed to the connection, within the client's window.
    fn sent(&mut self, bytes: usize);

    /// All of it was. A body that is dropped without this was broken off.
    fn complete(&mut self);
}

/// A complete body, of a response that nobody keeps a record of.
impl ResponseBody for http_body_util::Full<Bytes> {
    fn sent(&mut self, _: usize) {}

    fn complete(&mut self) {}
}

/// The client went away, or what it sent breaks the protocol.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// Over HTTP/1.
    #[error("the body broke off")]
    Http1(#[source] hyper::Error),
    /// Over HTTP/2.
    #[error("the body broke off")]
    Http2(#[source] h2::Error),
    /// Over HTTP/3.
    #[error("the body broke off")]
    Http3(#[source] RequestError),
}

impl BodyError {
    /// Whether what was sent breaks the protocol, and its sender may still be told. Otherwise the client has
    /// gone away.
    #[must_use]
    pub fn is_malformed(&self) -> bool {
        // hyper reports a malformed chunk as invalid input, and everything else that ends a body early
        // as an end of file or a reset.
        let error = match self {
            Self::Http1(error) => error,
            // The stream is over with it: there is nobody left to be told.
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
                    // As much more may come now. An error says that the stream is over.
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
