//! One HTTP/1.1 connection: the head goes out as one piece, the answer is parsed where it was read.

use anyhow::{Context as _, anyhow, bail};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::job::{BODY_BYTES_MAX, Failure, Job};

/// The most that an answer's head may have.
const HEAD_BYTES_MAX: usize = 64 * 1024;
const FIELDS_MAX: usize = 64;

/// A connection, and what was read of the answer under way.
pub(super) struct Http1<Io> {
    io: Io,
    buffer: Vec<u8>,
}

/// Where an answer's body is in the buffer.
struct Head {
    status: u16,
    body_start: usize,
    end: usize,
}

impl<Io: AsyncRead + AsyncWrite + Unpin> Http1<Io> {
    pub(super) fn new(io: Io) -> Self {
        Self { io, buffer: Vec::with_capacity(4_096) }
    }

    /// Sends the request and reads the whole answer.
    pub(super) async fn request(&mut self, job: &Job) -> Result<(), Failure> {
        self.buffer.clear();
        self.io.write_all(&job.http1).await?;
        // A TLS stream holds back what it could not write at once.
        self.io.flush().await?;
        let head = loop {
            if let Some(head) = parse(&self.buffer)? {
                break head;
            }
            if self.buffer.len() > HEAD_BYTES_MAX {
                return Err(anyhow!("the answer's head has more than {HEAD_BYTES_MAX} bytes").into());
            }
            self.read().await?;
        };
        while self.buffer.len() < head.end {
            self.read().await?;
        }
        if self.buffer.len() > head.end {
            return Err(anyhow!("the server sent more than one answer").into());
        }
        job.check(head.status, &self.buffer[head.body_start..])
    }

    async fn read(&mut self) -> anyhow::Result<()> {
        if self.io.read_buf(&mut self.buffer).await? == 0 {
            bail!("the server closed the connection");
        }
        Ok(())
    }
}

/// The head, once it is complete. Only answers that announce their length are understood.
fn parse(buffer: &[u8]) -> anyhow::Result<Option<Head>> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(body_start) = response.parse(buffer)? else { return Ok(None) };
    let length: usize = response
        .headers
        .iter()
        .find(|field| field.name.eq_ignore_ascii_case("content-length"))
        .and_then(|field| std::str::from_utf8(field.value).ok()?.parse().ok())
        .context("the answer does not announce its length")?;
    if length > BODY_BYTES_MAX {
        bail!("the body has more than {BODY_BYTES_MAX} bytes");
    }
    let status = response.code.context("the answer has no status")?;
    Ok(Some(Head { status, body_start, end: body_start + length }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_taken_when_it_is_complete_and_announces_its_length() -> anyhow::Result<()> {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        for cut in 0..answer.len() - 2 {
            assert!(parse(&answer[..cut])?.is_none());
        }
        let head = parse(answer)?.context("incomplete")?;
        assert_eq!((head.status, &answer[head.body_start..head.end]), (200, &b"ok"[..]));
        assert!(parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(parse(b"HTTP/1.1 200 OK\r\ncontent-length: 999999999\r\n\r\n").is_err());
        Ok(())
    }
}
