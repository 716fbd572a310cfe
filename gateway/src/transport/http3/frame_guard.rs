//! Checks a client's control stream before h3 reads it (RFC 9114 §6.2.1, §7.2).
//!
//! h3 0.0.8 buffers a control frame of any declared length, ignores MAX_PUSH_ID and CANCEL_PUSH, and accepts bytes
//! behind an id. The guard parses the same bytes as they arrive and reports the first violation. It buffers nothing.

use quinn::VarInt;

use super::codes;

/// A frame declares more bytes than the limit; content (DATA on a request stream) is exempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame of type {kind:#x} declares {length} bytes; at most {max} are accepted")]
pub struct FrameTooLarge {
    /// The frame's type.
    pub kind: u64,
    /// The length that it declares, in bytes.
    pub length: u64,
    /// The limit, in bytes.
    pub max: u64,
}

/// Why a control stream has to end its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// `H3_EXCESSIVE_LOAD`.
    #[error(transparent)]
    TooLarge(#[from] FrameTooLarge),
    /// `H3_FRAME_UNEXPECTED`: a frame type that is not allowed here, or a second SETTINGS.
    #[error("a frame of type {0:#x} is not allowed here on the control stream")]
    Unexpected(u64),
    /// `H3_FRAME_ERROR`: the fields of a frame do not add up to its length.
    #[error("a frame of type {0:#x} does not have the length of its fields")]
    Malformed(u64),
    /// `H3_ID_ERROR`: a smaller MAX_PUSH_ID than before, or CANCEL_PUSH for a push that was never promised.
    #[error("a frame of type {0:#x} has an invalid push id")]
    Id(u64),
    /// `H3_SETTINGS_ERROR`: a setting that HTTP/3 reserves because HTTP/2 defined it.
    #[error("setting {0:#x} is reserved")]
    Setting(u64),
    /// `H3_MISSING_SETTINGS`: the first frame is not SETTINGS.
    #[error("the control stream does not start with SETTINGS")]
    MissingSettings,
}

impl ControlError {
    /// The error code to close the connection with.
    pub(super) const fn code(self) -> VarInt {
        match self {
            Self::TooLarge(_) => codes::EXCESSIVE_LOAD,
            Self::Unexpected(_) => codes::FRAME_UNEXPECTED,
            Self::Malformed(_) => codes::FRAME_ERROR,
            Self::Id(_) => codes::ID_ERROR,
            Self::Setting(_) => codes::SETTINGS_ERROR,
            Self::MissingSettings => codes::MISSING_SETTINGS,
        }
    }
}

const STREAM_TYPE_CONTROL: u64 = 0x0;

const CANCEL_PUSH: u64 = 0x3;
const SETTINGS: u64 = 0x4;
const GOAWAY: u64 = 0x7;
const MAX_PUSH_ID: u64 = 0xd;

/// Checks one unidirectional stream, whose type is its first byte; only control streams have frames.
#[derive(Debug)]
pub struct FrameGuard {
    state: GuardState,
    frame_bytes_max: u64,
    varint: Varint,
    has_settings: bool,
    push_id_max: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
enum GuardState {
    /// The type of the stream comes next (RFC 9114 §6.2).
    StreamType,
    /// A frame's type comes next.
    Kind,
    /// A frame's length comes next.
    Length { kind: u64 },
    /// This many bytes of an integer that is a field of a frame, and of the fields after it, come next.
    Field { kind: u64, rest: u64, setting: Option<u64> },
    /// This many bytes of an unknown frame come next.
    Ignored { rest: u64 },
    /// Not a control stream.
    Unframed,
}

impl FrameGuard {
    /// Frames of the control stream may have at most `frame_bytes_max` bytes.
    #[must_use]
    pub fn new(frame_bytes_max: u64) -> Self {
        Self {
            state: GuardState::StreamType,
            frame_bytes_max,
            varint: Varint::default(),
            has_settings: false,
            push_id_max: None,
        }
    }

    /// Checks the next bytes of the stream.
    ///
    /// # Errors
    /// [`ControlError`], at the first byte that decides it.
    pub fn inspect(&mut self, mut bytes: &[u8]) -> Result<(), ControlError> {
        loop {
            self.state = match self.state {
                GuardState::Unframed => return Ok(()),
                GuardState::Field { rest: 0, kind, .. } if self.varint.has_begun() => {
                    return Err(ControlError::Malformed(kind));
                }
                GuardState::Field { rest: 0, setting: Some(_), .. } => {
                    return Err(ControlError::Malformed(SETTINGS));
                }
                GuardState::Field { rest: 0, .. } | GuardState::Ignored { rest: 0 } => GuardState::Kind,
                _ if bytes.is_empty() => return Ok(()),
                GuardState::Ignored { rest } => {
                    let skipped = usize::try_from(rest).unwrap_or(usize::MAX).min(bytes.len());
                    bytes = &bytes[skipped..];
                    GuardState::Ignored { rest: rest - skipped as u64 }
                }
                GuardState::Field { kind, rest, setting } => {
                    let here = usize::try_from(rest).unwrap_or(usize::MAX).min(bytes.len());
                    let mut unread = &bytes[..here];
                    let value = self.varint.take(&mut unread);
                    let taken = here - unread.len();
                    bytes = &bytes[taken..];
                    let rest = rest - taken as u64;
                    let setting = match value {
                        None => setting,
                        Some(value) => self.field(kind, rest, setting, value)?,
                    };
                    GuardState::Field { kind, rest, setting }
                }
                GuardState::StreamType | GuardState::Kind | GuardState::Length { .. } => {
                    let Some(value) = self.varint.take(&mut bytes) else { return Ok(()) };
                    self.header(value)?
                }
            };
        }
    }

    fn header(&mut self, value: u64) -> Result<GuardState, ControlError> {
        Ok(match self.state {
            GuardState::StreamType if value == STREAM_TYPE_CONTROL => GuardState::Kind,
            GuardState::Kind => match value {
                SETTINGS if self.has_settings => return Err(ControlError::Unexpected(value)),
                SETTINGS => {
                    self.has_settings = true;
                    GuardState::Length { kind: value }
                }
                _ if !self.has_settings => return Err(ControlError::MissingSettings),
                CANCEL_PUSH | GOAWAY | MAX_PUSH_ID | 0xa.. => GuardState::Length { kind: value },
                // DATA, HEADERS and PUSH_PROMISE, and types reserved because HTTP/2 defined them.
                _ => return Err(ControlError::Unexpected(value)),
            },
            GuardState::Length { kind } if value > self.frame_bytes_max => {
                return Err(FrameTooLarge { kind, length: value, max: self.frame_bytes_max }.into());
            }
            GuardState::Length { kind: kind @ (CANCEL_PUSH | GOAWAY | MAX_PUSH_ID) } if value == 0 => {
                return Err(ControlError::Malformed(kind));
            }
            GuardState::Length { kind: kind @ (CANCEL_PUSH | GOAWAY | MAX_PUSH_ID | SETTINGS) } => {
                GuardState::Field { kind, rest: value, setting: None }
            }
            GuardState::Length { .. } => GuardState::Ignored { rest: value },
            _ => GuardState::Unframed,
        })
    }

    /// Checks one field of a frame; returns the setting whose value comes next.
    fn field(
        &mut self,
        kind: u64,
        rest: u64,
        setting: Option<u64>,
        value: u64,
    ) -> Result<Option<u64>, ControlError> {
        match kind {
            SETTINGS => match (setting, value) {
                (Some(_), _) => Ok(None),
                // RFC 9114 §7.2.4.1 and §11.2.2.
                (None, 0x0 | 0x2..=0x5) => Err(ControlError::Setting(value)),
                (None, _) => Ok(Some(value)),
            },
            // The id is all there is.
            _ if rest > 0 => Err(ControlError::Malformed(kind)),
            // The server never promises a push, so there is none to cancel.
            CANCEL_PUSH => Err(ControlError::Id(kind)),
            MAX_PUSH_ID if self.push_id_max.is_some_and(|max| value < max) => Err(ControlError::Id(kind)),
            MAX_PUSH_ID => {
                self.push_id_max = Some(value);
                Ok(None)
            }
            _ => Ok(None),
        }
    }
}

/// A QUIC variable-length integer (RFC 9000 §16) that may arrive in pieces.
#[derive(Debug, Default)]
pub(super) struct Varint {
    value: u64,
    /// Bytes still to come; 0 before the first.
    missing: u8,
}

impl Varint {
    /// Whether some of its bytes have arrived, and not all.
    pub(super) const fn has_begun(&self) -> bool {
        self.missing > 0
    }

    /// Takes bytes from the front until the integer is complete.
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

    fn with_payload(kind: u64, payload: &[u8]) -> Vec<u8> {
        [varint(kind), varint(payload.len() as u64), payload.to_vec()].concat()
    }

    fn frame(kind: u64, length: u64) -> Vec<u8> {
        [varint(kind), varint(length), vec![0xff; usize::try_from(length.min(1000)).unwrap()]].concat()
    }

    /// The guard's verdict on a control stream, which must be the same however its bytes arrive.
    fn verdict(bytes: &[u8]) -> Result<(), ControlError> {
        let stream = [&[0], bytes].concat();
        let inspect = |piece: usize| {
            let mut guard = FrameGuard::new(MAX);
            stream.chunks(piece).try_for_each(|piece| guard.inspect(piece))
        };
        let expected = inspect(usize::MAX);
        for piece in 1..20 {
            assert_eq!(inspect(piece), expected, "in pieces of {piece}");
        }
        expected
    }

    /// The same, after empty settings.
    fn after_settings(frames: &[Vec<u8>]) -> Result<(), ControlError> {
        verdict(&[&[0x4, 0][..], &frames.concat()].concat())
    }

    #[test]
    fn a_large_frame_is_rejected_by_its_declared_length() {
        let too_large = |kind| Err(FrameTooLarge { kind, length: MAX + 1, max: MAX }.into());
        assert_eq!(after_settings(&[frame(0x21, MAX), varint(0x21), varint(MAX + 1)]), too_large(0x21));
        assert_eq!(verdict(&[varint(SETTINGS), varint(MAX + 1)].concat()), too_large(SETTINGS));
    }

    #[test]
    fn settings_come_first_and_once() {
        for kind in [0, 1, GOAWAY, 0x21] {
            assert_eq!(verdict(&frame(kind, 1)), Err(ControlError::MissingSettings));
        }
        assert_eq!(after_settings(&[frame(SETTINGS, 0)]), Err(ControlError::Unexpected(SETTINGS)));
    }

    #[test]
    fn settings_of_http2_and_half_settings_are_rejected() {
        for setting in [0, 2, 3, 4, 5] {
            let reserved = verdict(&with_payload(SETTINGS, &[6, 1, setting, 1]));
            assert_eq!(reserved, Err(ControlError::Setting(setting.into())));
        }
        for cut in [&[6][..], &[6, 0x40], &[0x40]] {
            assert_eq!(verdict(&with_payload(SETTINGS, cut)), Err(ControlError::Malformed(SETTINGS)));
        }
        assert_eq!(verdict(&with_payload(SETTINGS, &[6, 0x40, 3, 1, 3, 0x40, 0x40, 2])), Ok(()));
    }

    #[test]
    fn frames_of_other_streams_and_of_http2_are_rejected() {
        for kind in [0, 1, 2, 5, 6, 8, 9] {
            assert_eq!(after_settings(&[frame(kind, 1)]), Err(ControlError::Unexpected(kind)));
        }
    }

    #[test]
    fn an_id_fills_its_frame() {
        for kind in [CANCEL_PUSH, GOAWAY, MAX_PUSH_ID] {
            for payload in [&[][..], &[0, 0], &[0x40]] {
                let malformed = Err(ControlError::Malformed(kind));
                assert_eq!(after_settings(&[with_payload(kind, payload)]), malformed, "{payload:?}");
            }
        }
    }

    #[test]
    fn push_ids_only_grow_and_none_can_be_cancelled() {
        let max_push_id = |id: u8| with_payload(MAX_PUSH_ID, &[id]);
        let goaway = with_payload(GOAWAY, &[0x40, 4]);
        assert_eq!(after_settings(&[max_push_id(4), goaway, max_push_id(4), max_push_id(5)]), Ok(()));
        let decreased = after_settings(&[max_push_id(4), max_push_id(3)]);
        assert_eq!(decreased, Err(ControlError::Id(MAX_PUSH_ID)));
        let cancelled = after_settings(&[max_push_id(4), with_payload(CANCEL_PUSH, &[1])]);
        assert_eq!(cancelled, Err(ControlError::Id(CANCEL_PUSH)));
    }

    #[test]
    fn only_control_streams_have_frames() {
        for other in [2, 3, 0x54, 0x1f * 7 + 0x21] {
            let mut guard = FrameGuard::new(MAX);
            assert_eq!(guard.inspect(&varint(other)), Ok(()));
            assert_eq!(guard.inspect(&frame(4, MAX + 1)), Ok(()));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_give_the_same_verdict(
            bytes in proptest::collection::vec(prop_oneof![0_u8..16, any::<u8>()], 0..300),
        ) {
            let _ = after_settings(&[bytes]);
        }

        #[test]
        fn unknown_frames_pass(frames in proptest::collection::vec((0xe_u64..1 << 20, 0..=MAX), 0..20)) {
            let frames: Vec<_> = frames.iter().map(|(kind, length)| frame(*kind, *length)).collect();
            prop_assert_eq!(after_settings(&frames), Ok(()));
        }
    }
}
