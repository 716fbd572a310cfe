//! The client's unidirectional streams (RFC 9114 §6.2).
//!
//! h3 0.0.8 reads the control stream but not those of QPACK, so these are watched here: neither may end, and
//! without a dynamic table hardly any instruction is allowed on them (RFC 9204 §4.2). Only servers may open
//! push streams.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use h3::error::Code;
use h3::quic::{RecvStream as _, StreamErrorIncoming};

use super::frame_guard::Varint;
use super::h3_streams::RecvStream;

const PUSH: u64 = 0x1;
const ENCODER: u64 = 0x2;
const DECODER: u64 = 0x3;

/// The streams that h3 does not read. Their number is bounded by QUIC's stream limit. Each is polled only
/// when something has arrived on it.
#[derive(Default)]
pub(super) struct SideStreams {
    reading: FuturesUnordered<Pin<Box<dyn Future<Output = StreamEvent> + Send + Sync>>>,
    encoder_is_open: bool,
    decoder_is_open: bool,
}

/// An event of a stream.
enum StreamEvent {
    /// It was reset before its type had arrived, which is allowed, or the connection is closed.
    Over,
    /// Its type has arrived: with the stream, the bytes read, and how many of them are the type.
    Type(u64, Box<RecvStream>, Bytes, usize),
    /// It closes the connection with this code.
    Violation(Code),
}

impl SideStreams {
    /// Adds a stream that the client has opened.
    pub(super) fn take(&mut self, stream: RecvStream) {
        self.reading.push(Box::pin(read_type(stream)));
    }

    /// The next stream that h3 must handle.
    ///
    /// # Errors
    /// The code to close the connection with.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<RecvStream, Code>> {
        while let Poll::Ready(Some(event)) = self.reading.poll_next_unpin(context) {
            let (kind, mut stream, mut begun, length) = match event {
                StreamEvent::Over => continue,
                StreamEvent::Violation(code) => return Poll::Ready(Err(code)),
                StreamEvent::Type(kind, stream, begun, length) => (kind, stream, begun, length),
            };
            let is_open = match kind {
                PUSH => return Poll::Ready(Err(Code::H3_STREAM_CREATION_ERROR)),
                ENCODER => &mut self.encoder_is_open,
                DECODER => &mut self.decoder_is_open,
                _ => {
                    stream.put_back(begun);
                    return Poll::Ready(Ok(*stream));
                }
            };
            if std::mem::replace(is_open, true) {
                return Poll::Ready(Err(Code::H3_STREAM_CREATION_ERROR));
            }
            self.reading.push(Box::pin(watch_qpack(*stream, kind, begun.split_off(length))));
        }
        Poll::Pending
    }
}

async fn read_type(mut stream: RecvStream) -> StreamEvent {
    let mut begun = BytesMut::new();
    loop {
        match poll_fn(|context| stream.poll_data(context)).await {
            Ok(Some(bytes)) => begun.extend_from_slice(&bytes),
            Ok(None) | Err(_) => return StreamEvent::Over,
        }
        let mut rest = &begun[..];
        if let Some(kind) = Varint::default().take(&mut rest) {
            let length = begun.len() - rest.len();
            return StreamEvent::Type(kind, Box::new(stream), begun.freeze(), length);
        }
    }
}

/// Reads a QPACK stream until the connection ends.
async fn watch_qpack(mut stream: RecvStream, kind: u64, behind_type: Bytes) -> StreamEvent {
    let mut bytes = behind_type;
    // Whether the last byte was part of an unfinished integer.
    let mut in_number = false;
    loop {
        for byte in &bytes {
            if kind == ENCODER {
                // The only allowed instruction sets the table's capacity to 0.
                if *byte != 0x20 {
                    return StreamEvent::Violation(Code::QPACK_ENCODER_STREAM_ERROR);
                }
                continue;
            }
            in_number = match (in_number, byte) {
                (true, byte) => byte & 0x80 != 0,
                // A stream cancellation; without a dynamic table no other instruction is valid.
                (false, 0x40..0x80) => byte & 0x3f == 0x3f,
                (false, _) => return StreamEvent::Violation(Code::QPACK_DECODER_STREAM_ERROR),
            };
        }
        bytes = match poll_fn(|context| stream.poll_data(context)).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) | Err(StreamErrorIncoming::StreamTerminated { .. }) => {
                return StreamEvent::Violation(Code::H3_CLOSED_CRITICAL_STREAM);
            }
            // The connection is closed, which h3 detects too.
            Err(_) => return StreamEvent::Over,
        };
    }
}
