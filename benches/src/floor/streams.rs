//! QUIC's streams alone: the price below which no HTTP/3 over quinn can be.

use std::sync::Arc;

use bytes::Bytes;
use quinn::{Endpoint, Incoming};

use super::HANDSHAKE_TIMEOUT;
use crate::answer::{STREAM_ANSWER_BYTES, STREAM_REQUEST_BYTES};

const ANSWER: [u8; STREAM_ANSWER_BYTES] = [b'a'; STREAM_ANSWER_BYTES];

/// Accepts for ever.
pub(super) async fn accept(endpoint: Endpoint) {
    while let Some(incoming) = endpoint.accept().await {
        tokio::spawn(async move {
            // A connection that fails is the peer's affair: the load counts what was not answered.
            let _ = connection(incoming).await;
        });
    }
}

/// One request after the other: whole requests arrive at once, and no stream waits for another's.
async fn connection(incoming: Incoming) -> anyhow::Result<()> {
    let connection = Arc::new(tokio::time::timeout(HANDSHAKE_TIMEOUT, incoming).await??);
    loop {
        let (mut sender, mut receiver) = connection.accept_bi().await?;
        let mut received = 0;
        while let Some(part) = receiver.read_chunk(usize::MAX, true).await? {
            received += part.bytes.len();
            anyhow::ensure!(received <= STREAM_REQUEST_BYTES, "a request has {STREAM_REQUEST_BYTES} bytes");
        }
        sender.write_chunk(Bytes::from_static(&ANSWER)).await?;
        sender.finish()?;
    }
}
