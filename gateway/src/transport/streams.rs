//! quinn's unidirectional streams behind h3's transport traits, with a guard on each that is read.
//!
//! Ours rather than h3-quinn's for two reasons: every byte passes the [`FrameGuard`] before h3 buffers it, and
//! h3 is given no request streams: [`super::http3`] reads those.

use std::future::Future as _;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures_util::Stream;
use h3::error::Code;
use h3::quic::{self, ConnectionErrorIncoming, StreamErrorIncoming, StreamId, WriteBuf};
use quinn::VarInt;

use super::FrameGuard;
use super::side_streams::SideStreams;

type Accepting = Pin<Box<dyn Stream<Item = Result<quinn::RecvStream, quinn::ConnectionError>> + Send + Sync>>;

/// One QUIC connection, as h3 wants it.
pub(super) struct Connection {
    connection: quinn::Connection,
    // quinn's accept futures hold a place in a queue that is lost when they are dropped, so they are
    // kept between polls; this is one box per connection, not one per stream.
    unidirectional: Accepting,
    side_streams: SideStreams,
    frame_bytes_max: u64,
}

impl Connection {
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

impl<B: Buf> quic::Connection<B> for Connection {
    type RecvStream = RecvStream;
    type OpenStreams = OpenStreams;

    fn poll_accept_recv(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<RecvStream, ConnectionErrorIncoming>> {
        while let Poll::Ready(stream) = next(&mut self.unidirectional, context)? {
            let guard = FrameGuard::new(self.frame_bytes_max);
            self.side_streams.take(RecvStream::new(stream, guard));
        }
        self.side_streams.poll(context).map_err(|code| {
            // h3 would close with H3_INTERNAL_ERROR; the first code is the one that counts.
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

impl<B: Buf> quic::OpenStreams<B> for Connection {
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

/// Opens the server's own streams: control and QPACK, once per connection.
pub(super) struct OpenStreams(quinn::Connection);

impl<B: Buf> quic::OpenStreams<B> for OpenStreams {
    type BidiStream = NoStream;
    type SendStream = SendStream<B>;

    fn poll_open_bidi(&mut self, _: &mut Context<'_>) -> Poll<Result<NoStream, StreamErrorIncoming>> {
        // RFC 9114 §6.1: a server opens no bidirectional stream, and h3's server never asks for one.
        Poll::Ready(Err(unknown(std::io::Error::other("a server opens no request streams"))))
    }

    fn poll_open_send(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<SendStream<B>, StreamErrorIncoming>> {
        // A client allows at least three such streams from the start (RFC 9114 §6.2), so this is ready
        // at once. One that allows none never gets further, and the sweep ends its connection.
        let opened = ready!(pin!(self.0.open_uni()).poll(context)).map_err(|error| {
            StreamErrorIncoming::ConnectionErrorIncoming { connection_error: connection_error(error) }
        })?;
        Poll::Ready(Ok(SendStream { stream: opened, writing: None }))
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        self.0.close(code_of(code.value()), reason);
    }
}

/// A request stream, of which h3 gets none.
pub(super) enum NoStream {}

impl quic::RecvStream for NoStream {
    type Buf = Bytes;

    fn poll_data(&mut self, _: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        match *self {}
    }

    fn stop_sending(&mut self, _: u64) {
        match *self {}
    }

    fn recv_id(&self) -> StreamId {
        match *self {}
    }
}

impl<B: Buf> quic::SendStream<B> for NoStream {
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        match *self {}
    }

    fn send_data<T: Into<WriteBuf<B>>>(&mut self, _: T) -> Result<(), StreamErrorIncoming> {
        match *self {}
    }

    fn poll_finish(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        match *self {}
    }

    fn reset(&mut self, _: u64) {
        match *self {}
    }

    fn send_id(&self) -> StreamId {
        match *self {}
    }
}

/// A stream that is read.
pub(super) struct RecvStream {
    stream: quinn::RecvStream,
    /// What was read of it already and is to be read again.
    put_back: Option<Bytes>,
    guard: FrameGuard,
    ended: bool,
}

impl RecvStream {
    fn new(stream: quinn::RecvStream, guard: FrameGuard) -> Self {
        Self { stream, put_back: None, guard, ended: false }
    }

    /// Lets bytes be read once more.
    pub(super) fn put_back(&mut self, bytes: Bytes) {
        self.put_back = Some(bytes);
    }
}

impl quic::RecvStream for RecvStream {
    type Buf = Bytes;

    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        if let Some(bytes) = self.put_back.take() {
            return Poll::Ready(Ok(Some(bytes)));
        }
        // The future holds nothing between polls: quinn keeps the waker under the stream's id.
        let chunk = match ready!(pin!(self.stream.read_chunk(usize::MAX, true)).poll(context)) {
            Ok(Some(chunk)) => chunk.bytes,
            Ok(None) => {
                self.ended = true;
                return Poll::Ready(Ok(None));
            }
            Err(error) => {
                self.ended = true;
                return Poll::Ready(Err(read_error(error)));
            }
        };
        self.guard.inspect(&chunk).map_err(unknown)?;
        Poll::Ready(Ok(Some(chunk)))
    }

    fn stop_sending(&mut self, error_code: u64) {
        self.ended = true;
        // An error says that the stream is over already.
        let _ = self.stream.stop(code_of(error_code));
    }

    fn recv_id(&self) -> StreamId {
        stream_id(self.stream.id())
    }
}

impl Drop for RecvStream {
    fn drop(&mut self) {
        if !self.ended {
            let _ = self.stream.stop(code_of(Code::H3_NO_ERROR.value()));
        }
    }
}

/// A stream that is written.
pub(super) struct SendStream<B: Buf> {
    stream: quinn::SendStream,
    writing: Option<WriteBuf<B>>,
}

impl<B: Buf> quic::SendStream<B> for SendStream<B> {
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        if let Some(data) = &mut self.writing {
            while data.has_remaining() {
                let written = ready!(Pin::new(&mut self.stream).poll_write(context, data.chunk()));
                data.advance(written.map_err(write_error)?);
            }
        }
        self.writing = None;
        Poll::Ready(Ok(()))
    }

    fn send_data<T: Into<WriteBuf<B>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        if self.writing.is_some() {
            return Err(StreamErrorIncoming::ConnectionErrorIncoming {
                connection_error: ConnectionErrorIncoming::InternalError(
                    "data was given before the last was written".to_owned(),
                ),
            });
        }
        self.writing = Some(data.into());
        Ok(())
    }

    fn poll_finish(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        Poll::Ready(self.stream.finish().map_err(unknown))
    }

    fn reset(&mut self, reset_code: u64) {
        // An error says that the stream is over already.
        let _ = self.stream.reset(code_of(reset_code));
    }

    fn send_id(&self) -> StreamId {
        stream_id(self.stream.id())
    }
}

fn code_of(code: u64) -> VarInt {
    VarInt::from_u64(code).unwrap_or(VarInt::MAX)
}

fn stream_id(id: quinn::StreamId) -> StreamId {
    VarInt::from(id).into_inner().try_into().expect("both are QUIC stream ids, below 2^62")
}

fn unknown(error: impl std::error::Error + Send + Sync + 'static) -> StreamErrorIncoming {
    StreamErrorIncoming::Unknown(Box::new(error))
}

fn connection_error(error: quinn::ConnectionError) -> ConnectionErrorIncoming {
    match error {
        quinn::ConnectionError::ApplicationClosed(close) => {
            ConnectionErrorIncoming::ApplicationClose { error_code: close.error_code.into() }
        }
        quinn::ConnectionError::TimedOut => ConnectionErrorIncoming::Timeout,
        other => ConnectionErrorIncoming::Undefined(Arc::new(other)),
    }
}

fn read_error(error: quinn::ReadError) -> StreamErrorIncoming {
    match error {
        quinn::ReadError::Reset(code) => {
            StreamErrorIncoming::StreamTerminated { error_code: code.into_inner() }
        }
        quinn::ReadError::ConnectionLost(error) => {
            StreamErrorIncoming::ConnectionErrorIncoming { connection_error: connection_error(error) }
        }
        other => unknown(other),
    }
}

fn write_error(error: quinn::WriteError) -> StreamErrorIncoming {
    match error {
        quinn::WriteError::Stopped(code) => {
            StreamErrorIncoming::StreamTerminated { error_code: code.into_inner() }
        }
        quinn::WriteError::ConnectionLost(error) => {
            StreamErrorIncoming::ConnectionErrorIncoming { connection_error: connection_error(error) }
        }
        other => unknown(other),
    }
}
