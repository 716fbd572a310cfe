//! One place for a request on an HTTP/2 connection, on the h2 crate: hyper's client would spawn a task
//! for each request.

use std::future::poll_fn;

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::io::{AsyncRead, AsyncWrite};

use super::job::{self, Failure, Job};

/// Windows that no answer under test fills: flow control is not what is measured.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 16 * 1024 * 1024;

/// A handle of the connection, and the body under way.
pub(super) struct Http2 {
    sender: SendRequest<Bytes>,
    body: Vec<u8>,
}

impl Http2 {
    /// Speaks the preface and makes the handles. The connection ends when the last one is dropped.
    pub(super) async fn open<Io>(io: Io, streams: usize) -> anyhow::Result<Vec<Self>>
    where
        Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = h2::client::Builder::new()
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .handshake(io)
            .await?;
        // Its error reaches every request that is under way, and is counted there.
        tokio::spawn(async move { drop(connection.await) });
        Ok((0..streams).map(|_| Self { sender: sender.clone(), body: Vec::new() }).collect())
    }

    /// Sends the request and reads the whole answer.
    pub(super) async fn request(&mut self, job: &Job) -> Result<(), Failure> {
        poll_fn(|context| self.sender.poll_ready(context)).await?;
        let (response, _) = self.sender.send_request(job.request.clone(), true)?;
        let (head, mut stream) = response.await?.into_parts();
        self.body.clear();
        while let Some(part) = stream.data().await {
            let part = part?;
            job::collect(&mut self.body, &part)?;
            stream.flow_control().release_capacity(part.len())?;
        }
        job.check(head.status.as_u16(), &self.body)
    }
}
