//! One request at a time over each protocol.
//!
//! HTTP/1.1 and HTTP/2 do without hyper, whose client costs about as much as its server: the load has to be cheaper
//! than any server under test.

use std::future::poll_fn;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::request::{Failure, Request};
use super::target::Target;
use crate::protocol::Protocol;
use crate::response::{STREAM_REQUEST_BYTES, STREAM_RESPONSE_BYTES};

/// The most that the head of a response may have over HTTP/1.1.
pub(super) const HEAD_BYTES_MAX: usize = 64 * 1024;
pub(super) const FIELDS_MAX: usize = 64;
/// The most that the body of a response may have.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// Windows that no response under test fills: flow control is not what is measured.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 16 * 1024 * 1024;
/// How long a QUIC connection may take to tell the server that it ends.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// `H3_NO_ERROR` (RFC 9114 §8.1).
const NO_ERROR: quinn::VarInt = quinn::VarInt::from_u32(0x100);
/// What is sent on a plain QUIC stream.
const STREAM_REQUEST: [u8; STREAM_REQUEST_BYTES] = [b'q'; STREAM_REQUEST_BYTES];

/// A byte stream with or without TLS.
pub(super) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// A connection, or a stream of it, and the buffer for its responses.
pub(super) struct Client {
    pub(super) connection: Connection,
    buffer: Vec<u8>,
}

pub(super) enum Connection {
    Http1(Box<dyn Io>),
    Http2(h2::client::SendRequest<Bytes>),
    Http3(h3::client::SendRequest<h3_quinn::OpenStreams, Bytes>),
    Quic(quinn::Connection),
}

/// The socket of a QUIC connection, which outlives the connection's clients.
pub(super) struct Endpoint(Option<quinn::Endpoint>);

impl Endpoint {
    /// Ends the connection.
    pub(super) fn close(&self) {
        if let Some(endpoint) = &self.0 {
            endpoint.close(NO_ERROR, b"");
        }
    }

    /// Waits until the server knows that the connection ended: else it keeps it until its idle timeout.
    pub(super) async fn wait_closed(&self) {
        if let Some(endpoint) = &self.0 {
            drop(tokio::time::timeout(CLOSE_TIMEOUT, endpoint.wait_idle()).await);
        }
    }
}

impl Client {
    /// Opens a connection with a client for each of its streams. It ends when the last client is dropped.
    pub(super) async fn open(target: &Target, streams: usize) -> anyhow::Result<(Vec<Self>, Endpoint)> {
        let mut endpoint = Endpoint(None);
        let mut connections = Vec::with_capacity(streams);
        match target.protocol {
            Protocol::H1 => connections.push(Connection::Http1(Box::new(target.tcp().await?))),
            Protocol::H1Tls => connections.push(Connection::Http1(Box::new(target.tls().await?))),
            Protocol::H2Tls => {
                let (sender, connection) = h2::client::Builder::new()
                    .enable_push(false)
                    .initial_window_size(STREAM_WINDOW_BYTES)
                    .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
                    .handshake(target.tls().await?)
                    .await?;
                // Its error reaches every request in flight, and is counted there.
                tokio::spawn(async move { drop(connection.await) });
                connections.extend((0..streams).map(|_| Connection::Http2(sender.clone())));
            }
            Protocol::H3 => {
                let (quic, connection) = target.quic().await?;
                endpoint = Endpoint(Some(quic));
                let connection = h3_quinn::Connection::new(connection);
                let (mut driver, sender) = h3::client::builder().send_grease(false).build(connection).await?;
                tokio::spawn(async move { drop(poll_fn(|context| driver.poll_close(context)).await) });
                connections.extend((0..streams).map(|_| Connection::Http3(sender.clone())));
            }
            Protocol::QuicStreams => {
                let (quic, connection) = target.quic().await?;
                endpoint = Endpoint(Some(quic));
                connections.extend((0..streams).map(|_| Connection::Quic(connection.clone())));
            }
        }
        let client = |connection| Self { connection, buffer: Vec::with_capacity(4_096) };
        Ok((connections.into_iter().map(client).collect(), endpoint))
    }

    /// Sends a request, reads the response to its end and checks it.
    pub(super) async fn request(&mut self, request: &Request) -> Result<(), Failure> {
        let buffer = &mut self.buffer;
        buffer.clear();
        match &mut self.connection {
            Connection::Http1(io) => {
                let (status, body_start) = http1(io, buffer, &request.http1).await?;
                request.check(status, &buffer[body_start..])
            }
            Connection::Http2(sender) => {
                poll_fn(|context| sender.poll_ready(context)).await?;
                let (response, _) = sender.send_request(request.head.clone(), true)?;
                let (head, mut body) = response.await?.into_parts();
                while let Some(part) = body.data().await {
                    let part = part?;
                    append(buffer, &part)?;
                    body.flow_control().release_capacity(part.len())?;
                }
                request.check(head.status.as_u16(), buffer)
            }
            Connection::Http3(sender) => {
                let mut stream = sender.send_request(request.head.clone()).await?;
                stream.finish().await?;
                let head = stream.recv_response().await?;
                while let Some(mut part) = stream.recv_data().await? {
                    while part.has_remaining() {
                        let length = part.chunk().len();
                        append(buffer, part.chunk())?;
                        part.advance(length);
                    }
                }
                request.check(head.status().as_u16(), buffer)
            }
            Connection::Quic(connection) => {
                let (mut sender, mut receiver) = connection.open_bi().await?;
                sender.write_all(&STREAM_REQUEST).await?;
                sender.finish()?;
                let mut received = 0;
                while let Some(part) = receiver.read_chunk(usize::MAX, true).await? {
                    received += part.bytes.len();
                }
                if received != STREAM_RESPONSE_BYTES {
                    return Err(Failure::Response(format!(
                        "{received} bytes came, not {STREAM_RESPONSE_BYTES}"
                    )));
                }
                Ok(())
            }
        }
    }
}

/// Adds a part of a body, up to the limit.
fn append(body: &mut Vec<u8>, part: &[u8]) -> anyhow::Result<()> {
    anyhow::ensure!(
        body.len() + part.len() <= BODY_BYTES_MAX,
        "the body has more than {BODY_BYTES_MAX} bytes"
    );
    body.extend_from_slice(part);
    Ok(())
}

/// A request over HTTP/1.1; the status, and where the body begins in the buffer.
async fn http1(io: &mut Box<dyn Io>, buffer: &mut Vec<u8>, head: &[u8]) -> anyhow::Result<(u16, usize)> {
    io.write_all(head).await?;
    // A TLS stream keeps back what it could not write at once.
    io.flush().await?;
    let (status, body_start, end) = loop {
        if let Some(head) = parse(buffer)? {
            break head;
        }
        anyhow::ensure!(buffer.len() <= HEAD_BYTES_MAX, "the head has more than {HEAD_BYTES_MAX} bytes");
        read(io, buffer).await?;
    };
    while buffer.len() < end {
        read(io, buffer).await?;
    }
    anyhow::ensure!(buffer.len() == end, "the server sent more than one response");
    Ok((status, body_start))
}

async fn read(io: &mut Box<dyn Io>, buffer: &mut Vec<u8>) -> anyhow::Result<()> {
    if io.read_buf(buffer).await? == 0 {
        bail!("the server closed the connection");
    }
    Ok(())
}

/// The status, where the body begins and where it ends, once the head is complete. A response without a length is an
/// error.
fn parse(buffer: &[u8]) -> anyhow::Result<Option<(u16, usize, usize)>> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(body_start) = response.parse(buffer)? else { return Ok(None) };
    let length = response.headers.iter().find(|field| field.name.eq_ignore_ascii_case("content-length"));
    let length: usize = length
        .and_then(|field| std::str::from_utf8(field.value).ok()?.parse().ok())
        .context("the response has no content-length")?;
    anyhow::ensure!(length <= BODY_BYTES_MAX, "the body has more than {BODY_BYTES_MAX} bytes");
    Ok(Some((response.code.context("the response has no status")?, body_start, body_start + length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_parsed_when_it_is_complete_and_has_a_length() -> anyhow::Result<()> {
        let response = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        for cut in 0..response.len() - 2 {
            assert!(parse(&response[..cut])?.is_none());
        }
        let (status, start, end) = parse(response)?.context("incomplete")?;
        assert_eq!((status, &response[start..end]), (200, &b"ok"[..]));
        assert!(parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(parse(b"HTTP/1.1 200 OK\r\ncontent-length: 999999999\r\n\r\n").is_err());
        Ok(())
    }
}
