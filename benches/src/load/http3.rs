//! One place for a request on an HTTP/3 connection, on h3's client.

use std::future::poll_fn;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use h3::client::SendRequest;

use super::job::{self, Failure, Job};

/// How long the end of a connection may take to be told to the server.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);

/// `H3_NO_ERROR` (RFC 9114 §8.1).
pub(super) const NO_ERROR: quinn::VarInt = quinn::VarInt::from_u32(0x100);

/// A handle of the connection, and the body under way.
pub(super) struct Http3 {
    sender: SendRequest<h3_quinn::OpenStreams, Bytes>,
    body: Vec<u8>,
}

impl Http3 {
    /// Exchanges settings and makes the handles. The connection ends when the last one is dropped.
    pub(super) async fn open(connection: quinn::Connection, streams: usize) -> anyhow::Result<Vec<Self>> {
        let (mut driver, sender) = h3::client::builder()
            .send_grease(false)
            .build::<_, _, Bytes>(h3_quinn::Connection::new(connection))
            .await?;
        // Its error reaches every request that is under way, and is counted there.
        tokio::spawn(async move { drop(poll_fn(|context| driver.poll_close(context)).await) });
        Ok((0..streams).map(|_| Self { sender: sender.clone(), body: Vec::new() }).collect())
    }

    /// Sends the request and reads the whole answer.
    pub(super) async fn request(&mut self, job: &Job) -> Result<(), Failure> {
        let mut stream = self.sender.send_request(job.request.clone()).await?;
        stream.finish().await?;
        let head = stream.recv_response().await?;
        self.body.clear();
        while let Some(mut part) = stream.recv_data().await? {
            while part.has_remaining() {
                let length = part.chunk().len();
                job::collect(&mut self.body, part.chunk())?;
                part.advance(length);
            }
        }
        job.check(head.status().as_u16(), &self.body)
    }
}

/// Waits until the server was told, so that it does not keep the connection until its idle time is over.
pub(super) async fn goodbye(endpoint: &quinn::Endpoint) {
    endpoint.close(NO_ERROR, b"");
    drop(tokio::time::timeout(GOODBYE_TIMEOUT, endpoint.wait_idle()).await);
}
