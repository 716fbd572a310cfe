//! The stream that h2 reads and writes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::transport::connection::{Peer, Phase};
use crate::transport::lingering::{LINGER_BYTES_MAX, replay};

/// A connection's stream. It detects a client that does not read, and lingers when the connection is closed.
pub(super) struct Io<S> {
    stream: S,
    peer: Arc<Peer>,
    /// Bytes that were read to detect the protocol; h2 reads them first.
    first: Bytes,
    /// How much was read and discarded since the write direction was shut down; `None` while it is open.
    lingered: Option<usize>,
}

impl<S> Io<S> {
    /// A stream of which only `first` was read.
    pub(super) const fn new(stream: S, peer: Arc<Peer>, first: Bytes) -> Self {
        Self { stream, peer, first, lingered: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Io<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if replay(&mut this.first, buffer) {
            return Poll::Ready(Ok(()));
        }
        // h2 tries to read before it returns each request. By then everything that woke the task was read,
        // and its waker is registered with the socket.
        if this.peer.has_read_all.load(Relaxed) {
            return Poll::Pending;
        }
        let read = Pin::new(&mut this.stream).poll_read(context, buffer);
        this.peer.has_read_all.store(read.is_pending(), Relaxed);
        read
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Io<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.peer.write_waits(written.is_pending());
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.peer.write_waits(flushed.is_pending());
        flushed
    }

    /// Shuts the write direction down and lingers here, because h2 does not return the stream; the sweep ends
    /// that after `goodbye`.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.lingered.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(context))?;
            this.lingered = Some(0);
            this.peer.enter(Phase::Goodbye);
        }
        while let Some(lingered) = &mut this.lingered
            && *lingered < LINGER_BYTES_MAX
        {
            let mut unread = [0; 4096];
            let mut unread = ReadBuf::new(&mut unread);
            ready!(Pin::new(&mut this.stream).poll_read(context, &mut unread))?;
            if unread.filled().is_empty() {
                break;
            }
            *lingered += unread.filled().len();
        }
        Poll::Ready(Ok(()))
    }
}
