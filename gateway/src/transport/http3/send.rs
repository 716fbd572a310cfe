//! Encodes and sends responses: HEADERS and DATA, in one piece if small.
//!
//! The client's SETTINGS_MAX_FIELD_SECTION_SIZE, which is advisory (RFC 9114 §4.2.2), is ignored: the fields
//! of a response are less than a kilobyte, and a client with a lower limit could not be sent any response.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::future::{Either, select};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::BodyExt as _;

use super::head;
use super::qpack;
use super::static_table::{Entry, STATIC_TABLE};
use crate::transport::{ResponseBody, within};

const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;

/// The size of a memory block that the heads of many responses are cut from.
const BLOCK_BYTES: usize = 8192;
/// Content up to this size is copied after its head, so that quinn keeps one piece instead of two.
const COPIED_BYTES_MAX: usize = 1024;

thread_local! {
    static BLOCK: RefCell<BytesMut> = RefCell::new(BytesMut::with_capacity(BLOCK_BYTES));
}

/// Why a response was not sent completely.
pub(super) enum SendError {
    /// The client cancelled it, or the connection is closed.
    Stopped,
    /// The client read nothing for too long.
    Late,
    /// The body failed.
    Body,
}

/// Sends a response within the client's window and ends the stream.
///
/// # Errors
/// [`SendError`]; the caller must reset the stream.
pub(super) async fn send<B: ResponseBody>(
    stream: &mut quinn::SendStream,
    response: Response<B>,
    limit: Duration,
) -> Result<(), SendError> {
    let (mut parts, mut body) = response.into_parts();
    let length = body.size_hint().exact();
    // Content that is available already is sent with the head.
    let first = poll_fn(|context| Poll::Ready(Pin::new(&mut body).poll_frame(context))).await;
    let content = match first {
        Poll::Ready(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
        Poll::Ready(Some(Err(_))) => return Err(SendError::Body),
        Poll::Ready(None) | Poll::Pending => Bytes::new(),
    };
    let sent = content.len();
    let pieces = encode(parts.status, &parts.headers, length, content);
    // Dropped now, because this future lives until the client has read everything.
    head::recycle(std::mem::take(&mut parts.headers));
    drop(parts);
    write(stream, [pieces.0, pieces.1], limit).await?;
    body.sent(sent);
    while !body.is_end_stream() {
        let frame = match poll_fn(|context| Poll::Ready(Pin::new(&mut body).poll_frame(context))).await {
            Poll::Ready(frame) => frame,
            Poll::Pending => match select(body.frame(), pin!(stream.stopped())).await {
                Either::Left((frame, _)) => frame,
                Either::Right(_) => return Err(SendError::Stopped),
            },
        };
        match frame {
            None => break,
            Some(Err(_)) => return Err(SendError::Body),
            Some(Ok(frame)) => {
                let data = frame.into_data().unwrap_or_default();
                if !data.is_empty() {
                    let sent = data.len();
                    let mut head = BytesMut::new();
                    write_frame_head(&mut head, DATA, sent);
                    write(stream, [head.freeze(), data], limit).await?;
                    body.sent(sent);
                }
            }
        }
    }
    body.complete();
    // An error means that the client has stopped the stream.
    let _ = stream.finish();
    Ok(())
}

/// Writes up to two pieces; the client must read some of them within every `limit`.
async fn write(
    stream: &mut quinn::SendStream,
    mut pieces: [Bytes; 2],
    limit: Duration,
) -> Result<(), SendError> {
    let count = if pieces[1].is_empty() { 1 } else { 2 };
    let mut rest = &mut pieces[..count];
    while !rest.is_empty() {
        let written = within(limit, stream.write_chunks(rest)).await.ok_or(SendError::Late)?;
        let written = written.map_err(|_| SendError::Stopped)?;
        rest = &mut rest[written.chunks..];
    }
    Ok(())
}

/// Encodes the head of a response, and its content: after the head if small, else as a separate piece.
fn encode(status: StatusCode, fields: &HeaderMap, length: Option<u64>, content: Bytes) -> (Bytes, Bytes) {
    BLOCK.with_borrow_mut(|block| {
        write_head(block, status, fields, length);
        if content.is_empty() {
            return (block.split().freeze(), content);
        }
        write_frame_head(block, DATA, content.len());
        if content.len() > COPIED_BYTES_MAX {
            return (block.split().freeze(), content);
        }
        block.put_slice(&content);
        (block.split().freeze(), Bytes::new())
    })
}

/// Writes a HEADERS frame; `length` is the content's, used if the fields do not have it.
fn write_head(frame: &mut BytesMut, status: StatusCode, fields: &HeaderMap, length: Option<u64>) {
    frame.put_u8(HEADERS);
    // Its length is filled in at the end.
    let length_at = frame.len();
    frame.put_u32(0);
    let begin = frame.len();
    qpack::write_prefix(frame);
    write_status(frame, status);
    for (name, value) in fields {
        write_field(frame, name.as_str(), value);
    }
    if let Some(length) = length.filter(|length| *length > 0 && !fields.contains_key(header::CONTENT_LENGTH))
    {
        let mut digits = itoa::Buffer::new();
        qpack::write_named(frame, CONTENT_LENGTH, digits.format(length).as_bytes());
    }
    let bytes = (frame.len() - begin) as u32;
    frame[length_at..begin].copy_from_slice(&(VARINT_4 | bytes).to_be_bytes());
}

/// A QUIC variable-length integer of four bytes, which has room for 30 bits (RFC 9000 §16).
const VARINT_4: u32 = 0x8000_0000;

fn write_frame_head(frame: &mut BytesMut, kind: u8, length: usize) {
    frame.put_u8(kind);
    match length {
        0..0x40 => frame.put_u8(length as u8),
        0x40..0x4000 => frame.put_u16(0x4000 | length as u16),
        0x4000..0x4000_0000 => frame.put_u32(VARINT_4 | length as u32),
        _ => frame.put_u64(0xc000_0000_0000_0000 | length as u64),
    }
}

const STATUS: usize = 24;
const CONTENT_LENGTH: usize = 4;

fn write_status(section: &mut BytesMut, status: StatusCode) {
    // Statuses of the static table.
    match status.as_u16() {
        200 => qpack::write_indexed(section, 25),
        404 => qpack::write_indexed(section, 27),
        503 => qpack::write_indexed(section, 28),
        204 => qpack::write_indexed(section, 64),
        400 => qpack::write_indexed(section, 67),
        403 => qpack::write_indexed(section, 68),
        421 => qpack::write_indexed(section, 69),
        425 => qpack::write_indexed(section, 70),
        500 => qpack::write_indexed(section, 71),
        _ => qpack::write_named(section, STATUS, status.as_str().as_bytes()),
    }
}

fn write_field(section: &mut BytesMut, name: &str, value: &HeaderValue) {
    let Some((first, last)) = static_name_lines(name) else {
        return qpack::write_literal(section, name.as_bytes(), value.as_bytes());
    };
    for (index, entry) in STATIC_TABLE.iter().enumerate().take(last + 1).skip(first) {
        if matches!(entry, Entry::Field(_, entry_value) if entry_value == value) {
            return qpack::write_indexed(section, index);
        }
    }
    qpack::write_named(section, first, value.as_bytes());
}

/// The first and the last line of the static table with this name, for names that responses use.
fn static_name_lines(name: &str) -> Option<(usize, usize)> {
    Some(match name {
        "age" => (2, 2),
        "date" => (6, 6),
        "etag" => (7, 7),
        "link" => (11, 11),
        "vary" => (59, 60),
        "alt-svc" => (83, 83),
        "location" => (12, 12),
        "content-type" => (44, 54),
        "cache-control" => (36, 41),
        "last-modified" => (10, 10),
        "content-length" => (CONTENT_LENGTH, CONTENT_LENGTH),
        "content-encoding" => (42, 43),
        "x-frame-options" => (97, 98),
        "x-content-type-options" => (61, 61),
        "content-security-policy" => (85, 85),
        "strict-transport-security" => (56, 58),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::qpack::{Line, Lines};
    use super::*;

    /// The fields of a response's head, `:status` first, and the bytes after it.
    fn read(bytes: &Bytes) -> (Vec<(String, Vec<u8>)>, Bytes) {
        assert_eq!(bytes[0], HEADERS);
        let length = u32::from_be_bytes(bytes[1..5].try_into().unwrap()) & !VARINT_4;
        let end = 5 + usize::try_from(length).unwrap();
        let mut lines = Lines::of(&bytes[5..end]).unwrap();
        let mut fields = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            let mut text = BytesMut::new();
            fields.push(match line {
                Line::Known(entry) => (entry.texts().0.to_owned(), entry.texts().1.into()),
                Line::Named(entry, value) => {
                    value.write(&mut text).unwrap();
                    (entry.texts().0.to_owned(), text.to_vec())
                }
                Line::Literal(name, value) => {
                    name.write(&mut text).unwrap();
                    let name = String::from_utf8(text.split().to_vec()).unwrap();
                    value.write(&mut text).unwrap();
                    (name, text.to_vec())
                }
            });
        }
        (fields, bytes.slice(end..))
    }

    fn fields(fields: &[(&'static str, &str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect::<HeaderMap>()
    }

    #[test]
    fn a_small_response_is_one_piece() {
        let all = [
            ("content-type", "application/json"),
            ("cache-control", "no-store"),
            ("date", "Sun, 22 Nov 2026 05:00:00 GMT"),
            ("x-request-id", "1"),
        ];
        let (piece, rest) = encode(StatusCode::OK, &fields(&all), Some(2), Bytes::from_static(b"{}"));
        assert!(rest.is_empty());
        let (read, content) = read(&piece);
        let expected: Vec<_> =
            [(":status", "200")].iter().chain(&all).chain(&[("content-length", "2")]).collect();
        assert_eq!(read.len(), expected.len());
        for ((name, value), expected) in read.iter().zip(expected) {
            assert_eq!((name.as_str(), str::from_utf8(value).unwrap()), *expected);
        }
        assert_eq!(content, &b"\0\x02{}"[..]);
        // Complete lines of the static table take a byte each.
        assert_eq!(piece[5..10], [0, 0, 0xc0 | 25, 0xc0 | 46, 0xc0 | 40]);
    }

    #[test]
    fn large_content_is_not_copied() {
        let content = Bytes::from(vec![b'x'; 70_000]);
        let (piece, rest) = encode(StatusCode::OK, &HeaderMap::new(), Some(70_000), content.clone());
        assert_eq!(rest.as_ptr(), content.as_ptr());
        assert_eq!(read(&piece).1, &[0, 0x80, 0x01, 0x11, 0x70][..]);
    }

    #[test]
    fn content_length_is_sent_once_and_only_with_content() {
        let length = |fields: &HeaderMap, length| {
            let (piece, _) = encode(StatusCode::OK, fields, length, Bytes::new());
            let (fields, content) = read(&piece);
            assert!(content.is_empty());
            fields
                .into_iter()
                .filter(|(name, _)| name == "content-length")
                .map(|(_, value)| value)
                .collect::<Vec<_>>()
        };
        assert_eq!(length(&fields(&[("content-length", "9")]), Some(0)), [b"9"]);
        assert_eq!(length(&fields(&[("content-length", "9")]), Some(9)), [b"9"]);
        assert_eq!(length(&HeaderMap::new(), Some(7)), [b"7"]);
        assert_eq!(length(&HeaderMap::new(), Some(0)), Vec::<Vec<u8>>::new());
        assert_eq!(length(&HeaderMap::new(), None), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn the_indexes_into_the_static_table_are_right() {
        for entry in &STATIC_TABLE {
            let (name, _) = entry.texts();
            let Some((first, last)) = static_name_lines(name) else { continue };
            for (index, entry) in STATIC_TABLE.iter().enumerate() {
                assert_eq!(entry.texts().0 == name, (first..=last).contains(&index), "{name}");
            }
        }
        for status in 100..1000 {
            let status = StatusCode::from_u16(status).unwrap();
            let (piece, _) = encode(status, &HeaderMap::new(), None, Bytes::new());
            assert_eq!(read(&piece).0, [(":status".to_owned(), status.as_str().into())]);
        }
    }

    proptest! {
        #[test]
        fn any_fields_read_back(
            all in proptest::collection::vec(("[a-z][a-z-]{0,200}", "[ -~]{0,300}"), 0..20),
        ) {
            let map: HeaderMap = all
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), HeaderValue::try_from(value).unwrap()))
                .collect();
            let (piece, _) = encode(StatusCode::IM_A_TEAPOT, &map, None, Bytes::new());
            let mut read = read(&piece).0.into_iter();
            prop_assert_eq!(read.next(), Some((":status".to_owned(), b"418".to_vec())));
            let expected: Vec<_> =
                map.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
            prop_assert_eq!(read.collect::<Vec<_>>(), expected);
        }
    }
}
