//! The start and the end of a TCP connection: replays bytes that were read to detect the protocol, and
//! lingers so that the last response arrives.

use std::io;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};

/// How much is read while lingering.
pub(super) const LINGER_BYTES_MAX: usize = 1024 * 1024;
/// How long a connection lingers.
const LINGER: Duration = Duration::from_secs(1);

/// Reads from `first`, unless it is empty.
pub(super) fn replay(first: &mut Bytes, buffer: &mut ReadBuf<'_>) -> bool {
    if first.is_empty() {
        return false;
    }
    let length = first.len().min(buffer.remaining());
    buffer.put_slice(&first[..length]);
    first.advance(length);
    if first.is_empty() {
        // Even an empty slice keeps its allocation.
        *first = Bytes::new();
    }
    true
}

/// Closes a connection so that its `last` response arrives: reads for a moment what the client still sends,
/// because closing with unread bytes makes the kernel reset the connection, which discards the response.
pub(super) async fn linger(mut stream: impl AsyncRead + AsyncWrite + Unpin, last: Bytes) {
    let rest = async {
        stream.write_all(&last).await?;
        stream.shutdown().await?;
        let mut unread = [0; 4096];
        for _ in 0..LINGER_BYTES_MAX / unread.len() {
            if stream.read(&mut unread).await? == 0 {
                break;
            }
        }
        io::Result::Ok(())
    };
    // Whatever the result, the connection is closed.
    let _ = tokio::time::timeout(LINGER, rest).await;
}
