//! The JSON of answers, written on the path of every request.
//!
//! Ours rather than `serde_json`'s writer for one reason: that one looks at each byte of each text by itself, which
//! was a sixth of what a request cost. This one looks at eight at once, and hands whatever is not
//! everyday (texts with signs to escape, floats) to `serde_json`, so that both write the same.

use std::cell::RefCell;

use bytes::{Bytes, BytesMut};
use serde::Serialize;
use serde::ser::{self, Error as _};
use serde_json::Error;

thread_local! {
    /// Where a body is written before its length is known.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// The block that small bodies are cut from, so that most answers allocate nothing for theirs.
    static BLOCK: RefCell<BytesMut> = RefCell::new(BytesMut::with_capacity(BLOCK_BYTES));
}

/// The scratch is given back beyond this size, so that one large answer does not keep its memory.
const SCRATCH_BYTES_KEPT: usize = 64 * 1024;
const BLOCK_BYTES: usize = 4096;
/// Larger bodies get memory of their own: one that waits for a slow client holds no whole block then.
const SMALL_BYTES_MAX: usize = 512;

/// Writes a value behind what is there, as `serde_json` does, without blanks.
///
/// # Errors
/// What the value's own `Serialize` refuses, and maps whose keys are neither texts nor numbers; then part of
/// it may have been written.
pub fn write(value: &(impl Serialize + ?Sized), text: &mut Vec<u8>) -> Result<(), Error> {
    value.serialize(&mut Writer { text })
}

/// The same as a body.
///
/// # Errors
/// As [`write()`].
pub(crate) fn to_bytes(value: &impl Serialize) -> Result<Bytes, Error> {
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.clear();
        write(value, scratch)?;
        let body = if scratch.len() > SMALL_BYTES_MAX {
            Bytes::copy_from_slice(scratch)
        } else {
            BLOCK.with_borrow_mut(|block| {
                block.extend_from_slice(scratch);
                block.split().freeze()
            })
        };
        scratch.shrink_to(SCRATCH_BYTES_KEPT);
        Ok(body)
    })
}

struct Writer<'t> {
    text: &'t mut Vec<u8>,
}

/// Members or elements that are being written, up to the bracket that closes them.
struct Group<'w, 't> {
    writer: &'w mut Writer<'t>,
    is_empty: bool,
    close: &'static [u8],
}

impl<'t> Writer<'t> {
    fn group(&mut self, open: &'static [u8], close: &'static [u8]) -> Group<'_, 't> {
        self.signs(open);
        Group { writer: self, is_empty: true, close }
    }

    /// Writes one or two signs: for them, copying a slice is more work than writing each.
    fn signs(&mut self, signs: &'static [u8]) {
        signs.iter().for_each(|sign| self.text.push(*sign));
    }

    fn string(&mut self, string: &str) -> Result<(), Error> {
        let begin = self.text.len();
        self.text.reserve(string.len() + 2);
        self.text.push(b'"');
        if !push_plain(self.text, string.as_bytes()) {
            self.text.truncate(begin);
            return serde_json::to_writer(&mut *self.text, string);
        }
        self.text.push(b'"');
        Ok(())
    }

    fn integer(&mut self, integer: impl itoa::Integer) -> Result<(), Error> {
        self.text.extend_from_slice(itoa::Buffer::new().format(integer).as_bytes());
        Ok(())
    }
}

/// Writes a text that stands in JSON as it is: no quote, no backslash, no control character (RFC 8259 §7). Where it
/// does not, `false`, and part of it may have been written.
///
/// Pieces of one size are looked at and copied in the same step: copying a text of any length is a call each
/// time.
fn push_plain(text: &mut Vec<u8>, plain: &[u8]) -> bool {
    if plain.len() < 4 {
        text.extend_from_slice(plain);
        return plain.iter().all(|byte| !matches!(byte, 0..0x20 | b'"' | b'\\'));
    }
    let (eights, rest) = plain.as_chunks::<8>();
    for eight in eights {
        text.extend_from_slice(eight);
        if is_special(u64::from_le_bytes(*eight)) {
            return false;
        }
    }
    // The rest is the end of the last eight bytes, or of the last four: what they have more is there already.
    if let (1.., Some(last)) = (rest.len(), plain.last_chunk::<8>()) {
        text.truncate(text.len() - (8 - rest.len()));
        text.extend_from_slice(last);
        return !is_special(u64::from_le_bytes(*last));
    }
    if let (1.., Some(first), Some(last)) = (rest.len(), rest.first_chunk::<4>(), rest.last_chunk::<4>()) {
        text.extend_from_slice(first);
        text.truncate(text.len() - (8 - rest.len()));
        text.extend_from_slice(last);
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        return !is_special(u64::from(first) << 32 | u64::from(last));
    }
    true
}

/// Whether one of eight bytes does not stand in JSON as it is: a quote, a backslash or a control character
/// (RFC 8259 §7).
const fn is_special(eight: u64) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x80 * ONES;
    let control = eight.wrapping_sub(0x20 * ONES);
    let quote = (eight ^ (ONES * b'"' as u64)).wrapping_sub(ONES);
    let backslash = (eight ^ (ONES * b'\\' as u64)).wrapping_sub(ONES);
    // A byte below what was taken from it has borrowed its highest bit, which it did not have itself.
    (control | quote | backslash) & !eight & HIGH != 0
}

impl<'w, 't> ser::Serializer for &'w mut Writer<'t> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Group<'w, 't>;
    type SerializeTuple = Group<'w, 't>;
    type SerializeTupleStruct = Group<'w, 't>;
    type SerializeTupleVariant = Group<'w, 't>;
    type SerializeMap = Group<'w, 't>;
    type SerializeStruct = Group<'w, 't>;
    type SerializeStructVariant = Group<'w, 't>;

    fn serialize_bool(self, value: bool) -> Result<(), Error> {
        self.text.extend_from_slice(if value { b"true" } else { b"false" });
        Ok(())
    }

    fn serialize_i8(self, value: i8) -> Result<(), Error> {
        self.integer(value)
    }

    fn serialize_i16(self, value: i16) -> Result<(), Error> {
        self.integer(value)
    }

    fn serialize_i32(self, value: i32) -> Result<(), Error> {
        self.integer(value)
    }

    fn serialize_i64(self, value: i64) -> Result<(), Error> {
        self.integer(value)
    }

    fn serialize_i128(self, value: i128) -> Result<(), Error> {
        self.integer(value)
    }

    fn serialize_u8(self, value: u8) -> Result<(), Error> {
        self.integer(value)
    }

    fn serialize_u16(self, value: u16) -> Result<(), Error> {
        self.integer(value)
    }

    fn serialize_u32(self, value: u32) -> Result<(), Error> {
        self.integer(value)
    }

    fn serialize_u64(self, value: u64) -> Result<(), Error> {
        self.integer(value)
    }

    fn serialize_u128(self, value: u128) -> Result<(), Error> {
        self.integer(value)
    }

    fn serialize_f32(self, value: f32) -> Result<(), Error> {
        serde_json::to_writer(&mut *self.text, &value)
    }

    fn serialize_f64(self, value: f64) -> Result<(), Error> {
        serde_json::to_writer(&mut *self.text, &value)
    }

    fn serialize_char(self, value: char) -> Result<(), Error> {
        self.string(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), Error> {
        self.string(value)
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Error> {
        self.collect_seq(value)
    }

    fn serialize_none(self) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        self.text.extend_from_slice(b"null");
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), Error> {
        self.string(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        let mut group = self.group(b"{", b"}");
        group.member(variant, value)?;
        group.close()
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Group<'w, 't>, Error> {
        Ok(self.group(b"[", b"]"))
    }

    fn serialize_tuple(self, _: usize) -> Result<Group<'w, 't>, Error> {
        Ok(self.group(b"[", b"]"))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Group<'w, 't>, Error> {
        Ok(self.group(b"[", b"]"))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Group<'w, 't>, Error> {
        self.text.push(b'{');
        self.string(variant)?;
        Ok(self.group(b":[", b"]}"))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Group<'w, 't>, Error> {
        Ok(self.group(b"{", b"}"))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Group<'w, 't>, Error> {
        Ok(self.group(b"{", b"}"))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Group<'w, 't>, Error> {
        self.text.push(b'{');
        self.string(variant)?;
        Ok(self.group(b":{", b"}}"))
    }
}

impl Group<'_, '_> {
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.comma();
        value.serialize(&mut *self.writer)
    }

    fn member<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Error> {
        self.comma();
        self.writer.string(name)?;
        self.writer.text.push(b':');
        value.serialize(&mut *self.writer)
    }

    /// What stands between one and the next.
    fn comma(&mut self) {
        if !std::mem::take(&mut self.is_empty) {
            self.writer.text.push(b',');
        }
    }

    fn close(self) -> Result<(), Error> {
        self.writer.signs(self.close);
        Ok(())
    }
}

impl ser::SerializeMap for Group<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.comma();
        let begin = self.writer.text.len();
        key.serialize(&mut *self.writer)?;
        let text = &mut *self.writer.text;
        match text.get(begin) {
            Some(b'"') => {}
            // Numbers and truth values become texts.
            Some(b'0'..=b'9' | b'-' | b't' | b'f') => {
                text.insert(begin, b'"');
                text.push(b'"');
            }
            _ => return Err(Error::custom("key must be a string")),
        }
        text.push(b':');
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        value.serialize(&mut *self.writer)
    }

    fn end(self) -> Result<(), Error> {
        self.close()
    }
}

/// What serde asks of groups, by one trait for each kind of value.
macro_rules! groups {
    ($($kind:ident, $asked:ident($($name:ident)?), $done:ident;)*) => {$(
        impl ser::$kind for Group<'_, '_> {
            type Ok = ();
            type Error = Error;

            fn $asked<T: Serialize + ?Sized>(
                &mut self,
                $($name: &'static str,)?
                value: &T,
            ) -> Result<(), Error> {
                self.$done($($name,)? value)
            }

            fn end(self) -> Result<(), Error> {
                self.close()
            }
        }
    )*};
}

groups! {
    SerializeSeq, serialize_element(), element;
    SerializeTuple, serialize_element(), element;
    SerializeTupleStruct, serialize_field(), element;
    SerializeTupleVariant, serialize_field(), element;
    SerializeStruct, serialize_field(name), member;
    SerializeStructVariant, serialize_field(name), member;
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde::Serialize;
    use serde_json::Value;

    use super::*;

    fn same<T: Serialize>(value: &T) {
        let written = to_bytes(value).map_err(|error| error.to_string());
        let expected = serde_json::to_vec(value).map(Bytes::from).map_err(|error| error.to_string());
        assert_eq!(written, expected);
    }

    #[derive(Serialize)]
    struct Unit;

    #[derive(Serialize)]
    struct Pair(u8, Option<&'static str>);

    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    enum Shape {
        Dot,
        Circle(f64),
        Line(i8, i8),
        Box { wide: u16, high: u16 },
    }

    #[derive(Serialize)]
    struct All {
        unit: Unit,
        pair: Pair,
        shapes: Vec<Shape>,
        tuple: (bool, char, char),
        bytes: [i64; 2],
        numbers: BTreeMap<i32, u128>,
        truths: BTreeMap<bool, i128>,
        #[serde(flatten)]
        more: BTreeMap<String, f32>,
    }

    #[test]
    fn every_kind_of_value_is_written_as_serde_json_writes_it() {
        let shapes =
            vec![Shape::Dot, Shape::Circle(f64::NAN), Shape::Line(-1, 2), Shape::Box { wide: 3, high: 4 }];
        same(&All {
            unit: Unit,
            pair: Pair(255, None),
            shapes,
            tuple: (true, '"', 'ß'),
            bytes: [i64::MIN, i64::MAX],
            numbers: [(-1, 0), (1, u128::MAX)].into(),
            truths: [(false, i128::MIN)].into(),
            more: [("a\n".to_owned(), 0.1)].into(),
        });
        same(&Vec::<u8>::new());
        same(&BTreeMap::from([(vec![1], 2)]));
        same(&BTreeMap::from([(None::<u8>, 2)]));
        same(&"x".repeat(SMALL_BYTES_MAX));
    }

    #[test]
    fn one_answer_is_not_another_ones() {
        let (first, second) = (to_bytes(&"first").unwrap(), to_bytes(&"second").unwrap());
        assert_eq!((&first[..], &second[..]), (&br#""first""#[..], &br#""second""#[..]));
    }

    proptest! {
        #[test]
        fn any_text_is_written_as_serde_json_writes_it(text in ".{0,40}|[ -~\\x00-\\x7f]{0,40}") {
            same(&text);
            same(&Value::Object([(text, Value::Null)].into_iter().collect()));
        }
    }
}
