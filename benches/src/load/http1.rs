//! A client for HTTP/1.1, whose bodies have a length or come in chunks (RFC 9112 §7.1).

use anyhow::{Context as _, bail, ensure};
use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// The most that the head of a response may have.
const HEAD_BYTES_MAX: usize = 64 * 1024;
const FIELDS_MAX: usize = 64;
/// What is read at once.
const READ_BYTES: usize = 64 * 1024;

/// A byte stream with or without TLS.
trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// A connection, and what was read of it but not yet used.
pub(super) struct Http1 {
    io: Box<dyn Io>,
    buffer: BytesMut,
}

impl Http1 {
    pub(super) fn new(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        Self { io: Box::new(io), buffer: BytesMut::new() }
    }

    /// Sends a head, passes the parts of the response's body to `body` and returns its status.
    pub(super) async fn send(
        &mut self,
        head: &[u8],
        mut body: impl FnMut(&[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<u16> {
        self.io.write_all(head).await?;
        // A TLS stream keeps back what it could not write at once.
        self.io.flush().await?;
        let (status, length) = loop {
            if let Some(head) = self.parse_head()? {
                break head;
            }
            ensure!(self.buffer.len() <= HEAD_BYTES_MAX, "the head has more than {HEAD_BYTES_MAX} bytes");
            self.read().await?;
        };
        if let Some(length) = length {
            self.body(length, &mut body).await?;
        } else {
            loop {
                let size = self.chunk_size().await?;
                self.body(size, &mut body).await?;
                // The line break behind the chunk.
                self.body(2, |_| Ok(())).await?;
                if size == 0 {
                    break;
                }
            }
        }
        ensure!(self.buffer.is_empty(), "the server sent more than one response");
        Ok(status)
    }

    /// The status and the length of the body, once the head is complete.
    fn parse_head(&mut self) -> anyhow::Result<Option<(u16, Option<u64>)>> {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut response = httparse::Response::new(&mut fields);
        let httparse::Status::Complete(end) = response.parse(&self.buffer)? else { return Ok(None) };
        let field = |name: &str| response.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name));
        let length = match field("content-length") {
            Some(field) => Some(std::str::from_utf8(field.value)?.parse()?),
            None if field("transfer-encoding").is_some() => None,
            None => bail!("the response has neither a length nor chunks"),
        };
        let status = response.code.context("the response has no status")?;
        self.buffer.advance(end);
        Ok(Some((status, length)))
    }

    async fn chunk_size(&mut self) -> anyhow::Result<u64> {
        loop {
            let size = httparse::parse_chunk_size(&self.buffer);
            let size = size.map_err(|_| anyhow::anyhow!("a chunk has no size"))?;
            if let httparse::Status::Complete((start, size)) = size {
                self.buffer.advance(start);
                return Ok(size);
            }
            self.read().await?;
        }
    }

    /// Reads so many bytes.
    async fn body(
        &mut self,
        mut left: u64,
        mut body: impl FnMut(&[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        while left > 0 {
            if self.buffer.is_empty() {
                self.read().await?;
            }
            let length = usize::try_from(left).map_or(self.buffer.len(), |left| left.min(self.buffer.len()));
            body(&self.buffer[..length])?;
            self.buffer.advance(length);
            left -= length as u64;
        }
        Ok(())
    }

    async fn read(&mut self) -> anyhow::Result<()> {
        self.buffer.reserve(READ_BYTES);
        ensure!(self.io.read_buf(&mut self.buffer).await? > 0, "the server closed the connection");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn parse(text: &'static [u8], at_once: usize) -> anyhow::Result<(u16, Vec<u8>)> {
        let (near, mut far) = tokio::io::duplex(at_once);
        let server = tokio::spawn(async move {
            far.read_exact(&mut [0]).await?;
            far.write_all(text).await
        });
        let mut body = Vec::new();
        let take = |part: &[u8]| {
            body.extend_from_slice(part);
            Ok(())
        };
        let status = Http1::new(near).send(b"?", take).await;
        drop(server.await);
        Ok((status?, body))
    }

    #[tokio::test(flavor = "current_thread")]
    async fn bodies_with_a_length_and_in_chunks_are_read_however_they_arrive() -> anyhow::Result<()> {
        let sized = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nhello, world";
        let chunks =
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n7;x=y\r\n, world\r\n0\r\n\r\n";
        for at_once in [1, 7, 1_024] {
            assert_eq!(parse(sized, at_once).await?, (200, b"hello, world".to_vec()));
            assert_eq!(parse(chunks, at_once).await?, (200, b"hello, world".to_vec()));
        }
        assert!(parse(&sized[..sized.len() - 1], 1_024).await.is_err());
        assert!(parse(&chunks[..chunks.len() - 5], 1_024).await.is_err());
        assert!(parse(b"HTTP/1.1 200 OK\r\n\r\n", 1_024).await.is_err());
        assert!(parse(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\nmore", 1_024).await.is_err());
        Ok(())
    }
}
