//! HTTP/3 with quinn, h3 and h3-quinn as in their examples, with a task for each request; and plain QUIC streams.

use std::net::UdpSocket;
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use h3::server::RequestResolver;
use quinn::{Endpoint, EndpointConfig, Incoming, ServerConfig, TokioRuntime, TransportConfig};

use super::{HANDSHAKE_TIMEOUT, HEADER_BYTES_MAX, HEADER_TIMEOUT, STREAMS_PER_CONNECTION_MAX};
use crate::identity::Identity;
use crate::response::{Responses, STREAM_RESPONSE_BYTES};

const STREAM_RESPONSE: [u8; STREAM_RESPONSE_BYTES] = [b'a'; STREAM_RESPONSE_BYTES];

/// An endpoint on a bound socket.
pub(super) fn endpoint(socket: UdpSocket, identity: &Identity, alpn: &[u8]) -> anyhow::Result<Endpoint> {
    let mut transport = TransportConfig::default();
    transport.max_concurrent_bidi_streams(STREAMS_PER_CONNECTION_MAX.into());
    let mut config = ServerConfig::with_crypto(Arc::new(identity.quic(alpn)?));
    config.transport_config(Arc::new(transport));
    Endpoint::new(EndpointConfig::default(), Some(config), socket, Arc::new(TokioRuntime))
        .context("cannot open a QUIC endpoint")
}

/// Accepts HTTP/3 connections without end.
pub(super) async fn accept_http3(endpoint: Endpoint, responses: Arc<Responses>) {
    while let Some(incoming) = endpoint.accept().await {
        let responses = Arc::clone(&responses);
        tokio::spawn(async move { drop(http3(incoming, responses).await) });
    }
}

/// Accepts connections with plain streams without end.
pub(super) async fn accept_streams(endpoint: Endpoint) {
    while let Some(incoming) = endpoint.accept().await {
        tokio::spawn(async move { drop(streams(incoming).await) });
    }
}

async fn http3(incoming: Incoming, responses: Arc<Responses>) -> anyhow::Result<()> {
    let connection = tokio::time::timeout(HANDSHAKE_TIMEOUT, incoming).await??;
    let mut requests = h3::server::builder()
        .max_field_section_size(u64::from(HEADER_BYTES_MAX))
        .send_grease(false)
        .build::<_, Bytes>(h3_quinn::Connection::new(connection))
        .await?;
    while let Some(resolver) = requests.accept().await? {
        let responses = Arc::clone(&responses);
        tokio::spawn(async move { drop(respond(resolver, &responses).await) });
    }
    Ok(())
}

async fn respond(
    resolver: RequestResolver<h3_quinn::Connection, Bytes>,
    responses: &Responses,
) -> anyhow::Result<()> {
    let (request, mut stream) = tokio::time::timeout(HEADER_TIMEOUT, resolver.resolve_request()).await??;
    // quinn resets a stream that is dropped before its end was read with code 0, for which strict clients fail the
    // request although its response arrived (RFC 9114 §4.1 wants H3_NO_ERROR).
    while stream.recv_data().await?.is_some() {}
    let (head, body) = responses.to(request.uri().path()).into_parts();
    stream.send_response(http::Response::from_parts(head, ())).await?;
    if !body.is_empty() {
        stream.send_data(body).await?;
    }
    stream.finish().await?;
    Ok(())
}

/// One request after the other: a request arrives in one packet, so no stream waits for another.
async fn streams(incoming: Incoming) -> anyhow::Result<()> {
    let connection = tokio::time::timeout(HANDSHAKE_TIMEOUT, incoming).await??;
    loop {
        let (mut sender, mut receiver) = connection.accept_bi().await?;
        while receiver.read_chunk(usize::MAX, true).await?.is_some() {}
        sender.write_chunk(Bytes::from_static(&STREAM_RESPONSE)).await?;
        sender.finish()?;
    }
}
