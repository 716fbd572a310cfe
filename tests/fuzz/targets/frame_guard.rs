//! Any bytes on a unidirectional stream: the guard's verdict equals that of a simple implementation of RFC
//! 9114, however the bytes are split.

#![no_main]

use gateway::transport::FrameGuard;
use libfuzzer_sys::fuzz_target;

const MAX: u64 = 1000;
const CONTROL: u64 = 0;
const CANCEL_PUSH: u64 = 0x3;
const SETTINGS: u64 = 0x4;
const GOAWAY: u64 = 0x7;
const MAX_PUSH_ID: u64 = 0xd;

/// One variable-length integer and the rest; `None` if it is not complete.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let length = 1 << (bytes.first()? >> 6);
    let (number, rest) = bytes.split_at_checked(length)?;
    let first = u64::from(number[0] & 0x3f);
    Some((number[1..].iter().fold(first, |value, byte| value << 8 | u64::from(*byte)), rest))
}

/// Whether these frames violate RFC 9114 §6.2.1 or §7.2, as far as they have arrived.
fn is_violation(mut bytes: &[u8]) -> bool {
    let (mut has_settings, mut push_id_max) = (false, 0);
    while let Some((kind, rest)) = varint(bytes) {
        let is_settings = kind == SETTINGS;
        if is_settings == has_settings || matches!(kind, 0..=2 | 5 | 6 | 8 | 9) {
            return true;
        }
        has_settings = true;
        let Some((length, rest)) = varint(rest) else { return false };
        let is_id = matches!(kind, CANCEL_PUSH | GOAWAY | MAX_PUSH_ID);
        if length > MAX || is_id && length == 0 {
            return true;
        }
        let length = usize::try_from(length).expect("at most MAX");
        let payload = &rest[..length.min(rest.len())];
        let is_complete = payload.len() == length;
        if is_settings && is_bad_settings(payload, is_complete) {
            return true;
        }
        if is_id {
            match varint(payload) {
                None if is_complete => return true,
                None => return false,
                Some(_) if id_bytes(payload) != length || kind == CANCEL_PUSH => return true,
                Some((id, _)) if kind == MAX_PUSH_ID => {
                    if id < push_id_max {
                        return true;
                    }
                    push_id_max = id;
                }
                Some(_) => {}
            }
        }
        if !is_complete {
            return false;
        }
        bytes = &rest[length..];
    }
    false
}

/// The length of the integer at the start of a payload.
fn id_bytes(payload: &[u8]) -> usize {
    1 << (payload[0] >> 6)
}

/// Whether settings have an identifier of HTTP/2, or end within one or before its value.
fn is_bad_settings(mut payload: &[u8], is_complete: bool) -> bool {
    while !payload.is_empty() {
        let Some((setting, rest)) = varint(payload) else { return is_complete };
        if matches!(setting, 0 | 2..=5) {
            return true;
        }
        let Some((_, rest)) = varint(rest) else { return is_complete };
        payload = rest;
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
        Some((CONTROL, rest)) => is_violation(rest),
        _ => false,
    };
    assert_eq!(verdict(FrameGuard::new(MAX), bytes, piece), expected);
    assert_eq!(verdict(FrameGuard::new(MAX), bytes, usize::MAX), expected);
});
