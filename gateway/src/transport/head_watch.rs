//! Sees what hyper mends in a head of HTTP/1 without a word, and another parser would read differently.
//!
//! hyper drops `Content-Length` beside `Transfer-Encoding` and a fragment in the target before anybody
//! can look. Either may hide a second request from whatever stands before or behind us (RFC 9112 §6.3,
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
const END: &[u8] = b"\r\n\r\n";

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
        if self.part.is_empty() {
            if let Some(end) = find_end(bytes) {
                self.whole = true;
                return is_ambiguous(&bytes[..end]);
            }
        } else if self.part.len() + bytes.len() > HEAD_BYTES_MAX {
            self.whole = true;
            return false;
        }
        // The end may lie across the border of two pieces.
        let searched = self.part.len().saturating_sub(END.len() - 1);
        self.part.extend_from_slice(bytes);
        let Some(end) = find_end(&self.part[searched..]) else { return false };
        self.whole = true;
        let head = std::mem::take(&mut self.part);
        is_ambiguous(&head[..searched + end])
    }
}

impl Default for HeadWatch {
    fn default() -> Self {
        Self::new()
    }
}

/// Where the empty line begins. A bare line feed, which hyper takes too, counts as well.
fn find_end(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(feed) = memchr::memchr(b'\n', &bytes[from..]) {
        let feed = from + feed;
        match bytes[feed + 1..] {
            [b'\n', ..] | [b'\r', b'\n', ..] => return Some(feed),
            _ => from = feed + 1,
        }
    }
    None
}

fn is_ambiguous(head: &[u8]) -> bool {
    let mut lines = head.split(|byte| *byte == b'\n');
    let target_has_fragment = lines.next().is_some_and(|line| memchr::memchr(b'#', line).is_some());
    let (mut length, mut coding) = (false, false);
    for line in lines {
        // Few fields begin with either letter: most lines cost one comparison.
        match line.first() {
            Some(b'c' | b'C') => length |= names(line, b"content-length:"),
            Some(b't' | b'T') => coding |= names(line, b"transfer-encoding:"),
            _ => {}
        }
    }
    target_has_fragment || (length && coding)
}

fn names(line: &[u8], name: &[u8]) -> bool {
    line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AMBIGUOUS: [&str; 4] = [
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
