//! quinn's unidirectional streams behind h3's transport traits, with a guard on each that is read.

use std::future::Future as _;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h3::error::Code;
use h3::quic::{self, ConnectionErrorIncoming, StreamErrorIncoming, StreamId, WriteBuf};
use quinn::VarInt;

use super::frame_guard::FrameGuard;

/// A receiving stream.
pub(super) struct RecvStream {
    stream: quinn::RecvStream,
    connection: quinn::Connection,
    /// Bytes that were read already and are read again.
    put_back: Option<Bytes>,
    guard: FrameGuard,
    ended: bool,
}

impl RecvStream {
    /// A stream of `connection`, which is closed at the first violation that `guard` reports.
    pub(super) const fn new(
        stream: quinn::RecvStream,
        connection: quinn::Connection,
        guard: FrameGuard,
    ) -> Self {
        Self { stream, connection, put_back: None, guard, ended: false }
    }

    /// Puts bytes back, to be read again.
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
        if let Err(error) = self.guard.inspect(&chunk) {
            // h3 would close with another code; the first one is sent.
            self.connection.close(error.code(), error.to_string().as_bytes());
            return Poll::Ready(Err(unknown(error)));
        }
        Poll::Ready(Ok(Some(chunk)))
    }

    fn stop_sending(&mut self, error_code: u64) {
        self.ended = true;
        // An error means that the stream is closed already.
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

/// A sending stream.
pub(super) struct SendStream<B: Buf> {
    stream: quinn::SendStream,
    writing: Option<WriteBuf<B>>,
}

impl<B: Buf> SendStream<B> {
    pub(super) const fn new(stream: quinn::SendStream) -> Self {
        Self { stream, writing: None }
    }
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
        // An error means that the stream is closed already.
        let _ = self.stream.reset(code_of(reset_code));
    }

    fn send_id(&self) -> StreamId {
        stream_id(self.stream.id())
    }
}

/// A request stream for h3, which gets none.
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

pub(super) fn code_of(code: u64) -> VarInt {
    VarInt::from_u64(code).unwrap_or(VarInt::MAX)
}

fn stream_id(id: quinn::StreamId) -> StreamId {
    VarInt::from(id).into_inner().try_into().expect("both are QUIC stream ids, below 2^62")
}

pub(super) fn unknown(error: impl std::error::Error + Send + Sync + 'static) -> StreamErrorIncoming {
    StreamErrorIncoming::Unknown(Box::new(error))
}

pub(super) fn connection_error(error: quinn::ConnectionError) -> ConnectionErrorIncoming {
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
