//! The Huffman code of QPACK's strings (RFC 9204 §4.1.2), which is HPACK's (RFC 7541, Appendix B).
//!
//! The code is canonical: shorter codes come before longer ones, and codes of the same length are in the
//! order of their symbols. So the tables are computed from the lengths alone.

use bytes::BytesMut;

/// A string is not valid in the Huffman code (RFC 7541 §5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotHuffman;

/// Decodes `coded` and appends the result. After an error, the appended bytes are meaningless.
///
/// # Errors
/// [`NotHuffman`] for an end-of-string symbol, or padding of eight or more bits or with other bits than ones.
pub(super) fn decode(coded: &[u8], text: &mut BytesMut) -> Result<(), NotHuffman> {
    let begin = text.len();
    // No code is shorter than five bits.
    text.resize(begin + coded.len() * 8 / 5, 0);
    let (places, mut length) = (&mut text[begin..], 0);
    let mut rest = coded;
    // The next bits, from the highest on; `count` of them were taken from `rest`. After those come zeros, or
    // bits that will be taken next.
    let (mut bits, mut count) = (0_u64, 0_u32);
    loop {
        if let Some(word) = rest.first_chunk::<8>() {
            bits |= u64::from_be_bytes(*word) >> count;
            let bytes = (63 - count) / 8;
            rest = &rest[bytes as usize..];
            count += bytes * 8;
        } else {
            while let Some((byte, behind)) = rest.split_first()
                && count <= 56
            {
                bits |= u64::from(*byte) << (56 - count);
                rest = behind;
                count += 8;
            }
        }
        loop {
            let mut symbol = SHORT[(bits >> 56) as usize];
            if u32::from(symbol.bits) > count {
                if symbol.bits == LONG {
                    symbol = long(bits)?;
                }
                if u32::from(symbol.bits) > count {
                    break;
                }
            }
            places[length] = symbol.byte;
            length += 1;
            bits <<= symbol.bits;
            count -= u32::from(symbol.bits);
        }
        if rest.is_empty() {
            break;
        }
    }
    text.truncate(begin + length);
    let is_padding = count < 8 && bits.leading_ones() >= count;
    if is_padding { Ok(()) } else { Err(NotHuffman) }
}

#[derive(Clone, Copy)]
struct Symbol {
    byte: u8,
    /// The length of its code in bits.
    bits: u8,
}

/// The symbol whose code of more than eight bits is first in `bits`.
#[cold]
fn long(bits: u64) -> Result<Symbol, NotHuffman> {
    let next = (bits >> 32) as u32;
    for codes in &BY_LENGTH[SHORT_BITS + 1..] {
        if next < codes.end {
            let place = (next >> (32 - codes.bits)) - codes.first;
            return Ok(Symbol { byte: SORTED[codes.place + place as usize], bits: codes.bits });
        }
    }
    // Thirty ones, the end-of-string symbol, must not occur in a string.
    Err(NotHuffman)
}

const SHORT_BITS: usize = 8;
const LONGEST_BITS: usize = 30;

/// The codes of one length.
#[derive(Clone, Copy)]
struct Codes {
    bits: u8,
    /// The first of them.
    first: u32,
    /// The first code after them, its bits shifted up to the highest of 32.
    end: u32,
    /// Where their symbols start in [`SORTED`].
    place: usize,
}

static BY_LENGTH: [Codes; LONGEST_BITS + 1] = BY_LENGTH_AND_SORTED.0;
/// All symbols in the order of their codes.
static SORTED: [u8; 256] = BY_LENGTH_AND_SORTED.1;

const BY_LENGTH_AND_SORTED: ([Codes; LONGEST_BITS + 1], [u8; 256]) = {
    let mut codes = [Codes { bits: 0, first: 0, end: 0, place: 0 }; LONGEST_BITS + 1];
    let mut sorted = [0; 256];
    let (mut code, mut place, mut length) = (0_u32, 0, 1);
    while length <= LONGEST_BITS {
        code <<= 1;
        codes[length].bits = length as u8;
        codes[length].first = code;
        codes[length].place = place;
        let mut byte = 0;
        while byte < 256 {
            if CODE_BITS[byte] as usize == length {
                sorted[place] = byte as u8;
                place += 1;
                code += 1;
            }
            byte += 1;
        }
        codes[length].end = code << (32 - length);
        length += 1;
    }
    (codes, sorted)
};

/// Marks a code of more than eight bits; larger than any length.
const LONG: u8 = u8::MAX;

/// The code at the start of each byte: complete, or [`LONG`].
static SHORT: [Symbol; 256] = {
    let mut table = [Symbol { byte: 0, bits: LONG }; 256];
    let mut length = 1;
    while length <= SHORT_BITS {
        let codes = BY_LENGTH_AND_SORTED.0[length];
        let mut byte = (codes.first << (SHORT_BITS - length)) as usize;
        let end = (codes.end >> (32 - SHORT_BITS)) as usize;
        while byte < end {
            let place = codes.place + (byte >> (SHORT_BITS - length)) - codes.first as usize;
            table[byte] = Symbol { byte: BY_LENGTH_AND_SORTED.1[place], bits: length as u8 };
            byte += 1;
        }
        length += 1;
    }
    table
};

/// The length of each byte's Huffman code in bits (RFC 7541, Appendix B).
#[rustfmt::skip]
const CODE_BITS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Encodes a text by the canonical codes, one bit at a time.
    pub(in super::super) fn encode(text: &[u8]) -> Vec<u8> {
        let mut bits = Vec::new();
        for byte in text {
            let length = usize::from(CODE_BITS[usize::from(*byte)]);
            let codes = BY_LENGTH[length];
            let place = SORTED[codes.place..].iter().position(|symbol| symbol == byte).unwrap();
            let code = codes.first + u32::try_from(place).unwrap();
            bits.extend((0..length).rev().map(|bit| code >> bit & 1 == 1));
        }
        let to_byte =
            |bits: &[bool]| (0..8).fold(0, |byte, bit| byte << 1 | u8::from(*bits.get(bit).unwrap_or(&true)));
        bits.chunks(8).map(to_byte).collect()
    }

    fn decoded(coded: &[u8]) -> Result<Vec<u8>, NotHuffman> {
        let mut text = BytesMut::from(&b"before"[..]);
        decode(coded, &mut text)?;
        Ok(text.strip_prefix(b"before").unwrap().to_vec())
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<_> = text.split_whitespace().collect();
        let digits = digits.concat();
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn the_examples_of_the_rfc_are_decoded() {
        // RFC 7541, Appendix C.4 and C.6.
        for (coded, text) in [
            ("f1e3 c2e5 f23a 6ba0 ab90 f4ff", "www.example.com"),
            ("a8eb 1064 9cbf", "no-cache"),
            ("25a8 49e9 5ba9 7d7f", "custom-key"),
            ("25a8 49e9 5bb8 e8b4 bf", "custom-value"),
            ("6402", "302"),
            ("aec3 771a 4b", "private"),
            ("d07a be94 1054 d444 a820 0595 040b 8166 e082 a62d 1bff", "Mon, 21 Oct 2013 20:13:21 GMT"),
            ("9d29 ad17 1863 c78f 0b97 c8e9 ae82 ae43 d3", "https://www.example.com"),
            (
                "94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
                "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
            ),
        ] {
            assert_eq!(decoded(&hex(coded)).unwrap(), text.as_bytes(), "{text}");
            assert_eq!(encode(text.as_bytes()), hex(coded), "{text}");
        }
    }

    #[test]
    fn padding_is_of_ones_and_shorter_than_a_byte() {
        assert_eq!(decoded(&[]).unwrap(), b"");
        // `a` is 00011, `0` is 00000.
        assert_eq!(decoded(&[0b0001_1111]).unwrap(), b"a");
        assert_eq!(decoded(&[0b0000_0111]).unwrap(), b"0");
        for wrong in [
            &[0b0001_1110][..],
            &[0b0001_1011],
            &[0b0000_0000],
            &[0b0001_1111, 0xff],
            &[0xff],
            &[0xff; 2],
            &[0xff; 4],
            &[0xff; 20],
            // A symbol of eight bits, `&`, and the end of a text in its thirty bits.
            &[0xf8, 0xff, 0xff, 0xff, 0xff],
        ] {
            assert_eq!(decoded(wrong), Err(NotHuffman), "{wrong:x?}");
        }
        assert_eq!(decoded(&[0xf8]).unwrap(), b"&");
    }

    #[test]
    fn every_byte_reads_back() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(decoded(&encode(&all)).unwrap(), all);
        for byte in all {
            assert_eq!(decoded(&encode(&[byte])).unwrap(), [byte]);
        }
    }

    proptest! {
        #[test]
        fn any_text_reads_back(text: Vec<u8>) {
            prop_assert_eq!(decoded(&encode(&text)).unwrap(), text);
        }

        #[test]
        fn every_text_has_only_one_encoding(coded: Vec<u8>) {
            if let Ok(text) = decoded(&coded) {
                prop_assert_eq!(encode(&text), coded);
            }
        }
    }
}
