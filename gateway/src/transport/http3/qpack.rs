//! QPACK without a dynamic table (RFC 9204 §4.5): lines of the static table and literals.
//!
//! The settings announce a dynamic table of size 0, so nothing may refer to one, and no section waits for
//! another stream. A string is decoded only when it is needed; see [`Text`].

use bytes::{BufMut as _, BytesMut};

use super::huffman;
use super::static_table::{Entry, STATIC_TABLE};

/// A section is not QPACK, or has an invalid reference: `QPACK_DECOMPRESSION_FAILED`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Undecodable;

/// A field line.
#[derive(Debug)]
pub(super) enum Line<'s> {
    /// Name and value of the static table.
    Known(&'static Entry),
    /// A name of the static table and a value.
    Named(&'static Entry, Text<'s>),
    /// A name and a value.
    Literal(Text<'s>, Text<'s>),
}

/// A string as it was sent: plain or Huffman-coded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text<'s> {
    is_huffman: bool,
    bytes: &'s [u8],
}

impl Text<'_> {
    /// Appends the decoded string.
    pub(super) fn write(&self, text: &mut BytesMut) -> Result<(), Undecodable> {
        if self.is_huffman {
            return huffman::decode(self.bytes, text).map_err(|_| Undecodable);
        }
        text.extend_from_slice(self.bytes);
        Ok(())
    }
}

/// The remaining lines of a section.
#[derive(Debug)]
pub(super) struct Lines<'s>(&'s [u8]);

impl<'s> Lines<'s> {
    /// Parses the prefix of a section (RFC 9204 §4.5.1).
    pub(super) fn of(section: &'s [u8]) -> Result<Self, Undecodable> {
        let mut lines = Self(section);
        let required_inserts = lines.integer(8)?;
        let is_negative = lines.first()? & 0x80 != 0;
        lines.integer(7)?;
        // The base matters only to lines of the dynamic table, but must not be negative.
        if required_inserts == 0 && !is_negative { Ok(lines) } else { Err(Undecodable) }
    }

    /// The next line; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Line<'s>>, Undecodable> {
        let Ok(first) = self.first() else { return Ok(None) };
        Ok(Some(match first {
            0b1100_0000.. => Line::Known(entry(self.integer(6)?)?),
            0b0101_0000..=0b0101_1111 | 0b0111_0000..=0b0111_1111 => {
                Line::Named(entry(self.integer(4)?)?, self.text(7)?)
            }
            0b0010_0000..=0b0011_1111 => Line::Literal(self.text(3)?, self.text(7)?),
            // Of the dynamic table, which is empty.
            _ => return Err(Undecodable),
        }))
    }

    fn first(&self) -> Result<u8, Undecodable> {
        self.0.first().copied().ok_or(Undecodable)
    }

    /// An integer whose first byte has `prefix` bits of it (RFC 9204 §4.1.1), of at least 62 bits.
    fn integer(&mut self, prefix: u32) -> Result<u64, Undecodable> {
        let (&first, mut rest) = self.0.split_first().ok_or(Undecodable)?;
        let full = u8::MAX >> (8 - prefix);
        let mut value = u64::from(first & full);
        if value == u64::from(full) {
            let mut shift = 0;
            loop {
                let (&byte, behind) = rest.split_first().ok_or(Undecodable)?;
                rest = behind;
                if shift > 56 {
                    return Err(Undecodable);
                }
                value += u64::from(byte & 0x7f) << shift;
                shift += 7;
                if byte & 0x80 == 0 {
                    break;
                }
            }
        }
        self.0 = rest;
        Ok(value)
    }

    /// A string whose length has a prefix of `prefix` bits, after the bit for Huffman coding.
    fn text(&mut self, prefix: u32) -> Result<Text<'s>, Undecodable> {
        let is_huffman = self.first()? & 1 << prefix != 0;
        let length = usize::try_from(self.integer(prefix)?).map_err(|_| Undecodable)?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(Undecodable)?;
        self.0 = rest;
        Ok(Text { is_huffman, bytes })
    }
}

fn entry(index: u64) -> Result<&'static Entry, Undecodable> {
    usize::try_from(index).ok().and_then(|index| STATIC_TABLE.get(index)).ok_or(Undecodable)
}

/// Writes the prefix of a section that refers to no dynamic table.
pub(super) fn write_prefix(section: &mut BytesMut) {
    section.put_slice(&[0, 0]);
}

/// Writes a line whose name and value are in the static table.
pub(super) fn write_indexed(section: &mut BytesMut, index: usize) {
    write_integer(section, 0b1100_0000, 6, index);
}

/// Writes a line whose name is in the static table.
pub(super) fn write_named(section: &mut BytesMut, index: usize, value: &[u8]) {
    write_integer(section, 0b0101_0000, 4, index);
    write_text(section, 0, 7, value);
}

/// Writes a line as literals. The Huffman code is not used, because encoding costs more than encrypting the
/// bytes that it would save.
pub(super) fn write_literal(section: &mut BytesMut, name: &[u8], value: &[u8]) {
    write_text(section, 0b0010_0000, 3, name);
    write_text(section, 0, 7, value);
}

fn write_text(section: &mut BytesMut, first: u8, prefix: u32, text: &[u8]) {
    write_integer(section, first, prefix, text.len());
    section.put_slice(text);
}

fn write_integer(section: &mut BytesMut, first: u8, prefix: u32, value: usize) {
    let full = u8::MAX >> (8 - prefix);
    if value < usize::from(full) {
        return section.put_u8(first | value as u8);
    }
    section.put_u8(first | full);
    let mut rest = value - usize::from(full);
    while rest >= 0x80 {
        section.put_u8(rest as u8 | 0x80);
        rest >>= 7;
    }
    section.put_u8(rest as u8);
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Writes a line as a peer may send it, Huffman-coded or not.
    pub(in super::super) fn write_literal_coded(
        section: &mut BytesMut,
        name: &[u8],
        value: &[u8],
        is_huffman: bool,
    ) {
        if !is_huffman {
            return write_literal(section, name, value);
        }
        write_text(section, 0b0010_1000, 3, &huffman::tests::encode(name));
        write_text(section, 0b1000_0000, 7, &huffman::tests::encode(value));
    }

    type Field = (Vec<u8>, Vec<u8>);

    fn read(section: &[u8]) -> Result<Vec<Field>, Undecodable> {
        let text = |text: Text<'_>| {
            let mut bytes = BytesMut::new();
            text.write(&mut bytes).map(|()| bytes.to_vec())
        };
        let mut lines = Lines::of(section)?;
        let mut read = Vec::new();
        while let Some(line) = lines.next()? {
            read.push(match line {
                Line::Known(entry) => {
                    let (name, value) = entry.texts();
                    (name.into(), value.into())
                }
                Line::Named(entry, value) => (entry.texts().0.into(), text(value)?),
                Line::Literal(name, value) => (text(name)?, text(value)?),
            });
        }
        Ok(read)
    }

    #[test]
    fn the_example_of_the_rfc_is_decoded() {
        // RFC 9204, Appendix B.1.
        let bytes = [&[0, 0, 0x51, 0x0b][..], b"/index.html"].concat();
        assert_eq!(read(&bytes), Ok(vec![(b":path".to_vec(), b"/index.html".to_vec())]));
    }

    #[test]
    fn references_to_a_dynamic_table_are_refused() {
        for wrong in [
            // Appendix B.2: an insert is required.
            &[0x03, 0x81, 0x10, 0x11][..],
            &[0x01, 0x00],
            // A base below zero.
            &[0x00, 0x80],
            // Indexed, by name, and the same post-base.
            &[0, 0, 0x80],
            &[0, 0, 0x40, 0],
            &[0, 0, 0x60, 0],
            &[0, 0, 0x10],
            &[0, 0, 0x00, 0],
            // There are 99 lines in the static table.
            &[0, 0, 0xff, 99 - 63],
            &[0, 0, 0x5f, 99 - 15, 0],
        ] {
            assert_eq!(read(wrong), Err(Undecodable), "{wrong:x?}");
        }
        assert_eq!(read(&[0, 0, 0xff, 98 - 63]).unwrap().len(), 1);
        assert_eq!(read(&[0, 0x7f, 0x10]), Ok(vec![]));
    }

    #[test]
    fn truncated_and_endless_sections_are_refused() {
        let sections = [
            &[0, 0, 0x5f, 80, 0x83, 0x63, 0x63, 0x63, 0x23, b'a', b'b', b'c', 1, b'x', 0x51, 0x7f, 0][..],
            &[b'/'; 127],
        ]
        .concat();
        assert_eq!(read(&sections).unwrap().len(), 3);
        for end in (0..sections.len()).filter(|end| ![2, 8, 14].contains(end)) {
            assert_eq!(read(&sections[..end]), Err(Undecodable), "cut at {end}");
        }
        for wrong in [[&[0, 0, 0x51, 0x7f][..], &[0xff; 9], &[1]].concat(), [&[0xff; 30][..]].concat()] {
            assert_eq!(read(&wrong), Err(Undecodable), "{wrong:x?}");
        }
    }

    proptest! {
        #[test]
        fn any_section_reads_back(
            lines: Vec<(Vec<u8>, Vec<u8>, bool)>,
            indexed in proptest::collection::vec(0..STATIC_TABLE.len(), 0..9),
        ) {
            let mut section = BytesMut::new();
            write_prefix(&mut section);
            let mut expected = Vec::new();
            for (name, value, is_huffman) in lines {
                write_literal_coded(&mut section, &name, &value, is_huffman);
                expected.push((name, value));
            }
            for index in indexed {
                let (name, value) = STATIC_TABLE[index].texts();
                write_indexed(&mut section, index);
                write_named(&mut section, index, b"another");
                expected.extend([(name.into(), value.into()), (name.into(), b"another".to_vec())]);
            }
            prop_assert_eq!(read(&section), Ok(expected));
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(section: Vec<u8>) {
            let _ = read(&section);
        }
    }
}
