//! A raw HTTP/1 client that sends any bytes, and a strict parser of the responses.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use crate::client::tls;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A connection that sends and receives bytes, in cleartext or over TLS.
pub struct Raw {
    stream: Box<dyn Stream>,
    received: Vec<u8>,
}

impl Raw {
    /// Connects in cleartext.
    ///
    /// # Panics
    /// When nothing listens there.
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("the listener accepts");
        stream.set_nodelay(true).expect("a fresh socket takes options");
        Self { stream: Box::new(stream), received: Vec::new() }
    }

    /// Connects over TLS with one ALPN protocol.
    ///
    /// # Panics
    /// When nothing listens there or the handshake fails.
    pub async fn connect_tls(address: SocketAddr, ca: &Path, protocol: &str) -> Self {
        let stream = TcpStream::connect(address).await.expect("the listener accepts");
        stream.set_nodelay(true).expect("a fresh socket takes options");
        let config = Arc::new(tls(ca, protocol.as_bytes()).expect("the CA's file is readable"));
        let name = ServerName::try_from("localhost").expect("it is a DNS name");
        let stream = TlsConnector::from(config).connect(name, stream).await.expect("the handshake succeeds");
        Self { stream: Box::new(stream), received: Vec::new() }
    }

    /// Sends bytes; false once the other side no longer accepts them.
    pub async fn write(&mut self, bytes: &[u8]) -> bool {
        let write = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        matches!(timeout(Duration::from_secs(20), write).await, Ok(Ok(())))
    }

    /// Shuts this side's direction and keeps reading possible.
    pub async fn finish(&mut self) {
        // Fails only if the other side is gone already.
        let _ = self.stream.shutdown().await;
    }

    /// Reads until the other side closes. A reset counts as closing.
    ///
    /// # Panics
    /// When it does not close in time.
    pub async fn read_to_end(&mut self, within: Duration) -> Vec<u8> {
        let closed = self.read_for(within).await;
        let received = String::from_utf8_lossy(&self.received);
        assert!(closed, "still open after {within:?}; received {received:?}");
        std::mem::take(&mut self.received)
    }

    /// Reads for this long at most; whether the other side closed.
    pub async fn read_for(&mut self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        while let Ok(read) = timeout_at(deadline, self.read_some()).await {
            if !read {
                return true;
            }
        }
        false
    }

    /// Reads a response with a body of declared length.
    ///
    /// # Panics
    /// When none comes in time.
    pub async fn answer(&mut self, within: Duration) -> Answer {
        let deadline = Instant::now() + within;
        loop {
            if let Some((answer, length)) = Answer::parse(&self.received)
                && answer.complete
            {
                self.received.drain(..length);
                return answer;
            }
            let read = timeout_at(deadline, self.read_some()).await;
            let received = String::from_utf8_lossy(&self.received);
            assert!(matches!(read, Ok(true)), "no answer within {within:?}; received {received:?}");
        }
    }

    /// One read; false at the end.
    async fn read_some(&mut self) -> bool {
        let mut piece = [0; 16 * 1024];
        match self.stream.read(&mut piece).await {
            Ok(0) | Err(_) => false,
            Ok(length) => {
                self.received.extend_from_slice(&piece[..length]);
                true
            }
        }
    }

    /// Puts back what was read, to be read again.
    pub fn put_back(&mut self, bytes: &[u8]) {
        self.received.splice(0..0, bytes.iter().copied());
    }

    /// Reads exactly this many bytes; `None` at the end or when they do not come in time.
    pub async fn read_exact(&mut self, length: usize, deadline: Instant) -> Option<Vec<u8>> {
        while self.received.len() < length {
            if !matches!(timeout_at(deadline, self.read_some()).await, Ok(true)) {
                return None;
            }
        }
        Some(self.received.drain(..length).collect())
    }
}

/// An HTTP/1 response as it was on the wire.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Names in lower case, values trimmed.
    pub fields: Vec<(String, String)>,
    /// The body, as far as it arrived.
    pub body: Vec<u8>,
    /// Whether the body was as long as declared.
    pub complete: bool,
}

impl Answer {
    /// The first value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Parses the response at the start of `bytes`; returns it with its length, or `None` while its head is
    /// not complete.
    fn parse(bytes: &[u8]) -> Option<(Self, usize)> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&bytes[..end]).ok()?;
        let mut lines = head.split("\r\n");
        let mut status_line = lines.next()?.splitn(3, ' ');
        if !status_line.next()?.starts_with("HTTP/1.") {
            return None;
        }
        let status = status_line.next()?.parse().ok()?;
        let fields: Vec<_> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let bodiless = status == 204 || status == 304 || status < 200;
        let declared = fields.iter().find(|(name, _)| name == "content-length");
        let length = match declared {
            Some((_, length)) if !bodiless => length.parse().ok()?,
            _ => 0,
        };
        let rest = &bytes[end + 4..];
        let body = rest[..rest.len().min(length)].to_vec();
        let complete = body.len() == length;
        let length = end + 4 + body.len();
        Some((Self { status, fields, body, complete }, length))
    }
}

/// All responses in what a connection sent (none of them to `HEAD`).
///
/// # Panics
/// When there is anything else than responses.
pub fn answers(bytes: &[u8]) -> Vec<Answer> {
    let mut rest = bytes;
    let mut answers = Vec::new();
    while !rest.is_empty() {
        let Some((answer, length)) = Answer::parse(rest) else {
            panic!("no answer in {:?} after {answers:?}", String::from_utf8_lossy(rest));
        };
        rest = &rest[length..];
        answers.push(answer);
    }
    answers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_are_separated_by_their_length() {
        let bytes =
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 204 No Content\r\nallow: GET\r\n\r\n";
        let [first, second] = &answers(bytes)[..] else { panic!("two answers") };
        assert_eq!((first.status, first.text().as_str(), first.complete), (200, "ok", true));
        assert_eq!((second.status, second.field("allow")), (204, Some("GET")));
    }

    #[test]
    fn an_incomplete_body_is_detected() {
        let answers = answers(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nok");
        assert!(!answers[0].complete);
    }
}
