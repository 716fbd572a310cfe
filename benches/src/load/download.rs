//! A streamed response: read to its end, while the server's CPU time and memory are measured.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use bytes::{Buf as _, BytesMut};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::client::{Client, Connection, FIELDS_MAX, HEAD_BYTES_MAX, Io};
use super::request::{Failure, Load, Request, Requests};
use super::target::Target;
use crate::proc::{CpuTime, memory_bytes, peak_memory_bytes, reset_peak_memory};
use crate::protocol::Protocol;
use crate::ready::Ready;

/// What is read of an HTTP/1.1 connection at once.
const READ_BYTES: usize = 256 * 1024;
/// Requests that are sent first: what only they need is not the stream's.
const WARM_UP: u64 = 64;
const MIB: f64 = 1_048_576.0;

/// Reads a streamed response.
#[derive(Clone, Debug, clap::Args)]
pub struct Download {
    /// The server's ready file.
    #[arg(long, value_name = "FILE")]
    pub ready_file: PathBuf,
    #[arg(long)]
    pub protocol: Protocol,
    /// The path, and the query where there is one.
    #[arg(long)]
    pub path: String,
}

/// What came of a download.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Downloaded {
    pub bytes: u64,
    /// CPU time of the server, in milliseconds for each GiB.
    pub server_cpu_ms_per_gib: f64,
    /// How far the server's resident memory grew meanwhile, in KiB.
    pub memory_growth_kib: f64,
    pub mib_per_second: f64,
}

impl Download {
    /// Sends the request and reads the response.
    pub fn measure(&self) -> anyhow::Result<Downloaded> {
        let ready = Ready::read(&self.ready_file)?;
        let target = Target::new(&ready, self.protocol, true)?;
        let authority = target.authority()?;
        let (warm_up, request) =
            (Requests::new(Load::Varied, &authority)?, Request::to(&authority, &self.path)?);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let (mut clients, endpoint) = Client::open(&target, 1).await?;
            let client = clients.first_mut().context("no stream")?;
            for number in 0..WARM_UP {
                client.request(warm_up.get(number)).await.map_err(Failure::into_error)?;
            }
            reset_peak_memory(ready.pid)?;
            let (memory, cpu, start) = (memory_bytes(ready.pid)?, CpuTime::of(ready.pid)?, Instant::now());
            let bytes = client.download(&request).await?;
            let seconds = start.elapsed().as_secs_f64();
            let cpu = CpuTime::of(ready.pid)?.since(&cpu).as_secs_f64();
            let growth = peak_memory_bytes(ready.pid)?.saturating_sub(memory);
            endpoint.close();
            #[expect(clippy::cast_precision_loss, reason = "no stream has 2^53 bytes")]
            let (mebibytes, growth) = (bytes as f64 / MIB, growth as f64);
            Ok(Downloaded {
                bytes,
                server_cpu_ms_per_gib: cpu * 1e3 * 1_024.0 / mebibytes,
                memory_growth_kib: growth / 1_024.0,
                mib_per_second: mebibytes / seconds,
            })
        })
    }
}

impl Client {
    /// Sends a request and counts the bytes of the body.
    async fn download(&mut self, request: &Request) -> anyhow::Result<u64> {
        let mut bytes = 0;
        let status = match &mut self.connection {
            Connection::Http1(io) => {
                io.write_all(&request.http1).await?;
                io.flush().await?;
                let status;
                (status, bytes) = http1(io).await?;
                status
            }
            Connection::Http2(sender) => {
                let (response, _) = sender.send_request(request.head.clone(), true)?;
                let (head, mut body) = response.await?.into_parts();
                while let Some(part) = body.data().await {
                    let length = part?.len();
                    bytes += length as u64;
                    body.flow_control().release_capacity(length)?;
                }
                head.status.as_u16()
            }
            Connection::Http3(sender) => {
                let mut stream = sender.send_request(request.head.clone()).await?;
                stream.finish().await?;
                let head = stream.recv_response().await?;
                while let Some(part) = stream.recv_data().await? {
                    bytes += part.remaining() as u64;
                }
                head.status().as_u16()
            }
            Connection::Quic(_) => bail!("plain streams have no path"),
        };
        ensure!(status == 200, "{} has status {status}", request.head.uri().path());
        ensure!(bytes > 0, "{} has no body", request.head.uri().path());
        Ok(bytes)
    }
}

/// The status of a response and the bytes of its body, which has a length or comes in chunks (RFC 9112 §7.1).
async fn http1(io: &mut Box<dyn Io>) -> anyhow::Result<(u16, u64)> {
    let mut buffer = BytesMut::with_capacity(READ_BYTES);
    let (status, length) = loop {
        ensure!(buffer.len() <= HEAD_BYTES_MAX, "the head has more than {HEAD_BYTES_MAX} bytes");
        read(io, &mut buffer).await?;
        let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut response = httparse::Response::new(&mut fields);
        if let httparse::Status::Complete(end) = response.parse(&buffer)? {
            let field =
                |name: &str| response.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name));
            let length = match field("content-length") {
                Some(field) => Some(std::str::from_utf8(field.value)?.parse::<u64>()?),
                None if field("transfer-encoding").is_some() => None,
                None => bail!("the response has neither a length nor chunks"),
            };
            let status = response.code.context("the response has no status")?;
            buffer.advance(end);
            break (status, length);
        }
    };
    let (mut bytes, mut left, mut line_breaks) = (0, length.unwrap_or(0), 0);
    loop {
        let taken = left.min(buffer.len() as u64);
        buffer.advance(usize::try_from(taken)?);
        left -= taken;
        bytes += taken;
        if left == 0 && length.is_some() {
            return Ok((status, bytes));
        }
        if left == 0
            && let httparse::Status::Complete((start, size)) =
                httparse::parse_chunk_size(&buffer).map_err(|_| anyhow::anyhow!("a chunk without a size"))?
        {
            buffer.advance(start);
            if size == 0 {
                return Ok((status, bytes - line_breaks));
            }
            // The line break behind a chunk is read like its data.
            left = size + 2;
            line_breaks += 2;
            continue;
        }
        read(io, &mut buffer).await?;
    }
}

async fn read(io: &mut Box<dyn Io>, buffer: &mut BytesMut) -> anyhow::Result<()> {
    buffer.reserve(READ_BYTES);
    ensure!(io.read_buf(buffer).await? > 0, "the server closed the connection within the response");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn parse(text: &'static [u8], at_once: usize) -> anyhow::Result<(u16, u64)> {
        let (near, mut far) = tokio::io::duplex(at_once);
        let send = tokio::spawn(async move { far.write_all(text).await });
        let parsed = http1(&mut (Box::new(near) as Box<dyn Io>)).await;
        drop(send.await);
        parsed
    }

    #[tokio::test(flavor = "current_thread")]
    async fn bodies_with_a_length_and_in_chunks_are_counted_however_they_arrive() -> anyhow::Result<()> {
        let sized = b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\nhello, world";
        let chunks =
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n7;x=y\r\n, world\r\n0\r\n\r\n";
        for at_once in [1, 7, 1_024] {
            assert_eq!(parse(sized, at_once).await?, (200, 12));
            assert_eq!(parse(chunks, at_once).await?, (200, 12));
        }
        assert!(parse(&sized[..sized.len() - 1], 1_024).await.is_err());
        assert!(parse(&chunks[..chunks.len() - 5], 1_024).await.is_err());
        Ok(())
    }
}
