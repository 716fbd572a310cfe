//! HTTP/2 on one connection (RFC 9113), by the `h2` crate.
//!
//! hyper would do little more with it than to make a task of each request, and to write each answer by itself.
//! Here all that has been read is answered, most of it without waiting, and then all answers are written at
//! once; only a request that waits becomes a task.

mod io;

use std::cell::RefCell;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::RecvStream;
use h2::server::{Builder, SendResponse};
use http::{HeaderMap, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::debug;

use io::Io;

use super::connection::Phase;
use super::{Body, Close, HEAD_BYTES_MAX, Peer, Service, Serving, Settings};

/// Streams that a client may have reset before we have looked at them. Honest clients under load reach
/// tens; a rapid-reset attack (CVE-2023-44487) thousands.
const RESET_STREAMS_MAX: usize = 256;
/// The content that may be on its way to us: on one stream, and on the whole connection.
const WINDOW_BYTES: u32 = 1024 * 1024;
/// For how many of the connection's sweeps, ten a second, the client's table of fields is counted on to keep a
/// name. It has 4096 bytes unless the client says otherwise (RFC 9113 §6.5.2), and a date a second pushes out what
/// is in it within a minute.
const NAMES_KEPT: u32 = 450;

/// A request that was read, and the place of its answer.
type Accepted = (Request<RecvStream>, SendResponse<Bytes>);

/// Answers requests until the connection is over; `first` was read from the stream before.
///
/// What is only needed at first is made before the future, or in a box: the future keeps room for all that it has
/// ever had.
pub(super) fn serve<'p, S: Service, T>(
    stream: T,
    first: Bytes,
    peer: &'p Arc<Peer>,
    service: &'static S,
    settings: &Settings,
) -> impl Future<Output = ()> + Send + use<'p, S, T>
where
    T: AsyncRead + AsyncWrite + Unpin + Send,
{
    peer.multiplexed.store(true, Relaxed);
    let handshake = Builder::new()
        .max_concurrent_streams(settings.streams_per_connection_max)
        .max_header_list_size(HEAD_BYTES_MAX as u32)
        .max_pending_accept_reset_streams(RESET_STREAMS_MAX)
        .max_local_error_reset_streams(Some(RESET_STREAMS_MAX))
        .initial_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .handshake(Io::new(stream, Arc::clone(peer), first));
    let mut handshake = Some(Box::pin(handshake));
    async move {
        let mut connection = None;
        let mut announced = false;
        let mut named = None;
        let mut notes = S::Notes::default();
        let mut watch = peer.watch_close();
        let ended = std::future::poll_fn(|context| {
            peer.has_read_all.store(false, Relaxed);
            let leaves = match watch.poll(context) {
                Some(Close::Now | Close::Excess) => return Poll::Ready(Ok(())),
                Some(Close::Drain | Close::Revoked) => true,
                None => false,
            };
            if leaves {
                // Also of a client that has not even said its preface: it is not waited for any longer than others.
                peer.enter(Phase::Goodbye);
            }
            if let Some(begun) = &mut handshake {
                connection = Some(std::task::ready!(begun.as_mut().poll(context))?);
                handshake = None;
            }
            let Some(connection) = &mut connection else { return Poll::Pending };
            if leaves && !announced {
                announced = true;
                connection.graceful_shutdown();
            }
            loop {
                let mut accepted = UNANSWERED.take();
                let ended = loop {
                    match pin!(connection.accept()).poll(context) {
                        Poll::Ready(Some(Ok(request))) => accepted.push(request),
                        Poll::Ready(Some(Err(error))) => break Poll::Ready(Err(error)),
                        Poll::Ready(None) => break Poll::Ready(Ok(())),
                        Poll::Pending => break Poll::Pending,
                    }
                };
                let is_idle = accepted.is_empty();
                answer(&mut accepted, &mut named, context, peer, service, &mut notes);
                UNANSWERED.set(accepted);
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
    /// The memory for requests that have been read and not yet answered, of whichever connection is being
    /// driven. Their number is bounded by that of a connection's streams.
    static UNANSWERED: RefCell<Vec<Accepted>> = const { RefCell::new(Vec::new()) };
}

/// Answers what has been read. `named` is when names were last put into the client's table.
fn answer<S: Service>(
    accepted: &mut Vec<Accepted>,
    named: &mut Option<u32>,
    context: &mut Context<'_>,
    peer: &Arc<Peer>,
    service: &'static S,
    notes: &mut S::Notes,
) {
    for (request, respond) in accepted.drain(..) {
        let (head, body) = request.into_parts();
        let body = if body.is_end_stream() { Body::Empty } else { Body::Http2(body) };
        let mut serving = Serving::begin(service, head, body, peer, notes);
        match Pin::new(&mut serving).poll(context) {
            Poll::Ready(Ok(mut response)) => {
                let now = peer.sweeps();
                if named.is_none_or(|then| now.wrapping_sub(then) >= NAMES_KEPT) {
                    *named = Some(now);
                    put_into_table(response.headers_mut());
                }
                send(respond, response);
            }
            Poll::Pending => drop(tokio::spawn(wait(serving, respond))),
        }
    }
}

/// Has values that are this answer's alone put into the client's table of fields nevertheless (RFC 7541 §6.2.1). It
/// is for their names: later answers tell them by their place there, and only the values are written out.
fn put_into_table(fields: &mut HeaderMap) {
    fields.values_mut().for_each(|value| value.set_sensitive(false));
}

/// Awaits an answer, unless the client gives the request up.
async fn wait(mut serving: Serving, mut respond: SendResponse<Bytes>) {
    let response = std::future::poll_fn(|context| match Pin::new(&mut serving).poll(context) {
        Poll::Ready(Ok(response)) => Poll::Ready(Some(response)),
        Poll::Pending => respond.poll_reset(context).map(|_| None),
    });
    if let Some(response) = response.await {
        send(respond, response);
    }
}

/// Hands an answer over, to be written when the client has room for it. An error says that the client has
/// given the request up, or that the connection is over.
fn send(mut respond: SendResponse<Bytes>, response: Response<Body>) {
    let (head, body) = response.into_parts();
    let content = body.into_bytes();
    let sent = respond.send_response(Response::from_parts(head, ()), content.is_empty());
    if let (Ok(mut stream), false) = (sent, content.is_empty()) {
        let _ = stream.send_data(content, true);
    }
}
