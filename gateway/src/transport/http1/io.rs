//! The bytes of an HTTP/1.1 connection on their way to and from hyper.
//!
//! What hyper leaves open is done here: a head's first byte begins its time limit, a client that takes
//! nothing is noticed, hyper's own answer to a head that it cannot parse, a bare status line, becomes an
//! answer in our form, and what hyper mends without a word in a head is seen ([`HeadWatch`]).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::{Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::head_watch::HeadWatch;
use crate::transport::connection::{Peer, Phase};
use crate::transport::lingering::replay;

/// A connection's bytes. `R` makes the answer to a head that could not be parsed.
pub(super) struct Io<S, R> {
    stream: S,
    peer: Arc<Peer>,
    /// What was read while the protocol was told apart, not yet handed on.
    first: Bytes,
    refuse: R,
    /// Whether bytes of a head have come that no request was made of yet.
    head_begun: bool,
    watch: HeadWatch,
    /// What is written instead of hyper's bare refusal, and how far that is. Few connections ever have it.
    instead: Option<Box<Bytes>>,
    /// Whether the client has ended its direction.
    client_ended: bool,
}

impl<S, R: Fn(StatusCode) -> Response<Bytes>> Io<S, R> {
    /// Nothing was read yet but `first`.
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
                // It came behind the request before, and its time runs like that of any head.
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
        // The refusal is the connection's last word: hyper writes nothing behind it.
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

/// Where hyper's own answer to a malformed head begins in what it writes, and the answer's status.
///
/// It is the last thing on a connection, a head with `content-length: 0` and nothing behind it. Answers
/// of ours are never mistaken for it: every one with such a status has a body or a request id.
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

/// An answer as the text of HTTP/1.1, closing the connection.
pub(in crate::transport) fn http1_text(response: &Response<Bytes>) -> Bytes {
    let status = response.status();
    let reason = status.canonical_reason().unwrap_or_default();
    let mut text = format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).into_bytes();
    for (name, value) in response.headers() {
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
    fn only_a_bare_refusal_at_the_end_is_taken_for_one() {
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
    fn an_answer_is_written_as_http1() {
        let mut response = Response::new(Bytes::from_static(b"{}"));
        *response.status_mut() = StatusCode::BAD_REQUEST;
        response.headers_mut().insert("x-a", http::HeaderValue::from_static("1"));
        let expected =
            "HTTP/1.1 400 Bad Request\r\nx-a: 1\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
        assert_eq!(http1_text(&response), expected);
    }
}
