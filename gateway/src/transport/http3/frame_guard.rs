//! Refuses HTTP/3 frames of absurd size before anything buffers them.
//!
//! h3 0.0.8 collects a whole frame of a control stream, of whatever length its sender declares, before it
//! looks at any limit. This guard reads type and length of each frame as the bytes pass (RFC 9114 §7.1) and says
//! when one is larger than any honest client sends. DATA may have any length: h3 refuses it by its type.

/// A frame other than DATA was declared larger than the guard allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame of type {kind:#x} declares {length} bytes; at most {max} are taken")]
pub struct FrameTooLarge {
    /// The frame's type.
    pub kind: u64,
    /// The length that it declares, in bytes.
    pub length: u64,
    /// The most that is taken, in bytes.
    pub max: u64,
}

const DATA: u64 = 0x0;
const STREAM_TYPE_CONTROL: u64 = 0x0;

/// Watches one unidirectional stream.
#[derive(Debug)]
pub struct FrameGuard {
    state: State,
    frame_bytes_max: u64,
    varint: Varint,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// The type of a unidirectional stream comes next (RFC 9114 §6.2).
    StreamType,
    /// A frame's type comes next.
    Kind,
    /// A frame's length comes next.
    Length { kind: u64 },
    /// So many bytes of a frame's payload come next.
    Payload { rest: u64 },
    /// Nothing here has frames.
    Unframed,
}

impl FrameGuard {
    /// Watches a unidirectional stream, which begins with its type. Of a control stream, frames other than
    /// DATA may have at most `frame_bytes_max` bytes.
    #[must_use]
    pub fn new(frame_bytes_max: u64) -> Self {
        Self { state: State::StreamType, frame_bytes_max, varint: Varint::default() }
    }

    /// Looks at the next bytes of the stream.
    ///
    /// # Errors
    /// [`FrameTooLarge`], at the first byte at which it is known.
    pub fn inspect(&mut self, mut bytes: &[u8]) -> Result<(), FrameTooLarge> {
        loop {
            match self.state {
                State::Unframed => return Ok(()),
                State::Payload { rest } => {
                    let here = usize::try_from(rest).unwrap_or(usize::MAX).min(bytes.len());
                    bytes = &bytes[here..];
                    let rest = rest - here as u64;
                    if rest > 0 {
                        self.state = State::Payload { rest };
                        return Ok(());
                    }
                    self.state = State::Kind;
                }
                State::StreamType | State::Kind | State::Length { .. } => {
                    let Some(value) = self.varint.take(&mut bytes) else { return Ok(()) };
                    self.state = self.next(value)?;
                }
            }
        }
    }

    fn next(&self, value: u64) -> Result<State, FrameTooLarge> {
        Ok(match self.state {
            State::StreamType if value == STREAM_TYPE_CONTROL => State::Kind,
            State::StreamType => State::Unframed,
            State::Kind => State::Length { kind: value },
            State::Length { kind } if kind != DATA && value > self.frame_bytes_max => {
                return Err(FrameTooLarge { kind, length: value, max: self.frame_bytes_max });
            }
            State::Length { .. } => State::Payload { rest: value },
            other @ (State::Payload { .. } | State::Unframed) => other,
        })
    }
}

/// A QUIC variable-length integer (RFC 9000 §16) that may come in pieces.
#[derive(Debug, Default)]
pub(super) struct Varint {
    value: u64,
    /// Bytes still to come; 0 before the first.
    missing: u8,
}

impl Varint {
    /// Whether a part of it has come.
    pub(super) const fn has_begun(&self) -> bool {
        self.missing > 0
    }

    /// Takes bytes from the front until the integer is whole.
    pub(super) fn take(&mut self, bytes: &mut &[u8]) -> Option<u64> {
        loop {
            let (&first, rest) = bytes.split_first()?;
            *bytes = rest;
            if self.missing == 0 {
                // The two highest bits of the first byte say how many follow: 0, 1, 3 or 7.
                self.missing = (1 << (first >> 6)) - 1;
                self.value = u64::from(first & 0x3f);
            } else {
                self.missing -= 1;
                self.value = self.value << 8 | u64::from(first);
            }
            if self.missing == 0 {
                return Some(self.value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAX: u64 = 100;

    fn varint(value: u64) -> Vec<u8> {
        match value {
            0..0x40 => vec![u8::try_from(value).unwrap()],
            0x40..0x4000 => (0x4000 | u16::try_from(value).unwrap()).to_be_bytes().to_vec(),
            0x4000..0x4000_0000 => (0x8000_0000 | u32::try_from(value).unwrap()).to_be_bytes().to_vec(),
            _ => (0xc000_0000_0000_0000 | value).to_be_bytes().to_vec(),
        }
    }

    fn frame(kind: u64, length: u64) -> Vec<u8> {
        let mut bytes = varint(kind);
        bytes.extend(varint(length));
        bytes.extend(std::iter::repeat_n(0xff, usize::try_from(length.min(1000)).unwrap()));
        bytes
    }

    /// Watches a control stream whose type has come.
    fn control() -> FrameGuard {
        let mut guard = FrameGuard::new(MAX);
        guard.inspect(&[0]).unwrap();
        guard
    }

    fn inspect_in_pieces(guard: &mut FrameGuard, bytes: &[u8], piece: usize) -> Result<(), FrameTooLarge> {
        bytes.chunks(piece).try_for_each(|piece| guard.inspect(piece))
    }

    #[test]
    fn a_large_frame_is_refused_however_its_bytes_come() {
        for piece in 1..20 {
            let mut guard = control();
            let bytes = [frame(0x21, 3), frame(0, 500), frame(1, MAX), frame(1, 1 << 34)].concat();
            assert_eq!(
                inspect_in_pieces(&mut guard, &bytes, piece),
                Err(FrameTooLarge { kind: 1, length: 1 << 34, max: MAX })
            );
        }
    }

    #[test]
    fn only_the_control_stream_has_frames_among_the_unidirectional_ones() {
        let large = frame(4, MAX + 1);
        assert!(control().inspect(&large).is_err());
        for other in [2, 3, 0x54, 0x1f * 7 + 0x21] {
            let mut guard = FrameGuard::new(MAX);
            assert_eq!(guard.inspect(&varint(other)), Ok(()));
            assert_eq!(guard.inspect(&large), Ok(()));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_give_the_same_verdict(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            piece in 1_usize..50,
        ) {
            let whole = control().inspect(&bytes);
            let pieces = inspect_in_pieces(&mut control(), &bytes, piece);
            prop_assert_eq!(whole, pieces);
        }

        #[test]
        fn honest_frames_pass(frames in proptest::collection::vec((1_u64..1 << 20, 0..=MAX), 0..20)) {
            let bytes: Vec<u8> = frames.iter().flat_map(|(kind, length)| frame(*kind, *length)).collect();
            prop_assert_eq!(control().inspect(&bytes), Ok(()));
        }
    }
}
