//! HTTP/3 with quinn, h3 and h3-quinn, as their own examples use them: a task for each request.

use std::net::UdpSocket;
use std::sync::Arc;

use anyhow::Context as _;
use bytes::{Buf as _, Bytes};
use h3::error::Code;
use h3::server::RequestResolver;
use quinn::{Endpoint, EndpointConfig, Incoming, ServerConfig, TokioRuntime, TransportConfig};

use super::tls::Identity;
use super::{HANDSHAKE_TIMEOUT, HEADER_BYTES_MAX, HEADER_TIMEOUT, STREAMS_PER_CONNECTION_MAX};
use crate::answer::Answer;

/// How much of a body is read before the client is told to stop sending it.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// An endpoint on a bound socket.
pub(super) fn endpoint(socket: UdpSocket, identity: &Identity, alpn: &[u8]) -> anyhow::Result<Endpoint> {
    let mut transport = TransportConfig::default();
    transport.max_concurrent_bidi_streams(STREAMS_PER_CONNECTION_MAX.into());
    let mut config = ServerConfig::with_crypto(Arc::new(identity.quic(alpn)?));
    config.transport_config(Arc::new(transport));
    Endpoint::new(EndpointConfig::default(), Some(config), socket, Arc::new(TokioRuntime))
        .context("cannot open a QUIC endpoint")
}

/// Accepts for ever.
pub(super) async fn accept(endpoint: Endpoint, answer: Arc<Answer>) {
    while let Some(incoming) = endpoint.accept().await {
        let answer = Arc::clone(&answer);
        tokio::spawn(async move {
            // A connection that fails is the peer's affair: the load counts what was not answered.
            let _ = connection(incoming, answer).await;
        });
    }
}

async fn connection(incoming: Incoming, answer: Arc<Answer>) -> anyhow::Result<()> {
    let connection = tokio::time::timeout(HANDSHAKE_TIMEOUT, incoming).await??;
    let mut requests = h3::server::builder()
        .max_field_section_size(u64::from(HEADER_BYTES_MAX))
        .send_grease(false)
        .build::<_, Bytes>(h3_quinn::Connection::new(connection))
        .await?;
    while let Some(resolver) = requests.accept().await? {
        let answer = Arc::clone(&answer);
        tokio::spawn(async move {
            let _ = respond(resolver, &answer).await;
        });
    }
    Ok(())
}

async fn respond(
    resolver: RequestResolver<h3_quinn::Connection, Bytes>,
    answer: &Answer,
) -> anyhow::Result<()> {
    let (request, mut stream) = tokio::time::timeout(HEADER_TIMEOUT, resolver.resolve_request()).await??;
    // A stream that is dropped before its end was read makes quinn send STOP_SENDING with code 0, for
    // which strict clients fail the request although its answer arrived (RFC 9114 §4.1 wants H3_NO_ERROR).
    let mut received = 0;
    while let Some(part) = stream.recv_data().await? {
        received += part.remaining();
        if received > BODY_BYTES_MAX {
            stream.stop_sending(Code::H3_NO_ERROR);
            break;
        }
    }
    let (head, body) = answer.to(request.method());
    stream.send_response(head).await?;
    if !body.is_empty() {
        stream.send_data(body).await?;
    }
    stream.finish().await?;
    Ok(())
}
