//! Any bytes on a unidirectional stream: the guard's verdict is that of a plain reading of RFC 9114 §7.1, however the
//! bytes are cut into pieces.

#![no_main]

use gateway::transport::FrameGuard;
use libfuzzer_sys::fuzz_target;

const MAX: u64 = 1000;
const DATA: u64 = 0;
const CONTROL: u64 = 0;

/// One variable-length integer and what stands behind it; `None` where it is not whole.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let length = 1 << (bytes.first()? >> 6);
    let (number, rest) = bytes.split_at_checked(length)?;
    let first = u64::from(number[0] & 0x3f);
    Some((number[1..].iter().fold(first, |value, byte| value << 8 | u64::from(*byte)), rest))
}

/// Whether a frame other than DATA declares more than the guard takes.
fn has_large_frame(mut bytes: &[u8]) -> bool {
    while let Some((kind, rest)) = varint(bytes) {
        let Some((length, rest)) = varint(rest) else { return false };
        if kind != DATA && length > MAX {
            return true;
        }
        let Some(rest) = usize::try_from(length).ok().and_then(|length| rest.get(length..)) else {
            return false;
        };
        bytes = rest;
    }
    false
}

fn verdict(mut guard: FrameGuard, bytes: &[u8], piece: usize) -> bool {
    bytes.chunks(piece).try_for_each(|piece| guard.inspect(piece)).is_err()
}

fuzz_target!(|input: &[u8]| {
    let Some((&piece, bytes)) = input.split_first() else { return };
    let piece = usize::from(piece).max(1);
    let expected = match varint(bytes) {
        Some((CONTROL, rest)) => has_large_frame(rest),
        _ => false,
    };
    assert_eq!(verdict(FrameGuard::new(MAX), bytes, piece), expected);
    assert_eq!(verdict(FrameGuard::new(MAX), bytes, usize::MAX), expected);
});
