//! Sees what hyper mends in a head of HTTP/1 without a word, and another parser would read differently.
//!
//! hyper drops `Content-Length` beside `Transfer-Encoding`, a second `Content-Length` and a fragment in the
//! target before anybody can look. Either may hide a second request from whatever stands before or behind us (RFC 9112 §6.3,
//! §11.2), so such a request is refused: this watch reads the lines of the head as they pass.

/// Watches the head of one request, whose bytes may come in pieces.
#[derive(Debug)]
pub struct HeadWatch {
    /// What has come of a head that is not whole yet. Nearly every head comes whole, and is not copied.
    part: Vec<u8>,
    /// The head is whole; what follows is a body, or another head that hyper reads by its own rules.
    whole: bool,
}

/// A head that is longer is refused for its size.
const HEAD_BYTES_MAX: usize = 128 * 1024;

impl HeadWatch {
    /// Nothing has come yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { part: Vec::new(), whole: false }
    }

    /// Takes the next bytes; says whether the head, once it is whole, can be read in two ways.
    pub fn inspect(&mut self, bytes: &[u8]) -> bool {
        if self.whole {
            return false;
        }
        if self.part.is_empty()
            && let Some(ambiguous) = judge(bytes)
        {
            self.whole = true;
            return ambiguous;
        }
        if self.part.len() + bytes.len() > HEAD_BYTES_MAX {
            self.whole = true;
            self.part = Vec::new();
            return false;
        }
        let searched = self.part.len().saturating_sub(3);
        self.part.extend_from_slice(bytes);
        // Judged only once the end has come, so that a head in many pieces is not read again and again.
        if !has_end(&self.part[searched..]) {
            return false;
        }
        match judge(&self.part) {
            Some(ambiguous) => {
                self.whole = true;
                self.part = Vec::new();
                ambiguous
            }
            // Nothing but empty lines so far.
            None => false,
        }
    }
}

impl Default for HeadWatch {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether an empty line is among these bytes. A bare line feed, which hyper takes too, ends a line as well.
fn has_end(bytes: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', bytes).any(|feed| is_end(&bytes[feed + 1..]))
}

/// Whether the line that begins here is empty.
fn is_end(line: &[u8]) -> bool {
    matches!(line, [b'\n', ..] | [b'\r', b'\n', ..])
}

/// Reads a head line by line; `None` where its end has not come. Most lines cost a look at one byte.
fn judge(bytes: &[u8]) -> Option<bool> {
    // Empty lines before a request are passed over (RFC 9112 §2.2), as hyper does.
    let bytes = bytes.trim_ascii_start();
    let (mut lengths, mut coding, mut target_has_fragment) = (0, false, None);
    for feed in memchr::memchr_iter(b'\n', bytes) {
        if target_has_fragment.is_none() {
            target_has_fragment = Some(memchr::memchr(b'#', &bytes[..feed]).is_some());
        }
        let line = &bytes[feed + 1..];
        match line.first()? {
            b'c' | b'C' => lengths += u32::from(names(line, b"content-length:")),
            b't' | b'T' => coding |= names(line, b"transfer-encoding:"),
            b'\r' | b'\n' if is_end(line) => {
                return Some(target_has_fragment == Some(true) || lengths > 1 || (lengths == 1 && coding));
            }
            _ => {}
        }
    }
    None
}

fn names(line: &[u8], name: &[u8]) -> bool {
    line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AMBIGUOUS: [&str; 6] = [
        "GET /x HTTP/1.1\r\nContent-Length: 4\r\ncontent-length: 4\r\n\r\n",
        "\r\n\r\nGET /x HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET /x HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 0\r\n\r\nbody",
        "GET /x HTTP/1.1\ncontent-length: 4\nTRANSFER-ENCODING: x\n\n",
        "GET /x#y HTTP/1.1\r\nhost: a\r\n\r\n",
    ];
    const PLAIN: [&str; 4] = [
        "GET /x HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\ntransfer-encoding: chunked\r\n\r\n",
        "GET /x HTTP/1.1\r\nx: content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nx: #\r\n\r\n#",
        "GET / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n",
    ];

    fn in_pieces(bytes: &str, piece: usize) -> bool {
        let mut watch = HeadWatch::new();
        bytes.as_bytes().chunks(piece).filter(|piece| watch.inspect(piece)).count() > 0
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_seen_however_it_comes() {
        for piece in 1..100 {
            for head in AMBIGUOUS {
                assert!(in_pieces(head, piece), "{head:?} in pieces of {piece}");
            }
            for head in PLAIN {
                assert!(!in_pieces(head, piece), "{head:?} in pieces of {piece}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_give_the_same_verdict(text in "[a-zTC:#\\-\r\n ]{0,200}", piece in 1_usize..40) {
            prop_assert_eq!(in_pieces(&text, piece), in_pieces(&text, 1000));
        }
    }
}
