//! A raw HTTP/2 client that sends single frames, also those that no library would send.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use crate::Raw;

/// The frame types of RFC 9113 §6.
pub mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// The flags END_STREAM (or ACK) and END_HEADERS.
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its type, of [`kind`].
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream, 0 for the connection.
    pub stream: u32,
    /// Its payload.
    pub payload: Vec<u8>,
}

impl Frame {
    /// `:status`, if this is an answer's HEADERS (read without a dynamic table: see [`RawH2::connect`]).
    pub fn status(&self) -> Option<u16> {
        let mut block = self.payload.as_slice();
        if self.kind != kind::HEADERS {
            return None;
        }
        // A dynamic table size update may come before the first field; it has several bytes if all bits of
        // its prefix are set.
        while block.first()? & 0xe0 == 0x20 {
            let is_long = block[0] & 0x1f == 0x1f;
            block = &block[1..];
            while is_long && block.first()? & 0x80 != 0 {
                block = &block[1..];
            }
            block = &block[usize::from(is_long)..];
        }
        match *block.first()? {
            indexed @ 0x88..=0x8e => Some([200, 204, 206, 304, 400, 404, 500][usize::from(indexed - 0x88)]),
            // A literal value for the static names 8 to 14, all `:status`.
            literal if matches!(literal & 0x0f, 8..=14) && literal & 0x80 == 0 => {
                let length = usize::from(*block.get(1)? & 0x7f);
                let value = block.get(2..2 + length)?;
                let digits = if block[1] & 0x80 == 0 {
                    String::from_utf8(value.to_vec()).ok()?
                } else {
                    digits(value)
                };
                digits.parse().ok()
            }
            _ => None,
        }
    }

    /// The error code of a GOAWAY or RST_STREAM.
    pub fn error_code(&self) -> Option<u32> {
        let from = match self.kind {
            kind::GOAWAY => 4,
            kind::RST_STREAM => 0,
            _ => return None,
        };
        Some(u32::from_be_bytes(self.payload.get(from..from + 4)?.try_into().ok()?))
    }

    /// Whether the stream ends with it.
    pub fn ends_stream(&self) -> bool {
        matches!(self.kind, kind::DATA | kind::HEADERS) && self.flags & END_STREAM != 0
    }
}

/// The digits of a Huffman-coded number (RFC 7541 appendix B).
fn digits(coded: &[u8]) -> String {
    let bits: Vec<u8> = coded.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let mut rest = bits.as_slice();
    let mut text = String::new();
    let number = |bits: &[u8]| bits.iter().fold(0_u8, |number, bit| number << 1 | bit);
    while rest.len() >= 5 {
        let short = number(&rest[..5]);
        if short <= 2 {
            text.push(char::from(b'0' + short));
            rest = &rest[5..];
        } else if let Some(long) = rest.get(..6).map(number)
            && (0x19..=0x1f).contains(&long)
        {
            text.push(char::from(b'3' + long - 0x19));
            rest = &rest[6..];
        } else {
            break;
        }
    }
    text
}

/// The bytes of a frame.
///
/// # Panics
/// When the payload is longer than a frame can carry.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame is short").to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The header block of a request, nothing indexed that would change a table.
pub fn request_block(method: &str, path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = vec![0x86]; // :scheme http
    let all = [(":method", method), (":path", path), (":authority", "localhost")];
    for (name, value) in all.iter().chain(fields) {
        literal(&mut block, name, value);
    }
    block
}

/// Appends one field to a header block, not indexed, not compressed.
pub fn literal(block: &mut Vec<u8>, name: &str, value: &str) {
    block.push(0);
    for text in [name, value] {
        length(block, text.len());
        block.extend(text.as_bytes());
    }
}

/// An integer with a prefix of seven bits (RFC 7541 §5.1).
fn length(block: &mut Vec<u8>, length: usize) {
    let Some(mut rest) = length.checked_sub(127) else {
        block.push(u8::try_from(length).expect("it is below 127"));
        return;
    };
    block.push(127);
    while rest >= 128 {
        block.push(u8::try_from(rest % 128).expect("a remainder of 128") | 128);
        rest /= 128;
    }
    block.push(u8::try_from(rest).expect("it is below 128"));
}

/// A connection in cleartext after its preface.
pub struct RawH2 {
    raw: Raw,
}

impl RawH2 {
    /// Connects and sends the preface with a header table of size 0, so that answers read without state.
    pub async fn connect(address: SocketAddr) -> Self {
        let mut raw = Raw::connect(address).await;
        raw.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        raw.write(&frame(kind::SETTINGS, 0, 0, &[0, 1, 0, 0, 0, 0])).await;
        Self { raw }
    }

    /// Sends bytes; false once the other side no longer accepts them.
    pub async fn write(&mut self, bytes: &[u8]) -> bool {
        self.raw.write(bytes).await
    }

    /// Sends a `GET` with these fields on a stream.
    pub async fn get(&mut self, stream: u32, path: &str, fields: &[(&str, &str)]) -> bool {
        let block = request_block("GET", path, fields);
        self.write(&frame(kind::HEADERS, END_STREAM | END_HEADERS, stream, &block)).await
    }

    /// The next frame; `None` at the end or when none comes in time.
    pub async fn next(&mut self, deadline: Instant) -> Option<Frame> {
        let head = self.raw.read_exact(9, deadline).await?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
        let Some(payload) = self.raw.read_exact(length, deadline).await else {
            // The rest may come later.
            self.raw.put_back(&head);
            return None;
        };
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// Reads until `wanted` frame; `None` when it does not come in time.
    pub async fn find(&mut self, within: Duration, wanted: impl Fn(&Frame) -> bool) -> Option<Frame> {
        let deadline = Instant::now() + within;
        loop {
            let next = self.next(deadline).await?;
            if wanted(&next) {
                return Some(next);
            }
        }
    }

    /// The status of the response on a stream; `None` when there is none in time.
    pub async fn status(&mut self, stream: u32, within: Duration) -> Option<u16> {
        self.find(within, |frame| frame.stream == stream && frame.kind == kind::HEADERS).await?.status()
    }

    /// The frames until the other side closes, and whether it did in time.
    pub async fn read_to_end(&mut self, within: Duration) -> (Vec<Frame>, bool) {
        let deadline = Instant::now() + within;
        let mut frames = Vec::new();
        while let Some(next) = self.next(deadline).await {
            frames.push(next);
        }
        (frames, Instant::now() < deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_reads_plain_indexed_and_huffman_coded() {
        let headers =
            |payload: &[u8]| Frame { kind: kind::HEADERS, flags: 4, stream: 1, payload: payload.to_vec() };
        assert_eq!(headers(&[0x88]).status(), Some(200));
        assert_eq!(headers(&[0x20, 0x8c]).status(), Some(400));
        assert_eq!(headers(b"\x48\x03429").status(), Some(429));
        // RFC 7541 C.6.1: 302.
        assert_eq!(headers(&[0x48, 0x82, 0x64, 0x02]).status(), Some(302));
    }

    #[test]
    fn long_values_have_their_length_in_more_than_one_byte() {
        let mut block = Vec::new();
        length(&mut block, 126);
        length(&mut block, 127);
        length(&mut block, 300);
        assert_eq!(block, [126, 127, 0, 127, 0xad, 1]);
    }
}
