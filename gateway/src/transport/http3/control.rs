//! What `h3` does of a connection: everything that goes over the unidirectional streams.
//!
//! It is only asked when something has come for it, so that a request does not pay for that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker, ready};

use atomic_waker::AtomicWaker;
use bytes::Bytes;
use h3::error::ConnectionError;
use h3::quic::StreamId;

use super::h3_connection::Connection;
use super::link::FRAME_BYTES_MAX;

/// The control streams of a connection. Dropping it closes the connection with `H3_NO_ERROR`.
pub(in crate::transport) struct Control {
    http3: h3::server::Connection<Connection, Bytes>,
    woken: Arc<ControlWaker>,
    waker: Waker,
}

impl Control {
    /// Opens our own streams and sends the settings.
    ///
    /// # Errors
    /// The connection is over.
    pub(in crate::transport) async fn open(connection: quinn::Connection) -> Result<Self, ConnectionError> {
        let bytes_max = FRAME_BYTES_MAX as u64;
        let mut builder = h3::server::builder();
        builder.max_field_section_size(bytes_max).send_grease(false);
        let http3 = builder.build(Connection::new(connection, bytes_max)).await?;
        let woken = Arc::new(ControlWaker { is_due: AtomicBool::new(true), task: AtomicWaker::new() });
        Ok(Self { http3, waker: Waker::from(Arc::clone(&woken)), woken })
    }

    /// Ready when the client has said that it will go (GOAWAY).
    ///
    /// # Errors
    /// The connection is over, or has been closed with the code that it had to be.
    pub(super) fn poll(&mut self, context: &Context<'_>) -> Poll<Result<(), ConnectionError>> {
        self.woken.task.register(context.waker());
        if !self.woken.is_due.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        match ready!(self.http3.poll_accept_request_stream(&mut Context::from_waker(&self.waker)))? {
            Some(request) => match request {},
            // It reads on whenever it is asked, and says so again.
            None => Poll::Ready(Ok(())),
        }
    }

    /// Says that no more than so many requests of this connection are answered (GOAWAY).
    ///
    /// # Errors
    /// The connection is over, or has been closed.
    pub(super) async fn go_away(&mut self, requests: u64) -> Result<(), ConnectionError> {
        // The first id that is not answered; a client's request streams have every fourth (RFC 9000 §2.1).
        let id = StreamId::try_from(requests * 4).expect("a count of streams is below 2^60");
        // Not by `shutdown` of the connection, which would count the requests that it has seen.
        self.http3.inner.shutdown(&mut None, id).await
    }
}

/// Wakes the connection's task, and tells that it was for the control streams.
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
