//! The reference: how `h3`'s server decodes a field section, over a connection in memory.

use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use futures_util::FutureExt as _;
use h3::error::{Code, StreamError};
use h3::quic::{self, ConnectionErrorIncoming, StreamErrorIncoming, StreamId, WriteBuf};
use http::{Request, header};
use proptest::prelude::*;

use super::{HeadError, read_head};

/// A connection with one request: HEADERS, and the end.
struct Memory(Option<Bytes>);

/// Its only request stream, and every stream of the server.
struct Stream(Option<Bytes>);

impl<B: Buf> quic::OpenStreams<B> for Memory {
    type BidiStream = Stream;
    type SendStream = Stream;

    fn poll_open_bidi(&mut self, _: &mut Context<'_>) -> Poll<Result<Stream, StreamErrorIncoming>> {
        Poll::Pending
    }

    fn poll_open_send(&mut self, _: &mut Context<'_>) -> Poll<Result<Stream, StreamErrorIncoming>> {
        Poll::Ready(Ok(Stream(None)))
    }

    fn close(&mut self, _: Code, _: &[u8]) {}
}

impl<B: Buf> quic::Connection<B> for Memory {
    type RecvStream = Stream;
    type OpenStreams = Self;

    fn poll_accept_recv(&mut self, _: &mut Context<'_>) -> Poll<Result<Stream, ConnectionErrorIncoming>> {
        Poll::Pending
    }

    fn poll_accept_bidi(&mut self, _: &mut Context<'_>) -> Poll<Result<Stream, ConnectionErrorIncoming>> {
        self.0.take().map_or(Poll::Pending, |request| Poll::Ready(Ok(Stream(Some(request)))))
    }

    fn opener(&self) -> Self {
        Self(None)
    }
}

impl quic::RecvStream for Stream {
    type Buf = Bytes;

    fn poll_data(&mut self, _: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        Poll::Ready(Ok(self.0.take()))
    }

    fn stop_sending(&mut self, _: u64) {}

    fn recv_id(&self) -> StreamId {
        StreamId::try_from(0).unwrap()
    }
}

impl<B: Buf> quic::SendStream<B> for Stream {
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        Poll::Ready(Ok(()))
    }

    fn send_data<T: Into<WriteBuf<B>>>(&mut self, _: T) -> Result<(), StreamErrorIncoming> {
        Ok(())
    }

    fn poll_finish(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        Poll::Ready(Ok(()))
    }

    fn reset(&mut self, _: u64) {}

    fn send_id(&self) -> StreamId {
        StreamId::try_from(0).unwrap()
    }
}

/// The request that `h3` decodes, or its error.
pub(super) fn read(section: &Bytes, bytes_max: usize) -> Result<Request<()>, StreamError> {
    let length = u32::try_from(section.len()).unwrap() | 0x8000_0000;
    let frame = [&[1], &length.to_be_bytes()[..], section].concat();
    let read = async {
        let mut server = h3::server::builder();
        server.max_field_section_size(bytes_max as u64).send_grease(false);
        let mut server = server.build::<_, Bytes>(Memory(Some(frame.into()))).await.unwrap();
        let request = server.accept().await.unwrap().unwrap();
        request.resolve_request().await.map(|(request, _)| request)
    };
    read.now_or_never().expect("all that comes is there")
}

/// Compares the codec with `h3`: it must accept no more, and decode everything the same way.
pub(super) fn compare(section: &Bytes, bytes_max: usize) -> Result<(), TestCaseError> {
    match (read_head(section, bytes_max), read(section, bytes_max)) {
        // Two different hosts get a 400 from `check_head`, not a reset.
        (Ok(ours), Err(error)) if names_two_hosts(&ours) => {
            prop_assert!(error.to_string().contains("contradiction"), "{:x?}: {}", section, error);
        }
        (Ok(ours), theirs) => {
            prop_assert!(theirs.is_ok(), "{:x?}: {:?}, and {:?}", section, ours, theirs);
            let theirs = theirs.unwrap();
            prop_assert_eq!(ours.method(), theirs.method());
            prop_assert_eq!(ours.uri(), theirs.uri());
            prop_assert_eq!(ours.headers(), theirs.headers());
        }
        // `h3` is lenient about pseudo-headers, and about padding.
        (Err(HeadError::Malformed | HeadError::Undecodable), Ok(_)) => {}
        (Err(HeadError::TooLarge), theirs) => {
            // The part that it cannot decode may come after the size limit.
            let is_refused =
                matches!(theirs, Err(StreamError::HeaderTooBig { .. } | StreamError::ConnectionError(_)));
            prop_assert!(is_refused, "{:?}", theirs);
        }
        (Err(HeadError::TargetTooLong), Ok(theirs)) => prop_assert!(false, "{:?}", theirs.uri()),
        (Err(_), Err(_)) => {}
    }
    Ok(())
}

fn names_two_hosts(request: &Request<()>) -> bool {
    let host = request.headers().get(header::HOST);
    host.is_some_and(|host| request.uri().authority().is_none_or(|authority| *host != authority.as_str()))
}
