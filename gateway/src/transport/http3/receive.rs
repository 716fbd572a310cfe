//! The receiving half of a request stream: its frames, its head, and its content as a body.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Request;

use super::codes;
use super::frames::{Frame, FrameError, Frames};
use super::head::{self, HeadError};
use super::link::{FRAME_BYTES_MAX, Link};

/// Why a request cannot be read further.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The client cancelled it, or the connection is closed.
    #[error(transparent)]
    Gone(#[from] quinn::ReadError),
    /// Its frames violate the protocol.
    #[error(transparent)]
    Frames(#[from] FrameError),
    /// Its head or its trailers are malformed.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// It ended before its head.
    #[error("a request stream ended before the head")]
    Incomplete,
}

impl RequestError {
    /// Whether it is malformed and a response may still be sent. Otherwise the client has disconnected, or
    /// the connection is closed.
    pub(in crate::transport) const fn is_malformed(&self) -> bool {
        matches!(
            self,
            Self::Frames(FrameError::TooLarge(_)) | Self::Head(HeadError::TooLarge | HeadError::Malformed)
        )
    }

    /// The code to close the connection with.
    const fn connection_code(&self) -> Option<quinn::VarInt> {
        match self {
            Self::Frames(FrameError::Unexpected(_)) => Some(codes::FRAME_UNEXPECTED),
            Self::Frames(FrameError::Truncated) => Some(codes::FRAME_ERROR),
            Self::Head(HeadError::Undecodable) => Some(codes::QPACK_DECOMPRESSION_FAILED),
            _ => None,
        }
    }
}

/// The receiving half of a request stream.
pub(super) struct Receiver {
    stream: quinn::RecvStream,
    link: Arc<Link>,
    frames: Frames,
    /// Bytes that arrived after those that the parser has.
    behind: Bytes,
    /// Whether everything was read, or nothing more can or need be.
    has_ended: bool,
    /// What was read after the head, for the reader of the content.
    failure: Option<quinn::ReadError>,
}

impl Receiver {
    pub(super) fn new(stream: quinn::RecvStream, link: Arc<Link>) -> Self {
        let frames = Frames::new(FRAME_BYTES_MAX as u64);
        Self { stream, link, frames, behind: Bytes::new(), has_ended: false, failure: None }
    }

    /// Reads the head of the request; [`Self::has_ended`] then tells whether there is anything after it.
    ///
    /// # Errors
    /// [`RequestError`]; for an error of the connection, the connection is closed already.
    pub(super) async fn head(&mut self) -> Result<Request<()>, RequestError> {
        let read = async {
            let Some(Frame::Headers(section)) = poll_fn(|context| self.poll_frame(context)).await? else {
                return Err(RequestError::Incomplete);
            };
            let request = head::read_head(&section, FRAME_BYTES_MAX)?;
            // Usually this is the end, and no content needs to be read.
            let more = poll_fn(|context| Poll::Ready(self.poll_more(context))).await;
            if let Poll::Ready(Err(failure)) = more {
                self.failure = Some(failure);
            }
            Ok(request)
        };
        read.await.inspect_err(|error| self.fail(error))
    }

    /// Whether there is nothing after the head.
    pub(super) const fn has_ended(&self) -> bool {
        self.has_ended && self.failure.is_none()
    }

    /// The next content; `None` at the end.
    fn poll_content(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, RequestError>> {
        let content = loop {
            match ready!(self.poll_frame(context)) {
                Ok(Some(Frame::Data(content))) => break Ok(Some(content)),
                Ok(Some(Frame::Headers(trailers))) => {
                    if let Err(error) = head::check_trailers(&trailers, FRAME_BYTES_MAX) {
                        break Err(error.into());
                    }
                }
                Ok(None) => break Ok(None),
                Err(error) => break Err(error),
            }
        };
        Poll::Ready(content.inspect_err(|error| self.fail(error)))
    }

    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Frame>, RequestError>> {
        loop {
            if let Some(frame) = self.frames.read()? {
                return Poll::Ready(Ok(Some(frame)));
            }
            if let Some(failure) = self.failure.take() {
                return Poll::Ready(Err(failure.into()));
            }
            if self.has_ended {
                self.frames.end()?;
                return Poll::Ready(Ok(None));
            }
            ready!(self.poll_more(context))?;
        }
    }

    /// Passes arrived bytes to the parser, if it has consumed all earlier ones, or detects the end.
    fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<Result<(), quinn::ReadError>> {
        if !self.frames.is_out_of_bytes() {
            return Poll::Ready(Ok(()));
        }
        if !self.behind.is_empty() {
            self.frames.push(std::mem::take(&mut self.behind));
            return Poll::Ready(Ok(()));
        }
        // Two, so that the end is detected with the last bytes: quinn then locks the connection only once.
        let mut chunks = [Bytes::new(), Bytes::new()];
        // The future holds nothing between polls: quinn keeps the waker under the stream's id.
        let read = ready!(pin!(self.stream.read_chunks(&mut chunks)).poll(context));
        match read {
            Ok(Some(_)) => {
                let [first, second] = chunks;
                self.frames.push(first);
                self.behind = second;
            }
            Ok(None) => self.has_ended = true,
            Err(error) => {
                self.has_ended = true;
                return Poll::Ready(Err(error));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Stops reading, so that the client need not send the rest.
    pub(super) fn stop(&mut self, code: quinn::VarInt) {
        self.has_ended = true;
        // An error means that the stream is closed already.
        let _ = self.stream.stop(code);
    }

    fn fail(&self, error: &RequestError) {
        if let Some(code) = error.connection_code() {
            self.link.connection.close(code, error.to_string().as_bytes());
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // Strict clients (curl, ngtcp2) discard a response when quinn stops a stream with its default code 0.
        if !self.has_ended {
            self.stop(codes::NO_ERROR);
        }
    }
}

/// The content of a request.
pub struct Http3Body(Receiver);

impl Http3Body {
    /// The rest of a stream whose head was read.
    pub(super) const fn new(receiver: Receiver) -> Self {
        Self(receiver)
    }

    /// The next content; `None` at the end.
    pub(in crate::transport) fn poll_content(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, RequestError>> {
        self.0.poll_content(context)
    }
}
