//! One place for a request on a bare QUIC connection: as many bytes as HTTP/3 has, and nothing that reads them.

use super::job::{Failure, Job};
use crate::answer::{STREAM_ANSWER_BYTES, STREAM_REQUEST_BYTES};

const REQUEST: [u8; STREAM_REQUEST_BYTES] = [b'q'; STREAM_REQUEST_BYTES];

/// A handle of the connection.
pub(super) struct Streams {
    connection: quinn::Connection,
}

impl Streams {
    pub(super) fn new(connection: quinn::Connection) -> Self {
        Self { connection }
    }

    /// Sends as much as a request has and reads the whole answer.
    pub(super) async fn request(&mut self, _: &Job) -> Result<(), Failure> {
        let (mut sender, mut receiver) = self.connection.open_bi().await?;
        sender.write_all(&REQUEST).await?;
        sender.finish()?;
        let mut received = 0;
        while let Some(part) = receiver.read_chunk(usize::MAX, true).await? {
            received += part.bytes.len();
        }
        if received != STREAM_ANSWER_BYTES {
            return Err(Failure::Answer(format!("{received} bytes came, not {STREAM_ANSWER_BYTES}")));
        }
        Ok(())
    }
}
