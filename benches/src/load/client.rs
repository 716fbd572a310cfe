//! One request at a time over each protocol.
//!
//! HTTP/1.1 and HTTP/2 do without hyper, whose client costs about as much as its server: the load has to be cheaper
//! than any server under test.

use std::future::poll_fn;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use bytes::{Buf as _, Bytes};

use super::http1::Http1;
use super::request::Request;
use super::target::Target;
use crate::protocol::Protocol;
use crate::response::{STREAM_REQUEST_BYTES, STREAM_RESPONSE_BYTES};

/// The most that the body of a response may have.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// Windows that no response under test fills: flow control is not what is measured.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 16 * 1024 * 1024;
/// From the first packet to the end of the handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a QUIC connection may take to close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// `H3_NO_ERROR` (RFC 9114 §8.1).
const NO_ERROR: quinn::VarInt = quinn::VarInt::from_u32(0x100);
/// What is sent on a plain QUIC stream.
const STREAM_REQUEST: [u8; STREAM_REQUEST_BYTES] = [b'q'; STREAM_REQUEST_BYTES];

/// A connection, or a stream of it, and the buffer for the bodies of its responses.
pub(super) struct Client {
    connection: Connection,
    body: Vec<u8>,
}

enum Connection {
    Http1(Http1),
    Http2(h2::client::SendRequest<Bytes>),
    Http3(h3::client::SendRequest<h3_quinn::OpenStreams, Bytes>),
    Quic(quinn::Connection),
}

/// The socket of a QUIC connection, which outlives the connection's clients.
pub(super) struct Endpoint(Option<quinn::Endpoint>);

impl Endpoint {
    /// Closes the connection.
    pub(super) fn close(&self) {
        if let Some(endpoint) = &self.0 {
            endpoint.close(NO_ERROR, b"");
        }
    }

    /// Waits until the server has received that: else it keeps the connection until its idle timeout.
    pub(super) async fn wait_closed(&self) {
        if let Some(endpoint) = &self.0 {
            drop(tokio::time::timeout(CLOSE_TIMEOUT, endpoint.wait_idle()).await);
        }
    }
}

impl Client {
    /// Opens a connection with a client for each of its streams. It closes when the last client is dropped.
    pub(super) async fn open(target: &Target, streams: usize) -> anyhow::Result<(Vec<Self>, Endpoint)> {
        let open = tokio::time::timeout(CONNECT_TIMEOUT, Self::handshake(target, streams));
        open.await.context("connecting took too long")?
    }

    async fn handshake(target: &Target, streams: usize) -> anyhow::Result<(Vec<Self>, Endpoint)> {
        let mut endpoint = Endpoint(None);
        let mut connections = Vec::with_capacity(streams);
        match target.protocol {
            Protocol::H1 => connections.push(Connection::Http1(Http1::new(target.tcp().await?))),
            Protocol::H1Tls => connections.push(Connection::Http1(Http1::new(target.tls().await?))),
            Protocol::H2Tls => {
                let (sender, connection) = h2::client::Builder::new()
                    .enable_push(false)
                    .initial_window_size(STREAM_WINDOW_BYTES)
                    .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
                    .handshake(target.tls().await?)
                    .await?;
                // Every request in flight gets its error.
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
        let client = |connection| Self { connection, body: Vec::with_capacity(4_096) };
        Ok((connections.into_iter().map(client).collect(), endpoint))
    }

    /// Sends a request, reads the response to its end and checks it.
    pub(super) async fn request(&mut self, request: &Request) -> anyhow::Result<()> {
        if let Connection::Quic(connection) = &self.connection {
            return exchange_bytes(connection).await;
        }
        self.body.clear();
        let append = |part: &[u8]| {
            ensure!(self.body.len() + part.len() <= BODY_BYTES_MAX, "a body exceeds {BODY_BYTES_MAX} bytes");
            self.body.extend_from_slice(part);
            Ok(())
        };
        let status = self.connection.send(request, append).await?;
        request.check(status, &self.body)
    }

    /// Sends a request and counts the bytes of the response's body.
    pub(super) async fn download(&mut self, request: &Request) -> anyhow::Result<u64> {
        let mut bytes = 0;
        let count = |part: &[u8]| {
            bytes += part.len() as u64;
            Ok(())
        };
        let status = self.connection.send(request, count).await?;
        ensure!(bytes > 0, "the response has no body");
        request.check(status, &[])?;
        Ok(bytes)
    }
}

impl Connection {
    /// Sends a request, passes the parts of the response's body to `body` and returns its status.
    async fn send(
        &mut self,
        request: &Request,
        mut body: impl FnMut(&[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<u16> {
        match self {
            Self::Http1(connection) => connection.send(&request.http1, body).await,
            Self::Http2(sender) => {
                poll_fn(|context| sender.poll_ready(context)).await?;
                let (response, _) = sender.send_request(request.head.clone(), true)?;
                let (head, mut stream) = response.await?.into_parts();
                while let Some(part) = stream.data().await {
                    let part = part?;
                    body(&part)?;
                    stream.flow_control().release_capacity(part.len())?;
                }
                Ok(head.status.as_u16())
            }
            Self::Http3(sender) => {
                let mut stream = sender.send_request(request.head.clone()).await?;
                stream.finish().await?;
                let head = stream.recv_response().await?;
                while let Some(mut part) = stream.recv_data().await? {
                    while part.has_remaining() {
                        let length = part.chunk().len();
                        body(part.chunk())?;
                        part.advance(length);
                    }
                }
                Ok(head.status().as_u16())
            }
            Self::Quic(_) => bail!("plain streams carry no requests"),
        }
    }
}

/// As many bytes in each direction as HTTP/3 takes, on a new stream.
async fn exchange_bytes(connection: &quinn::Connection) -> anyhow::Result<()> {
    let (mut sender, mut receiver) = connection.open_bi().await?;
    sender.write_all(&STREAM_REQUEST).await?;
    sender.finish()?;
    let received = receiver.read_to_end(STREAM_RESPONSE_BYTES).await?.len();
    ensure!(received == STREAM_RESPONSE_BYTES, "received {received} bytes, not {STREAM_RESPONSE_BYTES}");
    Ok(())
}
