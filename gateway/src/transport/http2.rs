//! HTTP/2 on one connection (RFC 9113), by the `h2` crate.
//!
//! hyper would spawn a task for each request and write each response separately. Here, all requests that were
//! read are handled, most of them without waiting, and then their responses are written together; only a
//! request that waits gets a task.

mod io;

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Sleep;
use tracing::debug;

use io::Io;

use super::connection::{InFlight, Phase};
use super::recycled_future::RecycledFuture;
use super::{Close, HEAD_BYTES_MAX, Peer, RequestBody, ResponseBody, Service, Settings};

/// Streams that a client may reset before they are accepted. Normal clients under load reach tens; a
/// rapid-reset attack (CVE-2023-44487) thousands.
const RESET_STREAMS_MAX: usize = 256;
/// The flow-control windows for content: of one stream, and of the connection.
const WINDOW_BYTES: u32 = 1024 * 1024;
/// The buffer for the content of one response.
const SEND_BUFFER_BYTES_MAX: usize = 64 * 1024;
/// For how many of the connection's sweeps, ten a second, a name is assumed to stay in the client's dynamic
/// table. The table has 4096 bytes by default (RFC 9113 §6.5.2), so one `date` a second evicts everything
/// else within a minute.
const NAMES_KEPT: u32 = 450;

/// Serves a connection to its end; `first` was already read from the stream.
///
/// Values that are needed only at first are created before the future, or boxed, because a future keeps room
/// for every value it ever holds.
pub fn serve<'p, S: Service, T>(
    stream: T,
    first: Bytes,
    peer: &'p Arc<Peer>,
    service: &'static S,
    settings: &Arc<Settings>,
) -> impl Future<Output = ()> + Send + use<'p, S, T>
where
    T: AsyncRead + AsyncWrite + Unpin + Send,
{
    peer.multiplexed.store(true, Relaxed);
    let handshake = Builder::new()
        .max_concurrent_streams(settings.streams_per_connection_max)
        .max_header_list_size(HEAD_BYTES_MAX as u32)
        .max_send_buffer_size(SEND_BUFFER_BYTES_MAX)
        .max_pending_accept_reset_streams(RESET_STREAMS_MAX)
        .max_local_error_reset_streams(Some(RESET_STREAMS_MAX))
        .initial_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .handshake(Io::new(stream, Arc::clone(peer), first));
    let mut handshake = Some(Box::pin(handshake));
    let link = Arc::new(Link { settings: Arc::clone(settings), names_sent: AtomicU32::new(0) });
    async move {
        let mut connection = None;
        let mut announced = false;
        let state = Arc::<S::ConnectionState>::default();
        let mut watch = peer.watch_close();
        let ended = poll_fn(|context| {
            peer.has_read_all.store(false, Relaxed);
            let leaves = match watch.poll(context) {
                Some(Close::Now | Close::Excess) => return Poll::Ready(Ok(())),
                Some(Close::Drain | Close::Revoked) => true,
                None => false,
            };
            if leaves {
                // Also if the client has not sent its preface: it gets no more time than others.
                peer.enter(Phase::Goodbye);
            }
            if let Some(begun) = &mut handshake {
                connection = Some(ready!(begun.as_mut().poll(context))?);
                handshake = None;
            }
            let Some(connection) = &mut connection else { return Poll::Pending };
            if leaves && !announced {
                announced = true;
                connection.graceful_shutdown();
            }
            loop {
                // All requests that were read are accepted before any is handled: accepting also writes, and
                // the responses should be written together.
                let mut accepted = ACCEPTED.take();
                let ended = loop {
                    match pin!(connection.accept()).poll(context) {
                        Poll::Ready(Some(Ok(request))) => accepted.push(request),
                        Poll::Ready(Some(Err(error))) => break Poll::Ready(Err(error)),
                        Poll::Ready(None) => break Poll::Ready(Ok(())),
                        Poll::Pending => break Poll::Pending,
                    }
                };
                let is_idle = accepted.is_empty();
                for (request, respond) in accepted.drain(..) {
                    let (peer, state, link) = (Arc::clone(peer), Arc::clone(&state), Arc::clone(&link));
                    let mut answer =
                        RecycledFuture::new(|| answer(request, respond, peer, state, link, service));
                    match Pin::new(&mut answer).poll(context) {
                        Poll::Ready(None) => {}
                        Poll::Ready(Some(sending)) => drop(tokio::spawn(sending)),
                        Poll::Pending => drop(tokio::spawn(async move {
                            // Awaited in turn, so that the request's memory is given back first.
                            if let Some(sending) = answer.await {
                                sending.await;
                            }
                        })),
                    }
                }
                ACCEPTED.set(accepted);
                if ended.is_ready() || is_idle {
                    return ended;
                }
            }
        })
        .await;
        if let Err(error) = ended {
            debug!(error = &error as &dyn std::error::Error, client.address = %peer.origin, "HTTP/2 ended");
        }
    }
}

thread_local! {
    /// A buffer for requests that are accepted and not yet handled, shared by the thread's connections. Its
    /// length is bounded by the number of a connection's streams.
    static ACCEPTED: RefCell<Vec<(Request<RecvStream>, SendResponse<Bytes>)>> = const { RefCell::new(Vec::new()) };
}

/// The state that the requests of a connection share.
struct Link {
    settings: Arc<Settings>,
    /// The connection's sweep in which names were last put into the client's dynamic table, plus one; 0 means
    /// never.
    names_sent: AtomicU32,
}

impl Link {
    /// Lets values that are unique to this response be indexed anyway (RFC 7541 §6.2.1), for the sake of
    /// their names: later responses refer to the names by index and send only the values as literals.
    fn index_names(&self, fields: &mut HeaderMap, sweep: u32) {
        let then = self.names_sent.load(Relaxed);
        if then == 0 || sweep.wrapping_sub(then - 1) >= NAMES_KEPT {
            self.names_sent.store(sweep.wrapping_add(1).max(1), Relaxed);
            fields.values_mut().for_each(|value| value.set_sensitive(false));
        }
    }
}

/// Handles one request, unless the client cancels it; returns the response if the client has no room for it yet.
async fn answer<S: Service>(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    peer: Arc<Peer>,
    state: Arc<S::ConnectionState>,
    link: Arc<Link>,
    service: &'static S,
) -> Option<Sending<S::Body>> {
    let in_flight = InFlight::begin(Arc::clone(&peer));
    let (head, body) = request.into_parts();
    let body = if body.is_end_stream() { RequestBody::Empty } else { RequestBody::Http2(body) };
    // In a block: its room is free again when the response is sent.
    let mut response = {
        let mut response = pin!(service.serve(head, body, Arc::clone(&peer), state));
        poll_fn(|context| match response.as_mut().poll(context) {
            Poll::Ready(response) => Poll::Ready(Some(response)),
            Poll::Pending => respond.poll_reset(context).map(|_| None),
        })
        .await?
    };
    link.index_names(response.headers_mut(), peer.sweeps());
    let mut sending = Sending::begin(respond, response, link.settings.write, in_flight)?;
    poll_fn(|context| Poll::Ready(Pin::new(&mut sending).poll(context))).await.is_pending().then_some(sending)
}

/// A response that is being sent within the client's window. Where it cannot be sent to its end, the stream is reset.
///
/// It waits by itself, because the future of its request takes ten times as much memory, and a client that opens no window
/// makes many of them wait.
struct Sending<B> {
    stream: SendStream<Bytes>,
    body: B,
    /// A piece of the body that has not been sent to its end.
    piece: Bytes,
    is_last: bool,
    /// How long the client may take nothing, and since when it does.
    limit: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
    _in_flight: InFlight,
}

impl<B: ResponseBody> Sending<B> {
    /// Sends the head; `None` if the response ends there, or the client has cancelled the request.
    fn begin(
        mut respond: SendResponse<Bytes>,
        response: Response<B>,
        limit: Duration,
        in_flight: InFlight,
    ) -> Option<Self> {
        let (head, mut body) = response.into_parts();
        let is_empty = body.is_end_stream();
        let stream = respond.send_response(Response::from_parts(head, ()), is_empty).ok()?;
        if is_empty {
            body.complete();
            return None;
        }
        let (piece, is_last, stalled) = (Bytes::new(), false, None);
        Some(Self { stream, body, piece, is_last, limit, stalled, _in_flight: in_flight })
    }

    /// Takes the next piece of the body; whether there is more to do.
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        let frame = match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(frame) => frame,
            Poll::Pending => return self.stream.poll_reset(context).map(|_| false),
        };
        match frame {
            None => self.is_last = true,
            Some(Ok(frame)) => {
                // Trailers are left out.
                self.piece = frame.into_data().unwrap_or_default();
                self.is_last = self.body.is_end_stream();
            }
            Some(Err(_)) => {
                self.stream.send_reset(Reason::INTERNAL_ERROR);
                return Poll::Ready(false);
            }
        }
        if self.piece.is_empty() && self.is_last {
            // An empty piece is the end of a body that did not know it before.
            if self.stream.send_data(Bytes::new(), true).is_ok() {
                self.body.complete();
            }
            return Poll::Ready(false);
        }
        Poll::Ready(true)
    }

    /// How many bytes the client has room for; `None` if it has gone away, or read nothing for too long.
    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<Option<usize>> {
        self.stream.reserve_capacity(self.piece.len());
        let room = match self.stream.capacity() {
            0 => match self.stream.poll_capacity(context) {
                Poll::Ready(room) => room.and_then(Result::ok),
                Poll::Pending => {
                    let limit = self.limit;
                    let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
                    ready!(stalled.as_mut().poll(context));
                    self.stream.send_reset(Reason::CANCEL);
                    None
                }
            },
            room => Some(room),
        };
        self.stalled = None;
        Poll::Ready(room)
    }
}

impl<B: ResponseBody> Future for Sending<B> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        loop {
            while this.piece.is_empty() {
                if !ready!(this.poll_piece(context)) {
                    return Poll::Ready(());
                }
            }
            let Some(room) = ready!(this.poll_room(context)) else { return Poll::Ready(()) };
            let sent = this.piece.split_to(room.min(this.piece.len()));
            let (length, is_end) = (sent.len(), this.is_last && this.piece.is_empty());
            // An error says that the client has given the request up, or that the connection is over.
            if this.stream.send_data(sent, is_end).is_err() {
                return Poll::Ready(());
            }
            this.body.sent(length);
            if is_end {
                this.body.complete();
                return Poll::Ready(());
            }
        }
    }
}
