//! The client's unidirectional streams (RFC 9114 §6.2).
//!
//! h3 0.0.8 reads the control stream and never looks again at those of QPACK, so they are watched here:
//! neither may end, and as we announce no dynamic table, there is next to nothing that may be said on
//! them (RFC 9204 §4.2). A push stream is a server's alone.

use std::task::{Context, Poll};

use bytes::BytesMut;
use h3::error::Code;
use h3::quic::{RecvStream as _, StreamErrorIncoming};

use super::frame_guard::Varint;
use super::streams::RecvStream;

const PUSH: u64 = 0x1;
const ENCODER: u64 = 0x2;
const DECODER: u64 = 0x3;

/// Those that are not h3's. QUIC's own limit on streams bounds them.
#[derive(Default)]
pub(super) struct SideStreams {
    /// Their types have not come.
    untyped: Vec<(RecvStream, BytesMut)>,
    qpack: Vec<Qpack>,
}

impl SideStreams {
    /// Takes a stream that the client has opened.
    pub(super) fn take(&mut self, stream: RecvStream) {
        self.untyped.push((stream, BytesMut::new()));
    }

    /// The next stream that is h3's affair.
    ///
    /// # Errors
    /// The code that the connection has to end with.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<RecvStream, Code>> {
        let mut place = 0;
        while let Some((stream, begun)) = self.untyped.get_mut(place) {
            match stream.poll_data(context) {
                Poll::Pending => place += 1,
                Poll::Ready(Err(StreamErrorIncoming::Unknown(_))) => {
                    return Poll::Ready(Err(Code::H3_EXCESSIVE_LOAD));
                }
                // One may end before its type has come.
                Poll::Ready(Ok(None) | Err(_)) => drop(self.untyped.swap_remove(place)),
                Poll::Ready(Ok(Some(bytes))) => {
                    begun.extend_from_slice(&bytes);
                    let mut rest = &begun[..];
                    let Some(kind) = Varint::default().take(&mut rest) else { continue };
                    let length = begun.len() - rest.len();
                    let (mut stream, begun) = self.untyped.swap_remove(place);
                    match kind {
                        PUSH => return Poll::Ready(Err(Code::H3_STREAM_CREATION_ERROR)),
                        ENCODER | DECODER => self.watch(stream, kind, &begun[length..])?,
                        _ => {
                            stream.put_back(begun.freeze());
                            return Poll::Ready(Ok(stream));
                        }
                    }
                }
            }
        }
        for qpack in &mut self.qpack {
            qpack.poll(context)?;
        }
        Poll::Pending
    }

    fn watch(&mut self, stream: RecvStream, kind: u64, begun: &[u8]) -> Result<(), Code> {
        if self.qpack.iter().any(|qpack| qpack.kind == kind) {
            return Err(Code::H3_STREAM_CREATION_ERROR);
        }
        let mut qpack = Qpack { stream, kind, in_number: false };
        qpack.judge(begun)?;
        self.qpack.push(qpack);
        Ok(())
    }
}

/// One of QPACK's two streams.
struct Qpack {
    stream: RecvStream,
    kind: u64,
    /// What came last is a number that goes on.
    in_number: bool,
}

impl Qpack {
    fn poll(&mut self, context: &mut Context<'_>) -> Result<(), Code> {
        loop {
            match self.stream.poll_data(context) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(Some(bytes))) => self.judge(&bytes)?,
                Poll::Ready(Ok(None) | Err(StreamErrorIncoming::StreamTerminated { .. })) => {
                    return Err(Code::H3_CLOSED_CRITICAL_STREAM);
                }
                // The connection is over, which h3 sees by itself.
                Poll::Ready(Err(_)) => return Ok(()),
            }
        }
    }

    fn judge(&mut self, bytes: &[u8]) -> Result<(), Code> {
        if self.kind == ENCODER {
            // All that is left to say is that the table's capacity is 0.
            let said_well = bytes.iter().all(|byte| *byte == 0x20);
            return if said_well { Ok(()) } else { Err(Code::QPACK_ENCODER_STREAM_ERROR) };
        }
        for byte in bytes {
            self.in_number = match (self.in_number, byte) {
                (true, byte) => byte & 0x80 != 0,
                // The client has given up a stream; nothing else can be about answers without a table.
                (false, 0x40..0x80) => byte & 0x3f == 0x3f,
                (false, _) => return Err(Code::QPACK_DECODER_STREAM_ERROR),
            };
        }
        Ok(())
    }
}
