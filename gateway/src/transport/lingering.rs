//! The two ends of a TCP stream's life: bytes that were read before its protocol was known, and the last
//! response of one that is over.

use std::io;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};

/// How much is read of a connection that is over, so that its last response arrives.
pub(super) const LINGER_BYTES_MAX: usize = 1024 * 1024;
/// For how long.
const LINGER: Duration = Duration::from_secs(1);

/// Reads from what was read before, if anything is left of it.
pub(super) fn replay(first: &mut Bytes, buffer: &mut ReadBuf<'_>) -> bool {
    if first.is_empty() {
        return false;
    }
    let length = first.len().min(buffer.remaining());
    buffer.put_slice(&first[..length]);
    first.advance(length);
    if first.is_empty() {
        // Even an empty slice keeps its memory.
        *first = Bytes::new();
    }
    true
}

/// Ends a connection so that its `last` response arrives: what the client still sends is read for a moment,
/// because closing over unread bytes makes the kernel reset the connection and the response with it.
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
    // Whichever way it ends, the connection is over.
    let _ = tokio::time::timeout(LINGER, rest).await;
}
