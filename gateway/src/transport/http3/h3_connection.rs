//! A QUIC connection behind h3's transport traits.
//!
//! It replaces h3-quinn for two reasons: every byte passes the [`FrameGuard`] before h3 buffers it, and h3
//! gets no request streams, which [`super`] reads.

use std::future::Future as _;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::Buf;
use futures_util::Stream;
use h3::error::Code;
use h3::quic::{self, ConnectionErrorIncoming, StreamErrorIncoming};

use super::frame_guard::FrameGuard;
use super::h3_streams::{NoStream, RecvStream, SendStream, code_of, connection_error, unknown};
use super::side_streams::SideStreams;

type Accepting = Pin<Box<dyn Stream<Item = Result<quinn::RecvStream, quinn::ConnectionError>> + Send + Sync>>;

/// A QUIC connection for h3.
pub(super) struct H3Connection {
    connection: quinn::Connection,
    // quinn's accept futures lose their place in a queue when they are dropped, so they are kept between
    // polls; this is one box per connection, not one per stream.
    unidirectional: Accepting,
    side_streams: SideStreams,
    frame_bytes_max: u64,
}

impl H3Connection {
    /// Frames other than DATA may have at most `frame_bytes_max` bytes.
    pub(super) fn new(connection: quinn::Connection, frame_bytes_max: u64) -> Self {
        let unidirectional = futures_util::stream::unfold(connection.clone(), |connection| async move {
            Some((connection.accept_uni().await, connection))
        });
        Self {
            connection,
            unidirectional: Box::pin(unidirectional),
            side_streams: SideStreams::default(),
            frame_bytes_max,
        }
    }
}

fn next(
    accepting: &mut Accepting,
    context: &mut Context<'_>,
) -> Poll<Result<quinn::RecvStream, ConnectionErrorIncoming>> {
    Poll::Ready(match ready!(accepting.as_mut().poll_next(context)) {
        Some(accepted) => accepted.map_err(connection_error),
        None => Err(ConnectionErrorIncoming::InternalError("the stream of streams ended".to_owned())),
    })
}

impl<B: Buf> quic::Connection<B> for H3Connection {
    type RecvStream = RecvStream;
    type OpenStreams = OpenStreams;

    fn poll_accept_recv(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<RecvStream, ConnectionErrorIncoming>> {
        while let Poll::Ready(stream) = next(&mut self.unidirectional, context)? {
            let guard = FrameGuard::new(self.frame_bytes_max);
            self.side_streams.take(RecvStream::new(stream, self.connection.clone(), guard));
        }
        self.side_streams.poll(context).map_err(|code| {
            // h3 would close with H3_INTERNAL_ERROR; the first code is the one that is sent.
            self.connection.close(code_of(code.value()), b"");
            ConnectionErrorIncoming::InternalError("a unidirectional stream broke the protocol".to_owned())
        })
    }

    fn poll_accept_bidi(&mut self, _: &mut Context<'_>) -> Poll<Result<NoStream, ConnectionErrorIncoming>> {
        Poll::Pending
    }

    fn opener(&self) -> OpenStreams {
        OpenStreams(self.connection.clone())
    }
}

impl<B: Buf> quic::OpenStreams<B> for H3Connection {
    type BidiStream = NoStream;
    type SendStream = SendStream<B>;

    fn poll_open_bidi(&mut self, context: &mut Context<'_>) -> Poll<Result<NoStream, StreamErrorIncoming>> {
        quic::OpenStreams::<B>::poll_open_bidi(&mut OpenStreams(self.connection.clone()), context)
    }

    fn poll_open_send(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<SendStream<B>, StreamErrorIncoming>> {
        OpenStreams(self.connection.clone()).poll_open_send(context)
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        self.connection.close(code_of(code.value()), reason);
    }
}

/// Opens the server's streams: control and QPACK, once per connection.
pub(super) struct OpenStreams(quinn::Connection);

impl<B: Buf> quic::OpenStreams<B> for OpenStreams {
    type BidiStream = NoStream;
    type SendStream = SendStream<B>;

    fn poll_open_bidi(&mut self, _: &mut Context<'_>) -> Poll<Result<NoStream, StreamErrorIncoming>> {
        // RFC 9114 §6.1: a server opens no bidirectional stream, and h3's server never opens one.
        Poll::Ready(Err(unknown(std::io::Error::other("a server opens no request streams"))))
    }

    fn poll_open_send(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<SendStream<B>, StreamErrorIncoming>> {
        // A client allows at least three such streams from the start (RFC 9114 §6.2), so this is ready at
        // once. If a client allows none, this stays pending, and the sweep closes its connection.
        let opened = ready!(pin!(self.0.open_uni()).poll(context)).map_err(|error| {
            StreamErrorIncoming::ConnectionErrorIncoming { connection_error: connection_error(error) }
        })?;
        Poll::Ready(Ok(SendStream::new(opened)))
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        self.0.close(code_of(code.value()), reason);
    }
}
