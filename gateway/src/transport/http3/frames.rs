//! Parses the frames of a request stream (RFC 9114 §4.1, §7) as the bytes arrive.
//!
//! A head that arrived in one piece is returned without a copy. Content is returned as far as it has arrived;
//! frames of unknown types are skipped. Only a head that arrives in pieces is buffered.

use bytes::{Buf as _, Bytes, BytesMut};

use super::frame_guard::{FrameTooLarge, Varint};

const DATA: u64 = 0x0;
const HEADERS: u64 = 0x1;
const MAX_PUSH_ID: u64 = 0xd;

/// A parsed part of a request stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A complete field section: the head, or after the content the trailers.
    Headers(Bytes),
    /// Some content; one DATA frame may be returned in several parts.
    Data(Bytes),
}

/// A violation of the protocol on a request stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Only this stream must end.
    #[error(transparent)]
    TooLarge(#[from] FrameTooLarge),
    /// `H3_FRAME_UNEXPECTED`, an error of the connection: the frame belongs to another kind of stream or to
    /// HTTP/2, or is out of order.
    #[error("a frame of type {0:#x} is not allowed here")]
    Unexpected(u64),
    /// `H3_FRAME_ERROR`, an error of the connection.
    #[error("the stream ended within a frame")]
    Truncated,
}

/// The parser of one request stream.
#[derive(Debug)]
pub struct Frames {
    /// Bytes that have arrived and are not parsed yet.
    chunk: Bytes,
    state: ParserState,
    awaited: Awaited,
    varint: Varint,
    frame_bytes_max: u64,
}

#[derive(Debug)]
enum ParserState {
    Kind,
    Length { kind: u64 },
    Headers { begun: BytesMut, missing: usize },
    Data { rest: u64 },
    Ignored { rest: u64 },
}

/// The next part of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    Head,
    ContentOrTrailers,
    Nothing,
}

impl Frames {
    /// A parser for a new stream. Frames other than DATA may have at most `frame_bytes_max` bytes.
    #[must_use]
    pub fn new(frame_bytes_max: u64) -> Self {
        Self {
            chunk: Bytes::new(),
            state: ParserState::Kind,
            awaited: Awaited::Head,
            varint: Varint::default(),
            frame_bytes_max,
        }
    }

    /// Adds bytes that have arrived. [`Self::read`] must have consumed all earlier ones.
    pub fn push(&mut self, chunk: Bytes) {
        debug_assert!(self.is_out_of_bytes(), "what came before is read first");
        self.chunk = chunk;
    }

    /// The next part that has arrived; `None` if more bytes are needed.
    ///
    /// # Errors
    /// [`FrameError`], at the first byte that decides it. After an error, the parser must not be used.
    pub fn read(&mut self) -> Result<Option<Frame>, FrameError> {
        loop {
            match &mut self.state {
                ParserState::Kind => {
                    let Some(kind) = self.varint() else { return Ok(None) };
                    self.state = ParserState::Length { kind };
                }
                ParserState::Length { kind } => {
                    let kind = *kind;
                    let Some(length) = self.varint() else { return Ok(None) };
                    self.state = self.begin(kind, length)?;
                }
                ParserState::Headers { begun, missing } => {
                    let here = (*missing).min(self.chunk.len());
                    let piece = self.chunk.split_to(here);
                    *missing -= here;
                    let section = if begun.is_empty() && *missing == 0 {
                        piece
                    } else {
                        begun.extend_from_slice(&piece);
                        if *missing > 0 {
                            return Ok(None);
                        }
                        begun.split().freeze()
                    };
                    self.state = ParserState::Kind;
                    return Ok(Some(Frame::Headers(section)));
                }
                ParserState::Data { rest: 0 } | ParserState::Ignored { rest: 0 } => {
                    self.state = ParserState::Kind
                }
                ParserState::Data { .. } | ParserState::Ignored { .. } if self.chunk.is_empty() => {
                    return Ok(None);
                }
                ParserState::Data { rest } => {
                    let piece = piece(&mut self.chunk, rest);
                    return Ok(Some(Frame::Data(piece)));
                }
                ParserState::Ignored { rest } => drop(piece(&mut self.chunk, rest)),
            }
        }
    }

    /// Checks that the stream may end here.
    ///
    /// # Errors
    /// [`FrameError::Truncated`].
    pub fn end(&self) -> Result<(), FrameError> {
        let is_whole = match self.state {
            ParserState::Kind => !self.varint.has_begun(),
            ParserState::Data { rest } | ParserState::Ignored { rest } => rest == 0,
            ParserState::Length { .. } | ParserState::Headers { .. } => false,
        };
        if is_whole && self.chunk.is_empty() { Ok(()) } else { Err(FrameError::Truncated) }
    }

    /// Whether all bytes that have arrived were parsed.
    pub(super) fn is_out_of_bytes(&self) -> bool {
        self.chunk.is_empty()
    }

    fn varint(&mut self) -> Option<u64> {
        let mut bytes = &self.chunk[..];
        let value = self.varint.take(&mut bytes);
        let taken = self.chunk.len() - bytes.len();
        self.chunk.advance(taken);
        value
    }

    fn begin(&mut self, kind: u64, length: u64) -> Result<ParserState, FrameError> {
        match (kind, self.awaited) {
            (DATA, Awaited::ContentOrTrailers) => return Ok(ParserState::Data { rest: length }),
            (HEADERS, Awaited::Head) => self.awaited = Awaited::ContentOrTrailers,
            (HEADERS, Awaited::ContentOrTrailers) => self.awaited = Awaited::Nothing,
            // Frames of the control stream, of pushes, and of HTTP/2 (RFC 9114 §7.2).
            (..=0x9 | MAX_PUSH_ID, _) => return Err(FrameError::Unexpected(kind)),
            _ => {}
        }
        if length > self.frame_bytes_max {
            return Err(FrameTooLarge { kind, length, max: self.frame_bytes_max }.into());
        }
        Ok(match usize::try_from(length) {
            Ok(missing) if kind == HEADERS => ParserState::Headers { begun: BytesMut::new(), missing },
            _ => ParserState::Ignored { rest: length },
        })
    }
}

/// Takes as much of a frame's rest as has arrived.
fn piece(chunk: &mut Bytes, rest: &mut u64) -> Bytes {
    let here = usize::try_from(*rest).unwrap_or(usize::MAX).min(chunk.len());
    *rest -= here as u64;
    chunk.split_to(here)
}

#[cfg(test)]
mod tests {
    use bytes::BufMut as _;
    use proptest::prelude::*;

    use super::*;

    const MAX: u64 = 100;

    fn frame(kind: u64, length: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        for value in [kind, length] {
            match value {
                0..0x40 => bytes.put_u8(u8::try_from(value).unwrap()),
                0x40..0x4000 => bytes.put_u16(0x4000 | u16::try_from(value).unwrap()),
                _ => bytes.put_u64(0xc000_0000_0000_0000 | value),
            }
        }
        bytes.extend((0..length.min(1000)).map(|place| place as u8));
        bytes
    }

    /// The frames that are parsed from bytes in pieces of this size, with content joined.
    fn read(bytes: &[u8], piece: usize) -> (Vec<Frame>, Result<(), FrameError>) {
        let mut frames = Frames::new(MAX);
        let mut read: Vec<Frame> = Vec::new();
        for piece in bytes.chunks(piece) {
            frames.push(Bytes::copy_from_slice(piece));
            loop {
                match (frames.read(), read.last_mut()) {
                    (Ok(None), _) => break,
                    (Ok(Some(Frame::Data(more))), Some(Frame::Data(data))) => {
                        *data = [&data[..], &more].concat().into();
                    }
                    (Ok(Some(frame)), _) => read.push(frame),
                    (Err(error), _) => return (read, Err(error)),
                }
            }
        }
        (read, frames.end())
    }

    fn payload(length: u8) -> Bytes {
        (0..length).collect()
    }

    #[test]
    fn a_request_is_parsed_however_its_bytes_arrive() {
        let bytes = [
            frame(0x21, 7),
            frame(HEADERS, 70),
            frame(DATA, 3),
            frame(0x41, 100),
            frame(DATA, 0),
            frame(DATA, 70),
            frame(HEADERS, 4),
            frame(0x1f * 9 + 0x21, 0),
        ]
        .concat();
        let data = [payload(3), payload(70)].concat().into();
        let expected = vec![Frame::Headers(payload(70)), Frame::Data(data), Frame::Headers(payload(4))];
        for piece in 1..bytes.len() + 1 {
            assert_eq!(read(&bytes, piece), (expected.clone(), Ok(())), "in pieces of {piece}");
        }
    }

    #[test]
    fn a_head_in_one_piece_is_not_copied() {
        let bytes = Bytes::from(frame(HEADERS, 50));
        let mut frames = Frames::new(MAX);
        frames.push(bytes.clone());
        let Ok(Some(Frame::Headers(section))) = frames.read() else { panic!("no head") };
        assert_eq!(section.as_ptr(), bytes[2..].as_ptr());
        assert!(frames.is_out_of_bytes());
        assert_eq!(frames.end(), Ok(()));
    }

    #[test]
    fn frames_that_a_request_cannot_have_are_refused() {
        for kind in (0x2..=0x9).chain([MAX_PUSH_ID]) {
            let refused = Err(FrameError::Unexpected(kind));
            assert_eq!(read(&frame(kind, 1), 1), (vec![], refused), "{kind:#x}");
            assert_eq!(read(&[frame(HEADERS, 1), frame(kind, 1)].concat(), 9).1, refused, "{kind:#x}");
        }
        assert_eq!(read(&frame(DATA, 1), 9).1, Err(FrameError::Unexpected(DATA)));
        let trailers = [frame(HEADERS, 1), frame(HEADERS, 1)].concat();
        for kind in [DATA, HEADERS] {
            let behind = [&trailers[..], &frame(kind, 1)].concat();
            assert_eq!(read(&behind, 2).1, Err(FrameError::Unexpected(kind)));
        }
    }

    #[test]
    fn a_large_frame_is_refused_before_any_of_it_has_arrived() {
        for kind in [HEADERS, 0x21] {
            let refused = FrameTooLarge { kind, length: MAX + 1, max: MAX };
            assert_eq!(read(&frame(kind, MAX + 1)[..4], 9).1, Err(refused.into()));
        }
        let content = [frame(HEADERS, MAX), frame(DATA, 1 << 40)].concat();
        assert_eq!(read(&content, 50).1, Err(FrameError::Truncated));
    }

    #[test]
    fn an_end_within_a_frame_is_an_error() {
        let bytes = [frame(0x21, 70), frame(HEADERS, 70), frame(DATA, 70)].concat();
        for end in 0..bytes.len() {
            let is_between = [0, 73, 146].contains(&end);
            let seen = read(&bytes[..end], 5).1;
            assert_eq!(seen, if is_between { Ok(()) } else { Err(FrameError::Truncated) }, "at {end}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_give_the_same_frames(
            bytes in proptest::collection::vec(prop_oneof![0_u8..4, any::<u8>()], 0..300),
            piece in 1_usize..50,
        ) {
            prop_assert_eq!(read(&bytes, 1000), read(&bytes, piece));
        }
    }
}
