//! HTTP/1.1 and HTTP/2 with hyper's builders, the protocol chosen by ALPN.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::{HANDSHAKE_TIMEOUT, HEADER_BYTES_MAX, HEADER_TIMEOUT, STREAMS_PER_CONNECTION_MAX};
use crate::response::Responses;

/// The most that hyper reads ahead of an HTTP/1.1 head.
const HTTP1_BUFFER_BYTES_MAX: usize = 64 * 1024;
/// Keeps a process that is out of file descriptors from spinning in its accept loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Registers a bound socket with the runtime.
pub(super) fn listen(socket: std::net::TcpListener) -> anyhow::Result<TcpListener> {
    socket.set_nonblocking(true)?;
    Ok(TcpListener::from_std(socket)?)
}

/// Accepts without end; cleartext where there is no acceptor.
pub(super) async fn accept(listener: TcpListener, acceptor: Option<TlsAcceptor>, responses: Arc<Responses>) {
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        if socket.set_nodelay(true).is_err() {
            continue;
        }
        let responses = Arc::clone(&responses);
        match acceptor.clone() {
            Some(acceptor) => tokio::spawn(encrypted(socket, acceptor, responses)),
            None => tokio::spawn(http1(socket, responses)),
        };
    }
}

async fn encrypted(socket: TcpStream, acceptor: TlsAcceptor, responses: Arc<Responses>) {
    let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(socket)).await else {
        return;
    };
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        http2(stream, responses).await;
    } else {
        http1(stream, responses).await;
    }
}

async fn http1(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, responses: Arc<Responses>) {
    let service = service_fn(|request| std::future::ready(respond(&responses, &request)));
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HTTP1_BUFFER_BYTES_MAX)
        .pipeline_flush(true)
        .serve_connection(TokioIo::new(io), service)
        .await;
}

async fn http2(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, responses: Arc<Responses>) {
    let service = service_fn(|request| std::future::ready(respond(&responses, &request)));
    let _ = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
        .max_header_list_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(io), service)
        .await;
}

fn respond(responses: &Responses, request: &Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(responses.to(request.uri().path()).map(Full::new))
}
