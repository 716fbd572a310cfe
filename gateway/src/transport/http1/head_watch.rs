//! Detects ambiguities in HTTP/1 heads that hyper silently resolves, but another parser might resolve
//! differently.
//!
//! hyper drops `Content-Length` beside `Transfer-Encoding`, a second `Content-Length` and a fragment in the
//! target before a service sees them. Each may hide a second request from a proxy in front of the gateway or
//! behind it (RFC 9112 §6.3, §11.2), so such a request is refused. The watch reads the lines of every head as
//! they arrive, so it must know where each content ends. It accepts the strict grammar only: at the first
//! byte that hyper might interpret differently, it loses track, and no later request of the connection is
//! served.

/// Watches the bytes of one connection, which may arrive in any pieces.
pub struct HeadWatch {
    expects: Expects,
    framing: Framing,
    lines: Lines,
    /// How many complete, unambiguous heads have arrived.
    clear_heads: u64,
}

/// What comes next.
#[derive(Debug)]
enum Expects {
    /// A request; empty lines before it are skipped (RFC 9112 §2.2).
    Request,
    RequestLine,
    Field,
    Content(u64),
    ChunkSize,
    ChunkContent(u64),
    ChunkEnd,
    Trailer,
    /// The watch has lost track.
    Nothing,
}

impl HeadWatch {
    /// A watch for a new connection.
    #[must_use]
    pub fn new() -> Self {
        Self { expects: Expects::Request, framing: Framing::new(), lines: Lines::new(), clear_heads: 0 }
    }

    /// Takes the next bytes. When it loses track, it returns how many heads before were unambiguous: later
    /// requests must not be served.
    pub fn inspect(&mut self, mut bytes: &[u8]) -> Option<u64> {
        while !bytes.is_empty() {
            self.expects = match &mut self.expects {
                Expects::Request => {
                    let start = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n'))?;
                    bytes = &bytes[start..];
                    self.framing = Framing::new();
                    Expects::RequestLine
                }
                Expects::RequestLine => {
                    let found = memchr::memchr2(b'\n', b'#', bytes)?;
                    let is_fragment = bytes[found] == b'#';
                    bytes = &bytes[found + 1..];
                    self.framing.ambiguous |= is_fragment;
                    if is_fragment { Expects::RequestLine } else { Expects::Field }
                }
                Expects::Field => {
                    if !fields(&mut self.framing, &mut self.lines, &mut bytes) {
                        return None;
                    }
                    if !self.framing.ambiguous {
                        self.clear_heads += 1;
                    }
                    self.framing.content()
                }
                Expects::Content(left) => match pass(left, &mut bytes) {
                    true => Expects::Request,
                    false => return None,
                },
                Expects::ChunkSize => match self.lines.next(&mut bytes)?.chunk_size() {
                    Some(0) => Expects::Trailer,
                    Some(size) => Expects::ChunkContent(size),
                    None => Expects::Nothing,
                },
                Expects::ChunkContent(left) => match pass(left, &mut bytes) {
                    true => Expects::ChunkEnd,
                    false => return None,
                },
                Expects::ChunkEnd => match self.lines.next(&mut bytes)? {
                    line if line.is_empty() && line.ends_in_return() => Expects::ChunkSize,
                    _ => Expects::Nothing,
                },
                Expects::Trailer => match self.lines.next(&mut bytes)? {
                    line if !line.ends_in_return() => Expects::Nothing,
                    line if line.is_empty() => Expects::Request,
                    _ => Expects::Trailer,
                },
                Expects::Nothing => return None,
            };
            if matches!(self.expects, Expects::Nothing) {
                return Some(self.clear_heads);
            }
        }
        None
    }

    /// Whether a head has arrived only in part.
    #[must_use]
    pub const fn is_in_head(&self) -> bool {
        matches!(self.expects, Expects::RequestLine | Expects::Field)
    }
}

impl Default for HeadWatch {
    fn default() -> Self {
        Self::new()
    }
}

/// Reads fields; returns whether the head has ended. For most lines, only one byte is examined.
#[inline]
fn fields(framing: &mut Framing, lines: &mut Lines, bytes: &mut &[u8]) -> bool {
    if lines.length > 0 {
        match lines.next(bytes) {
            Some(line) if line.is_empty() => return true,
            Some(line) => framing.read(&line),
            None => return false,
        }
    }
    let mut start = 0;
    for feed in memchr::memchr_iter(b'\n', bytes) {
        let line = &bytes[start..feed];
        start = feed + 1;
        match line {
            [] | [b'\r'] => {
                *bytes = &bytes[start..];
                return true;
            }
            // Possibly `Content-Length` or `Transfer-Encoding`: few other names have a dash at these
            // positions.
            [b'c' | b'C', _, _, _, _, _, _, b'-', ..] | [b't' | b'T', _, _, _, _, _, _, _, b'-', ..] => {
                framing.read(&Line::whole(line));
            }
            _ => {}
        }
    }
    lines.keep(&bytes[start..]);
    false
}

/// Skips up to `left` bytes; returns whether that was all of them.
fn pass(left: &mut u64, bytes: &mut &[u8]) -> bool {
    let passed = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
    *left -= passed as u64;
    *bytes = &bytes[passed..];
    *left == 0
}

/// The framing of the content that a head declares.
#[derive(Debug)]
struct Framing {
    length: Option<u64>,
    chunked: bool,
    ambiguous: bool,
}

impl Framing {
    const fn new() -> Self {
        Self { length: None, chunked: false, ambiguous: false }
    }

    fn read(&mut self, line: &Line<'_>) {
        if let Some(value) = line.value(b"content-length:") {
            let length = value.and_then(|digits| number(digits, 10));
            self.ambiguous |= self.length.is_some() || self.chunked || length.is_none();
            self.length = length;
        } else if let Some(value) = line.value(b"transfer-encoding:") {
            let chunked = value.is_some_and(|coding| coding.eq_ignore_ascii_case(b"chunked"));
            self.ambiguous |= self.length.is_some() || self.chunked || !chunked;
            self.chunked = true;
        }
    }

    /// What comes after the head.
    const fn content(&self) -> Expects {
        match (self.ambiguous, self.chunked, self.length) {
            (true, ..) => Expects::Nothing,
            (false, true, _) => Expects::ChunkSize,
            (false, false, None | Some(0)) => Expects::Request,
            (false, false, Some(length)) => Expects::Content(length),
        }
    }
}

/// How much is kept of a line that arrives in pieces: enough for every legitimate length or coding.
const LINE_BYTES_MAX: usize = 64;

/// Splits bytes into lines. A bare line feed, which hyper accepts, ends one too.
#[derive(Debug)]
struct Lines {
    /// The start of an incomplete line, its full length, and its last byte.
    part: [u8; LINE_BYTES_MAX],
    length: usize,
    last: u8,
}

/// A line without its line feed.
struct Line<'l> {
    /// The part of it that is examined, at most [`LINE_BYTES_MAX`].
    start: &'l [u8],
    length: usize,
    last: u8,
}

impl Lines {
    const fn new() -> Self {
        Self { part: [0; LINE_BYTES_MAX], length: 0, last: 0 }
    }

    /// The next line, if it is complete; otherwise its start is kept.
    fn next<'l, 'b: 'l>(&'l mut self, bytes: &mut &'b [u8]) -> Option<Line<'l>> {
        let Some(feed) = memchr::memchr(b'\n', bytes) else {
            self.keep(std::mem::take(bytes));
            return None;
        };
        let (piece, rest) = (&bytes[..feed], &bytes[feed + 1..]);
        *bytes = rest;
        if self.length == 0 {
            return Some(Line::whole(piece));
        }
        self.keep(piece);
        let length = std::mem::take(&mut self.length);
        Some(Line { start: &self.part[..length.min(LINE_BYTES_MAX)], length, last: self.last })
    }

    fn keep(&mut self, piece: &[u8]) {
        let Some(last) = piece.last() else { return };
        let begin = self.length.min(LINE_BYTES_MAX);
        let kept = piece.len().min(LINE_BYTES_MAX - begin);
        self.part[begin..begin + kept].copy_from_slice(&piece[..kept]);
        self.length = self.length.saturating_add(piece.len());
        self.last = *last;
    }
}

impl<'l> Line<'l> {
    fn whole(line: &'l [u8]) -> Self {
        let (length, last) = (line.len(), line.last().copied().unwrap_or(0));
        Self { start: &line[..length.min(LINE_BYTES_MAX)], length, last }
    }

    const fn is_empty(&self) -> bool {
        self.length == 0 || (self.length == 1 && self.last == b'\r')
    }

    const fn ends_in_return(&self) -> bool {
        self.last == b'\r'
    }

    /// The value, if the line is the field with this name (and its colon); `Some(None)` if it is too long.
    fn value(&self, name: &[u8]) -> Option<Option<&'l [u8]>> {
        let (start, value) = self.start.split_at_checked(name.len())?;
        start
            .eq_ignore_ascii_case(name)
            .then(|| (self.length == self.start.len()).then(|| value.trim_ascii()))
    }

    /// The size of the chunk whose first line this is.
    fn chunk_size(&self) -> Option<u64> {
        let digits = self.start.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let (digits, rest) = self.start.split_at(digits);
        let ends = matches!(rest.first(), Some(b'\r' | b';' | b' ' | b'\t')) && self.ends_in_return();
        if ends { number(digits, 16) } else { None }
    }
}

/// A number that consists of digits only.
fn number(digits: &[u8], radix: u32) -> Option<u64> {
    let mut number = None;
    for digit in digits {
        let digit = char::from(*digit).to_digit(radix)?;
        number = Some(number.unwrap_or(0_u64).checked_mul(radix.into())?.checked_add(digit.into())?);
    }
    number
}

#[cfg(test)]
mod tests;
