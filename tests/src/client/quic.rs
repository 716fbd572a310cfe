//! HTTP/3 over QUIC.

use std::fmt;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::{Buf as _, Bytes};
use h3::client::SendRequest;
use h3_quinn::OpenStreams;
use http::{Request, Version};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, ConnectionError, Endpoint, TransportConfig};
use tokio::sync::watch;

use super::{Closed, Content, Download, Sink};

/// The keep-alive interval.
const KEEP_ALIVE: Duration = Duration::from_secs(2);

pub(super) struct Sender {
    requests: SendRequest<OpenStreams, Bytes>,
    // The socket: the connection ends when it is dropped.
    endpoint: Endpoint,
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender(HTTP/3)")
    }
}

pub(super) async fn connect(
    address: SocketAddr,
    host: &str,
    tls: rustls::ClientConfig,
    closed: watch::Sender<Option<Closed>>,
) -> anyhow::Result<Sender> {
    let any = if address.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
    let mut endpoint = Endpoint::client(any.parse()?)?;
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    // quinn gives the validation of a new path three probe timeouts, which is very short on loopback. On a
    // busy machine that may fail, and then quinn uses the old path until the client sends again.
    let mut transport = TransportConfig::default();
    transport.keep_alive_interval(Some(KEEP_ALIVE));
    config.transport_config(Arc::new(transport));
    endpoint.set_default_client_config(config);
    let connection = endpoint.connect(address, host)?.await.context("QUIC")?;
    let (mut driver, requests) = h3::client::new(h3_quinn::Connection::new(connection.clone())).await?;
    tokio::spawn(async move {
        let error = std::future::poll_fn(|context| driver.poll_close(context)).await;
        let reason = connection.closed().await;
        let code = match &reason {
            ConnectionError::ApplicationClosed(close) => Some(close.error_code.into_inner()),
            _ => None,
        };
        let error = if code == Some(0x100) { String::new() } else { format!("{reason} ({error})") };
        closed.send_replace(Some(Closed { code, error }));
    });
    Ok(Sender { requests, endpoint })
}

impl Sender {
    pub(super) fn move_to(&self, address: IpAddr) -> anyhow::Result<SocketAddr> {
        let socket = UdpSocket::bind((address, 0))?;
        self.endpoint.rebind(socket)?;
        Ok(self.endpoint.local_addr()?)
    }

    pub(super) async fn send(&self, request: Request<Content>, sink: Sink<'_>) -> anyhow::Result<Download> {
        let (head, content) = request.into_parts();
        let mut head = Request::from_parts(head, ());
        if let Content::Whole(bytes) = &content
            && !bytes.is_empty()
            && !head.headers().contains_key("content-length")
        {
            head.headers_mut().insert("content-length", bytes.len().into());
        }
        let stream = self.requests.clone().send_request(head).await.context("sending the head")?;
        let (mut outward, mut inward) = stream.split();
        // The response may come before the body was sent; then the server stops the body, which is no error.
        let upload = tokio::spawn(async move {
            match content {
                Content::Whole(bytes) if bytes.is_empty() => {}
                Content::Whole(bytes) => outward.send_data(bytes).await?,
                Content::Pieces(mut pieces) => {
                    while let Some(piece) = pieces.recv().await {
                        outward.send_data(piece).await?;
                    }
                }
            }
            outward.finish().await
        });
        let answer = async {
            let head = inward.recv_response().await.context("reading the head")?;
            let end = loop {
                match inward.recv_data().await {
                    Ok(Some(mut piece)) => sink(piece.copy_to_bytes(piece.remaining())),
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error).context("reading the body"),
                }
            };
            let (head, ()) = head.into_parts();
            Ok(Download { status: head.status, headers: head.headers, version: Version::HTTP_3, end })
        };
        let answer = answer.await;
        upload.abort();
        answer
    }
}
