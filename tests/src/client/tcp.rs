//! HTTP/1.1 and HTTP/2 over TCP, with TLS or without.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use http::{Request, Version};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::rt::{Read, Write};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::{Mutex, watch};
use tokio_rustls::TlsConnector;

use super::{Closed, Content, Download, Sink, Way};

#[derive(Debug)]
pub(super) enum Sender {
    Http1(Mutex<http1::SendRequest<Content>>),
    Http2(http2::SendRequest<Content>),
}

pub(super) async fn connect(
    address: SocketAddr,
    host: &str,
    way: Way,
    tls: Option<ClientConfig>,
    closed: watch::Sender<Option<Closed>>,
) -> anyhow::Result<Sender> {
    let stream = TcpStream::connect(address).await.context("connecting")?;
    stream.set_nodelay(true)?;
    match tls {
        None => shake_hands(TokioIo::new(stream), way, closed).await,
        Some(tls) => {
            let name = ServerName::try_from(host.to_owned()).context("the host is no name")?;
            let stream = TlsConnector::from(Arc::new(tls)).connect(name, stream).await.context("TLS")?;
            shake_hands(TokioIo::new(stream), way, closed).await
        }
    }
}

async fn shake_hands<S>(stream: S, way: Way, closed: watch::Sender<Option<Closed>>) -> anyhow::Result<Sender>
where
    S: Read + Write + Unpin + Send + 'static,
{
    let report = move |ended: Result<(), hyper::Error>| {
        let error = ended.err().map_or_else(String::new, |error| format!("{:#}", anyhow::Error::from(error)));
        closed.send_replace(Some(Closed { code: None, error }));
    };
    if way.protocol.version() == Version::HTTP_2 {
        let (sender, connection) =
            http2::Builder::new(TokioExecutor::new()).timer(TokioTimer::new()).handshake(stream).await?;
        tokio::spawn(async move { report(connection.await) });
        Ok(Sender::Http2(sender))
    } else {
        let (sender, connection) = http1::handshake(stream).await?;
        tokio::spawn(async move { report(connection.await) });
        Ok(Sender::Http1(Mutex::new(sender)))
    }
}

impl Sender {
    pub(super) async fn send(&self, request: Request<Content>, sink: Sink<'_>) -> anyhow::Result<Download> {
        match self {
            Self::Http1(sender) => {
                // Held until the response is complete, because HTTP/1.1 has one request at a time.
                let mut sender = sender.lock().await;
                sender.ready().await.context("the connection takes no more requests")?;
                Ok(read(sender.send_request(request).await?, sink).await)
            }
            Self::Http2(sender) => {
                let mut sender = sender.clone();
                sender.ready().await.context("the connection takes no more requests")?;
                Ok(read(sender.send_request(request).await?, sink).await)
            }
        }
    }
}

async fn read(response: http::Response<Incoming>, sink: Sink<'_>) -> Download {
    let (head, mut body) = response.into_parts();
    let mut end = Ok(());
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => frame.into_data().into_iter().for_each(&mut *sink),
            Err(error) => {
                end = Err(error).context("reading the body");
                break;
            }
        }
    }
    Download { status: head.status, headers: head.headers, version: head.version, end }
}
