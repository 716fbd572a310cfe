//! The stream that hyper reads and writes for HTTP/1.1.
//!
//! It adds what hyper lacks: a head's first byte starts its timeout, a client that does not read is detected,
//! hyper's bare response to a head that it cannot parse is replaced by the gateway's, and ambiguous heads are
//! detected ([`HeadWatch`]).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::{Response, StatusCode, header};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::head_watch::HeadWatch;
use crate::transport::connection::{Peer, Phase};
use crate::transport::lingering::replay;

/// A connection's stream. `R` creates the response to a head that cannot be parsed.
pub(super) struct Io<S, R> {
    stream: S,
    peer: Arc<Peer>,
    /// Bytes that were read to detect the protocol, which hyper has not read yet.
    first: Bytes,
    refuse: R,
    /// Whether a head has arrived that is not a request yet.
    head_begun: bool,
    watch: HeadWatch,
    /// The response that is written instead of hyper's, and how much of it was written. Few connections have
    /// one.
    instead: Option<Box<Bytes>>,
    /// Whether the client has closed its direction.
    client_ended: bool,
}

impl<S, R: Fn(StatusCode) -> Response<Bytes>> Io<S, R> {
    /// A stream of which only `first` was read.
    pub(super) fn new(stream: S, peer: Arc<Peer>, first: Bytes, refuse: R) -> Self {
        Self {
            stream,
            peer,
            first,
            refuse,
            head_begun: false,
            watch: HeadWatch::new(),
            instead: None,
            client_ended: false,
        }
    }

    /// The stream, whether part of a head was read from it, and whether its end was.
    pub(super) fn into_inner(self) -> (S, bool, bool) {
        (self.stream, self.head_begun, self.client_ended)
    }
}

impl<S: AsyncRead + Unpin, R: Fn(StatusCode) -> Response<Bytes> + Unpin> AsyncRead for Io<S, R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        if !replay(&mut this.first, buffer) {
            let read = Pin::new(&mut this.stream).poll_read(context, buffer);
            if read.is_pending() && this.watch.is_in_head() && this.peer.phase() == Phase::Idle {
                // It arrived with the previous request, and has the same timeout as any head.
                this.head_begun = true;
                this.peer.enter(Phase::Head);
            }
            ready!(read)?;
            this.client_ended = buffer.filled().len() == before;
        }
        if buffer.filled().len() > before {
            let phase = this.peer.phase();
            this.head_begun = matches!(phase, Phase::Head | Phase::Idle);
            if phase == Phase::Idle {
                this.peer.enter(Phase::Head);
            }
            if let Some(clear) = this.watch.inspect(&buffer.filled()[before..]) {
                this.peer.serve_no_more_than(clear);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S, R> AsyncWrite for Io<S, R>
where
    S: AsyncRead + AsyncWrite + Unpin,
    R: Fn(StatusCode) -> Response<Bytes> + Unpin,
{
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.instead.is_none()
            && let Some((start, status)) = bare_refusal(bytes)
        {
            let refusal = http1_text(&(this.refuse)(status));
            this.instead = Some(Box::new([&bytes[..start], &refusal].concat().into()));
        }
        let Some(instead) = &mut this.instead else {
            let written = Pin::new(&mut this.stream).poll_write(context, bytes);
            this.peer.write_waits(written.is_pending());
            return written;
        };
        while instead.has_remaining() {
            let written = Pin::new(&mut this.stream).poll_write(context, instead);
            this.peer.write_waits(written.is_pending());
            instead.advance(ready!(written)?);
        }
        // The response is the connection's last: hyper writes nothing after it.
        this.instead = None;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.peer.write_waits(flushed.is_pending());
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Finds hyper's response to a malformed head in its output: where it starts, and its status.
///
/// It is the last output of a connection, a head with `content-length: 0` and nothing after it. The gateway's
/// responses cannot be mistaken for it: every one with such a status has a body or a request id.
fn bare_refusal(bytes: &[u8]) -> Option<(usize, StatusCode)> {
    const START: &[u8] = b"HTTP/1.1 4";
    if !bytes.ends_with(b"\r\n\r\n") {
        return None;
    }
    let start = bytes.windows(START.len()).rposition(|window| window == START)?;
    let head = &bytes[start..];
    let has = |text: &[u8]| head.windows(text.len()).any(|window| window == text);
    if !has(b"content-length: 0\r\n") || has(b"x-request-id") {
        return None;
    }
    let status = StatusCode::from_bytes(head.get(9..12)?).ok()?;
    Some((start, status))
}

/// Writes a response in HTTP/1.1 that closes the connection.
pub(in crate::transport) fn http1_text(response: &Response<Bytes>) -> Bytes {
    let status = response.status();
    let reason = status.canonical_reason().unwrap_or_default();
    let mut text = format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).into_bytes();
    // The field of the connection is written below.
    for (name, value) in response.headers().iter().filter(|(name, _)| **name != header::CONNECTION) {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    let length = response.body().len();
    text.extend_from_slice(format!("content-length: {length}\r\nconnection: close\r\n\r\n").as_bytes());
    text.extend_from_slice(response.body());
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hypers_response_at_the_end_is_detected() {
        let bare = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\ndate: x\r\n\r\n";
        assert_eq!(bare_refusal(bare), Some((0, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)));
        let good = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        let both = [good.as_slice(), bare].concat();
        assert_eq!(bare_refusal(&both).map(|(start, _)| start), Some(good.len()));
        for other in [
            good.as_slice(),
            b"HTTP/1.1 204 No Content\r\n\r\n",
            b"HTTP/1.1 404 Not Found\r\nx-request-id: 1\r\ncontent-length: 0\r\n\r\n",
            b"HTTP/1.1 404 Not Found\r\ncontent-length: 40\r\n\r\n",
            b"",
        ] {
            assert_eq!(bare_refusal(other), None);
        }
    }

    #[test]
    fn a_response_is_written_as_http1() {
        let mut response = Response::new(Bytes::from_static(b"{}"));
        *response.status_mut() = StatusCode::BAD_REQUEST;
        response.headers_mut().insert("x-a", http::HeaderValue::from_static("1"));
        response.headers_mut().insert(header::CONNECTION, http::HeaderValue::from_static("close"));
        let expected =
            "HTTP/1.1 400 Bad Request\r\nx-a: 1\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
        assert_eq!(http1_text(&response), expected);
    }
}
