//! The frames of a request stream (RFC 9114 §4.1, §7), read out of the bytes as they come.
//!
//! A head whose bytes came in one piece is handed on as that piece. Of content, whatever is there is handed on;
//! frames of types that mean nothing here are passed over. Nothing is kept but a head that came in pieces.

use bytes::{Buf as _, Bytes, BytesMut};

use super::frame_guard::{FrameTooLarge, Varint};

const DATA: u64 = 0x0;
const HEADERS: u64 = 0x1;
const MAX_PUSH_ID: u64 = 0xd;

/// What comes on a request stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A field section, whole: the head, or behind all content the trailers.
    Headers(Bytes),
    /// Some content; one DATA frame may be many of these.
    Data(Bytes),
}

/// What a request stream must not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Only this stream need end for it.
    #[error(transparent)]
    TooLarge(#[from] FrameTooLarge),
    /// `H3_FRAME_UNEXPECTED`, an error of the connection: it is of another stream, of HTTP/2, or comes in a
    /// place that is not its own.
    #[error("a frame of type {0:#x} stands where it must not")]
    Unexpected(u64),
    /// `H3_FRAME_ERROR`, an error of the connection.
    #[error("the stream ended within a frame")]
    Truncated,
}

/// The frames of one request stream.
#[derive(Debug)]
pub struct Frames {
    /// What has come and is not read yet.
    chunk: Bytes,
    state: State,
    awaited: Awaited,
    varint: Varint,
    frame_bytes_max: u64,
}

#[derive(Debug)]
enum State {
    Kind,
    Length { kind: u64 },
    Headers { begun: BytesMut, missing: usize },
    Data { rest: u64 },
    Ignored { rest: u64 },
}

/// What of a request has not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    Head,
    ContentOrTrailers,
    Nothing,
}

impl Frames {
    /// A stream of which nothing has come. Frames other than DATA may have at most `frame_bytes_max` bytes.
    #[must_use]
    pub fn new(frame_bytes_max: u64) -> Self {
        Self {
            chunk: Bytes::new(),
            state: State::Kind,
            awaited: Awaited::Head,
            varint: Varint::default(),
            frame_bytes_max,
        }
    }

    /// Takes what has come. [`Self::read`] must have found all before it read.
    pub fn push(&mut self, chunk: Bytes) {
        debug_assert!(self.is_out_of_bytes(), "what came before is read first");
        self.chunk = chunk;
    }

    /// What has come by now; `None` where more has to come first.
    ///
    /// # Errors
    /// At the first byte at which it is known. After one, the stream is of no use.
    pub fn read(&mut self) -> Result<Option<Frame>, FrameError> {
        loop {
            match &mut self.state {
                State::Kind => {
                    let Some(kind) = self.varint() else { return Ok(None) };
                    self.state = State::Length { kind };
                }
                State::Length { kind } => {
                    let kind = *kind;
                    let Some(length) = self.varint() else { return Ok(None) };
                    self.state = self.begin(kind, length)?;
                }
                State::Headers { begun, missing } => {
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
                    self.state = State::Kind;
                    return Ok(Some(Frame::Headers(section)));
                }
                State::Data { rest: 0 } | State::Ignored { rest: 0 } => self.state = State::Kind,
                State::Data { .. } | State::Ignored { .. } if self.chunk.is_empty() => return Ok(None),
                State::Data { rest } => {
                    let piece = piece(&mut self.chunk, rest);
                    return Ok(Some(Frame::Data(piece)));
                }
                State::Ignored { rest } => drop(piece(&mut self.chunk, rest)),
            }
        }
    }

    /// Whether the stream may end here.
    ///
    /// # Errors
    /// [`FrameError::Truncated`].
    pub fn end(&self) -> Result<(), FrameError> {
        let is_whole = match self.state {
            State::Kind => !self.varint.has_begun(),
            State::Data { rest } | State::Ignored { rest } => rest == 0,
            State::Length { .. } | State::Headers { .. } => false,
        };
        if is_whole && self.chunk.is_empty() { Ok(()) } else { Err(FrameError::Truncated) }
    }

    /// Whether all that has come was read.
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

    fn begin(&mut self, kind: u64, length: u64) -> Result<State, FrameError> {
        match (kind, self.awaited) {
            (DATA, Awaited::ContentOrTrailers) => return Ok(State::Data { rest: length }),
            (HEADERS, Awaited::Head) => self.awaited = Awaited::ContentOrTrailers,
            (HEADERS, Awaited::ContentOrTrailers) => self.awaited = Awaited::Nothing,
            // Those of the control stream, of pushes, and of HTTP/2 (RFC 9114 §7.2).
            (..=0x9 | MAX_PUSH_ID, _) => return Err(FrameError::Unexpected(kind)),
            _ => {}
        }
        if length > self.frame_bytes_max {
            return Err(FrameTooLarge { kind, length, max: self.frame_bytes_max }.into());
        }
        Ok(match usize::try_from(length) {
            Ok(missing) if kind == HEADERS => State::Headers { begun: BytesMut::new(), missing },
            _ => State::Ignored { rest: length },
        })
    }
}

/// As much of a frame's rest as has come.
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

    /// What is read of bytes that come in such pieces: the frames, content joined.
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
    fn a_request_is_read_however_its_bytes_come() {
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
    fn a_head_in_one_piece_is_handed_on_as_that_piece() {
        let bytes = Bytes::from(frame(HEADERS, 50));
        let mut frames = Frames::new(MAX);
        frames.push(bytes.clone());
        let Ok(Some(Frame::Headers(section))) = frames.read() else { panic!("no head") };
        assert_eq!(section.as_ptr(), bytes[2..].as_ptr());
        assert!(frames.is_out_of_bytes());
        assert_eq!(frames.end(), Ok(()));
    }

    #[test]
    fn what_is_not_of_a_request_is_refused() {
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
    fn a_large_frame_is_refused_before_any_of_it_has_come() {
        for kind in [HEADERS, 0x21] {
            let refused = FrameTooLarge { kind, length: MAX + 1, max: MAX };
            assert_eq!(read(&frame(kind, MAX + 1)[..4], 9).1, Err(refused.into()));
        }
        let content = [frame(HEADERS, MAX), frame(DATA, 1 << 40)].concat();
        assert_eq!(read(&content, 50).1, Err(FrameError::Truncated));
    }

    #[test]
    fn an_end_within_a_frame_is_seen() {
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
