//! The part of a connection that `h3` handles: the unidirectional streams.
//!
//! It is polled only when something has arrived for it, so that requests do not pay for that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker, ready};

use atomic_waker::AtomicWaker;
use bytes::Bytes;
use h3::error::ConnectionError;
use h3::quic::StreamId;

use super::h3_connection::H3Connection;
use super::link::FRAME_BYTES_MAX;

/// The control streams of a connection. Dropping it closes the connection with `H3_NO_ERROR`.
pub(in crate::transport) struct Control {
    http3: h3::server::Connection<H3Connection, Bytes>,
    woken: Arc<ControlWaker>,
    waker: Waker,
}

impl Control {
    /// Opens the server's streams and sends the settings.
    ///
    /// # Errors
    /// The connection is closed.
    pub(in crate::transport) async fn open(connection: quinn::Connection) -> Result<Self, ConnectionError> {
        let bytes_max = FRAME_BYTES_MAX as u64;
        let mut builder = h3::server::builder();
        builder.max_field_section_size(bytes_max).send_grease(false);
        let http3 = builder.build(H3Connection::new(connection, bytes_max)).await?;
        let woken = Arc::new(ControlWaker { is_due: AtomicBool::new(true), task: AtomicWaker::new() });
        Ok(Self { http3, waker: Waker::from(Arc::clone(&woken)), woken })
    }

    /// Ready when the client has sent GOAWAY.
    ///
    /// # Errors
    /// The connection is closed, possibly just now for a violation.
    pub(super) fn poll(&mut self, context: &Context<'_>) -> Poll<Result<(), ConnectionError>> {
        self.woken.task.register(context.waker());
        if !self.woken.is_due.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        match ready!(self.http3.poll_accept_request_stream(&mut Context::from_waker(&self.waker)))? {
            Some(request) => match request {},
            // It reads on whenever it is polled, and reports GOAWAY again.
            None => Poll::Ready(Ok(())),
        }
    }

    /// Sends GOAWAY: only the first `requests` of this connection are served.
    ///
    /// # Errors
    /// The connection is closed.
    pub(super) async fn go_away(&mut self, requests: u64) -> Result<(), ConnectionError> {
        // The first id that is not served; a client's request streams have every fourth (RFC 9000 §2.1).
        let id = StreamId::try_from(requests * 4).expect("a count of streams is below 2^60");
        // Not with h3's `shutdown`, which would count the requests that h3 has seen.
        self.http3.inner.shutdown(&mut None, id).await
    }
}

/// Wakes the connection's task, and records that it was for the control streams.
struct ControlWaker {
    is_due: AtomicBool,
    task: AtomicWaker,
}

impl Wake for ControlWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_due.store(true, Ordering::Release);
        self.task.wake();
    }
}
