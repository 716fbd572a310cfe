//! Sees what h3 mends in a head without a word, and another parser would read differently.
//!
//! h3 takes the last of two `:path`s, a pseudo-header behind a field and one that is an answer's, and the
//! path's type drops a fragment. RFC 9114 §4.3 calls each of them malformed. This walk over the encoded field lines
//! (RFC 9204 §4.5) looks at names and lengths and decodes no text: h3 has, and has refused what is no QPACK.

/// Whether the pseudo-headers of a request stand before its fields, once each, and `path` is all that
/// `:path` said.
pub(super) fn is_well_formed(section: &[u8], path: &str) -> bool {
    walk(Lines(section), path).is_some()
}

/// `None` where it is not.
fn walk(mut lines: Lines<'_>, path: &str) -> Option<()> {
    // The prefix: it says that no dynamic table is used, and we announce none.
    lines.integer(8)?;
    lines.integer(7)?;
    let (mut seen, mut fields_begun) = (0, false);
    while let Some((name, value)) = lines.next()? {
        let Name::Pseudo(pseudo) = name else {
            fields_begun = true;
            continue;
        };
        if fields_begun || seen & pseudo != 0 || pseudo == FOREIGN {
            return None;
        }
        seen |= pseudo;
        if pseudo == PATH && !value.is_as_long_as(path.as_bytes()) {
            return None;
        }
    }
    Some(())
}

/// A line's name, as far as it matters.
enum Name {
    /// One of the bits below.
    Pseudo(u8),
    Field,
}

const METHOD: u8 = 1;
const SCHEME: u8 = 2;
const AUTHORITY: u8 = 4;
const PATH: u8 = 8;
/// An answer's, or one of CONNECT.
const FOREIGN: u8 = 16;

impl Name {
    /// A name of the static table (RFC 9204, Appendix A).
    const fn indexed(index: u64) -> Self {
        match index {
            0 => Self::Pseudo(AUTHORITY),
            1 => Self::Pseudo(PATH),
            15..=21 => Self::Pseudo(METHOD),
            22 | 23 => Self::Pseudo(SCHEME),
            24..=28 | 63..=71 => Self::Pseudo(FOREIGN),
            _ => Self::Field,
        }
    }

    fn literal(text: &Text<'_>) -> Self {
        let name = |plain: &[u8], coded: &[u8]| text.bytes == if text.coded { coded } else { plain };
        // A colon is the seven bits 1011100.
        let is_pseudo = |first: &u8| if text.coded { first >> 1 == 0x5c } else { *first == b':' };
        if !text.bytes.first().is_some_and(is_pseudo) {
            Self::Field
        } else if name(b":method", &[0xb9, 0x49, 0x53, 0x39, 0xe4]) {
            Self::Pseudo(METHOD)
        } else if name(b":scheme", &[0xb8, 0x82, 0x4e, 0x5a, 0x4b]) {
            Self::Pseudo(SCHEME)
        } else if name(b":authority", &[0xb8, 0x3b, 0x53, 0x39, 0xec, 0x32, 0x7d, 0x7f]) {
            Self::Pseudo(AUTHORITY)
        } else if name(b":path", &[0xb9, 0x58, 0xd3, 0x3f]) {
            Self::Pseudo(PATH)
        } else {
            Self::Pseudo(FOREIGN)
        }
    }
}

/// A text as it was sent: as it is, or in the Huffman code.
struct Text<'t> {
    coded: bool,
    bytes: &'t [u8],
}

impl Text<'_> {
    /// Whether this can be `plain`, by its length. A text of which something was dropped is longer: the
    /// shortest code has five bits, a fragment's `#` twelve, and less than eight are filled up at the end.
    fn is_as_long_as(&self, plain: &[u8]) -> bool {
        let length = if self.coded {
            plain.iter().map(|byte| usize::from(CODE_BITS[usize::from(*byte)])).sum::<usize>().div_ceil(8)
        } else {
            plain.len()
        };
        self.bytes.len() == length
    }
}

/// The field lines that are left.
struct Lines<'l>(&'l [u8]);

impl<'l> Lines<'l> {
    /// The next line; `Some(None)` is the end, `None` what cannot be read.
    fn next(&mut self) -> Option<Option<(Name, Text<'l>)>> {
        let Some(&first) = self.0.first() else { return Some(None) };
        Some(Some(if first & 0x80 != 0 {
            // An indexed line, of the static table.
            let index = (first & 0x40 != 0).then(|| self.integer(6))??;
            // The only path there is `/`.
            (Name::indexed(index), Text { coded: false, bytes: b"/" })
        } else if first & 0x40 != 0 {
            let index = (first & 0x10 != 0).then(|| self.integer(4))??;
            (Name::indexed(index), self.text(7)?)
        } else if first & 0x20 != 0 {
            (Name::literal(&self.text(3)?), self.text(7)?)
        } else {
            // Of the dynamic table, which is empty.
            return None;
        }))
    }

    /// An integer whose first byte has `prefix` bits of it (RFC 9204 §4.1.1).
    fn integer(&mut self, prefix: u8) -> Option<u64> {
        let mut next = || {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            Some(u64::from(byte))
        };
        let full = (1 << prefix) - 1;
        let mut value = next()? & full;
        if value == full {
            let mut shift = 0_u32;
            loop {
                let byte = next()?;
                value = value.checked_add((byte & 0x7f).checked_shl(shift).filter(|_| shift < 56)?)?;
                shift += 7;
                if byte & 0x80 == 0 {
                    break;
                }
            }
        }
        Some(value)
    }

    /// A text whose length has a prefix of `prefix` bits, behind the bit that says how it is coded.
    fn text(&mut self, prefix: u8) -> Option<Text<'l>> {
        let coded = self.0.first()? & 1 << prefix != 0;
        let length = usize::try_from(self.integer(prefix)?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(Text { coded, bytes })
    }
}

/// The bits of each byte's Huffman code (RFC 7541, Appendix B).
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GET: u8 = 0xc0 | 17;
    const HTTPS: u8 = 0xc0 | 23;
    const ACCEPT: u8 = 0xc0 | 29;
    const STATUS: u8 = 0xc0 | 25;

    fn section(lines: &[&[u8]]) -> Vec<u8> {
        [&[0, 0], &lines.concat()[..]].concat()
    }

    /// A literal with a name of the static table.
    fn named(index: u8, value: &str) -> Vec<u8> {
        [&[0x50 | index, u8::try_from(value.len()).unwrap()], value.as_bytes()].concat()
    }

    /// A literal with a literal name of at most six bytes.
    fn literal(name: &str, value: &str) -> Vec<u8> {
        let lengths = [name.len(), value.len()].map(|length| u8::try_from(length).unwrap());
        [&[0x20 | lengths[0]], name.as_bytes(), &lengths[1..], value.as_bytes()].concat()
    }

    #[test]
    fn a_head_as_it_should_be_passes() {
        let (authority, path) = (named(0, "localhost"), named(1, "/a.json?b"));
        let host = literal("x-host", "localhost");
        for lines in [
            vec![&[GET][..], &[HTTPS], &authority, &path, &[ACCEPT], &host, &host],
            vec![&path, &[HTTPS], &[GET]],
            vec![&[GET][..], &[HTTPS], &literal(":path", "/a.json?b"), &[ACCEPT]],
            // `:path` and its value in the Huffman code.
            vec![&[GET], &[0x2c, 0xb9, 0x58, 0xd3, 0x3f, 9], b"/a.json?b"],
            vec![&[GET], &[0x51, 0x87, 0x60, 0x6b, 0xf4, 0x41, 0xea, 0xff, 0x23]],
        ] {
            let bytes = section(&lines);
            assert!(is_well_formed(&bytes, "/a.json?b"), "{bytes:x?}");
        }
        assert!(is_well_formed(&section(&[&[GET, HTTPS], &authority, &[0xc1, ACCEPT]]), "/"));
    }

    #[test]
    fn pseudo_headers_stand_once_before_the_fields_and_are_a_requests() {
        let path = named(1, "/");
        for lines in [
            vec![&[GET][..], &path, &path],
            vec![&[GET, 0xc1][..], &path],
            vec![&[GET][..], &path, &literal(":path", "/")],
            vec![&[GET][..], &path, &[0x2c, 0xb9, 0x58, 0xd3, 0x3f, 1, b'/']],
            vec![&[GET, GET][..], &path],
            vec![&[GET, HTTPS, 0xc0 | 22][..], &path],
            vec![&[GET][..], &path, &named(0, "a"), &named(0, "a")],
            vec![&[GET, ACCEPT][..], &path],
            vec![&[GET, STATUS][..], &path],
            vec![&[STATUS, GET][..], &path],
            vec![&literal(":x", "1"), &[GET][..], &path],
        ] {
            let bytes = section(&lines);
            assert!(!is_well_formed(&bytes, "/"), "{bytes:x?}");
        }
    }

    #[test]
    fn a_path_is_all_that_was_sent() {
        assert!(!is_well_formed(&section(&[&[GET], &named(1, "/a#b")]), "/a"));
        assert!(!is_well_formed(&section(&[&[GET], &named(1, "/a#")]), "/a"));
        assert!(!is_well_formed(&section(&[&[GET], &named(1, "")]), "/"));
        // `/a` and `/a#` in the Huffman code: 011000 00011, and 111111111010 behind it.
        assert!(is_well_formed(&section(&[&[GET, 0x51, 0x82, 0x60, 0x7f]]), "/a"));
        assert!(!is_well_formed(&section(&[&[GET, 0x51, 0x83, 0x60, 0x7f, 0xf5]]), "/a"));
    }

    #[test]
    fn long_numbers_are_read_and_endless_ones_are_not() {
        let path = format!("/{}", "a".repeat(299));
        // 300 is 127 and 173: 0x7f, 0xad, 0x01.
        let bytes = [&section(&[&[GET, 0x51, 0x7f, 0xad, 0x01]])[..], path.as_bytes()].concat();
        assert!(is_well_formed(&bytes, &path));
        assert!(!is_well_formed(&[&[0, 0, 0xff], &[0xff; 40][..]].concat(), "/"));
        assert!(!is_well_formed(&[0], "/"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged(bytes: Vec<u8>, path: String) {
            let _ = is_well_formed(&bytes, &path);
        }
    }
}
