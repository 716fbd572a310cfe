//! HTTP/3 on one connection (RFC 9114).
//!
//! The request streams are read and written here, by a codec of our own; `h3` runs the connection over the
//! unidirectional streams: settings, the client's GOAWAY and ours, and what must not be there. It never
//! sees a request.

mod codes;
mod control;
mod frame_guard;
mod frames;
mod h3_connection;
mod h3_streams;
mod head;
mod huffman;
mod link;
mod qpack;
mod quic_tls;
mod receive;
mod send;
mod side_streams;
mod static_table;

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use futures_util::future::{Either, select};
use http::{Response, StatusCode, Version, header};
use http_body_util::Full;
use tracing::debug;

use super::connection::{InFlight, Phase};
use super::recycled_future::RecycledFuture;
use super::{Close, Peer, RequestBody, Service, within};

pub(super) use codes::NO_ERROR;
pub(super) use control::Control;
pub use frame_guard::{ControlError, FrameGuard, FrameTooLarge};
pub use frames::{Frame, FrameError, Frames};
pub use head::{HeadError, read_head};
pub(super) use link::Link;
pub(super) use quic_tls::QuicTls;
pub(super) use receive::Http3Body;
use receive::Receiver;
pub use receive::RequestError;
use send::SendError;

/// How many faults one oversized head counts for: the connection survives a few, and no attack.
const TOO_LARGE_FAULTS: u32 = 64;
/// Requests that are still answered after the first GOAWAY: those that were on their way.
const GOAWAY_GRACE_REQUESTS: u64 = 256;

enum Next {
    Announce,
    End(quinn::VarInt),
    Leaving,
    Accepted(Result<(quinn::SendStream, quinn::RecvStream), quinn::ConnectionError>),
}

/// Answers requests until the connection is over; returns the code to close it with, where that has not happened.
pub(super) async fn serve<S: Service>(
    control: &mut Control,
    link: &Arc<Link>,
    peer: &Arc<Peer>,
    service: &'static S,
) -> quinn::VarInt {
    let state = Arc::<S::ConnectionState>::default();
    let mut watch = peer.watch_close();
    // Kept between polls: its place in quinn's queue is lost when it is dropped.
    let mut accepting = pin!(link.connection.accept_bi());
    // How many requests have begun, and how many may, once GOAWAY has said so.
    let (mut begun, mut begun_max) = (0, None);
    loop {
        let next = poll_fn(|context| match watch.poll(context) {
            Some(Close::Now) => Poll::Ready(Next::End(NO_ERROR)),
            Some(Close::Excess) => Poll::Ready(Next::End(codes::EXCESSIVE_LOAD)),
            Some(Close::Drain | Close::Revoked) if begun_max.is_none() => Poll::Ready(Next::Announce),
            _ => match control.poll(context) {
                Poll::Ready(Ok(())) => Poll::Ready(Next::Leaving),
                Poll::Ready(Err(_)) => Poll::Ready(Next::End(NO_ERROR)),
                Poll::Pending => accepting.as_mut().poll(context).map(Next::Accepted),
            },
        });
        match next.await {
            Next::Announce => {
                let requests = begun + GOAWAY_GRACE_REQUESTS;
                begun_max = Some(requests);
                peer.enter(Phase::Goodbye);
                // A client that takes no word of it is not waited for.
                if !matches!(within(link.settings.goodbye, control.go_away(requests)).await, Some(Ok(()))) {
                    return NO_ERROR;
                }
            }
            // The client has said that it will go (GOAWAY): so do we, once all is answered. The last answers
            // may then still be on their way, so the client is the one to close, or else the sweep.
            Next::Leaving => peer.close(Close::Drain),
            Next::Accepted(Ok((mut send, mut receive))) => {
                accepting.set(link.connection.accept_bi());
                let number = send.id().index();
                if begun_max.is_some_and(|max| number >= max) {
                    // Errors say that the stream is over already.
                    let _ = receive.stop(codes::REQUEST_REJECTED);
                    let _ = send.reset(codes::REQUEST_REJECTED);
                    continue;
                }
                begun = begun.max(number + 1);
                let (link, peer, state) = (Arc::clone(link), Arc::clone(peer), Arc::clone(&state));
                let mut request =
                    RecycledFuture::new(serve_request(send, receive, link, peer, state, service));
                // Most requests are complete when they are accepted and answered at once: no task for those.
                if poll_once(Pin::new(&mut request)).await.is_pending() {
                    tokio::spawn(request);
                }
            }
            // The client has gone away, or the connection has ended with the code that it had to.
            Next::Accepted(Err(_)) => return NO_ERROR,
            Next::End(code) => return code,
        }
    }
}

async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
}

async fn serve_request<S: Service>(
    mut send: quinn::SendStream,
    receive: quinn::RecvStream,
    link: Arc<Link>,
    peer: Arc<Peer>,
    state: Arc<S::ConnectionState>,
    service: &'static S,
) {
    let in_flight = InFlight::begin(Arc::clone(&peer));
    let limit = link.settings.write;
    let mut receiver = Receiver::new(receive, Arc::clone(&link));
    let head = within(link.settings.header, receiver.head()).await;
    peer.seen_at(link.connection.remote_address().ip());
    let sent = match head {
        Some(Ok(request)) => {
            let (head, ()) = request.into_parts();
            let declared = head.headers.get(header::CONTENT_LENGTH);
            let body = if !receiver.has_ended() {
                RequestBody::Http3(Box::new(Http3Body::new(receiver)))
            } else if declared.is_none_or(|length| length == "0") {
                RequestBody::Empty
            } else {
                // RFC 9114 §4.1.2: content was declared, and the stream has ended without it.
                let response = refuse(StatusCode::BAD_REQUEST, &peer, service);
                let sent = send::send(&mut send, response, limit).await;
                return ended(&mut send, sent);
            };
            peer.forgive_fault();
            // In a block: its room is free again when the response is sent.
            let response = {
                let mut response = pin!(service.serve(head, body, Arc::clone(&peer), state));
                match poll_once(response.as_mut()).await {
                    Poll::Ready(response) => response,
                    Poll::Pending => {
                        // A client that stops the response has given the request up.
                        let stopped = pin!(send.stopped());
                        match select(response, stopped).await {
                            Either::Left((response, _)) => response,
                            Either::Right(_) => return,
                        }
                    }
                }
            };
            send::send(&mut send, response, limit).await
        }
        Some(Err(error)) => {
            debug!(%error, "HTTP/3 request was refused or given up");
            let Some(status) = refusal(&error) else {
                give_up(&mut send, &mut receiver, &error);
                return peer.count_faults(1);
            };
            send::send(&mut send, refuse(status, &peer, service), limit).await
        }
        None => send::send(&mut send, refuse(StatusCode::REQUEST_TIMEOUT, &peer, service), limit).await,
    };
    ended(&mut send, sent);
    drop(in_flight);
}

/// Resets the stream of a response that did not get to its end.
fn ended(stream: &mut quinn::SendStream, sent: Result<(), SendError>) {
    // Errors say that the stream is over already.
    match sent {
        Ok(()) | Err(SendError::Stopped) => {}
        Err(SendError::Body) => drop(stream.reset(codes::INTERNAL_ERROR)),
        Err(SendError::Late) => drop(stream.reset(codes::REQUEST_CANCELLED)),
    }
}

/// The status for a head that cannot be read; `None` where nobody waits for a response any more.
fn refusal(error: &RequestError) -> Option<StatusCode> {
    match error {
        RequestError::Frames(FrameError::TooLarge(_)) => {
            metrics::counter!("gateway_frames_refused_total").increment(1);
            Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
        }
        RequestError::Head(HeadError::TooLarge) => Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
        RequestError::Head(HeadError::TargetTooLong) => Some(StatusCode::URI_TOO_LONG),
        RequestError::Head(HeadError::Malformed) => Some(StatusCode::BAD_REQUEST),
        _ => None,
    }
}

/// Ends both halves of a stream whose client did not say what it wants.
fn give_up(send: &mut quinn::SendStream, receiver: &mut Receiver, error: &RequestError) {
    let code = match error {
        RequestError::Incomplete => codes::REQUEST_INCOMPLETE,
        _ => codes::REQUEST_CANCELLED,
    };
    receiver.stop(code);
    // An error says that the stream is over already.
    let _ = send.reset(code);
}

/// Counts a head that never became a request, and makes the response to it.
fn refuse<S: Service>(status: StatusCode, peer: &Arc<Peer>, service: &'static S) -> Response<Full<Bytes>> {
    let (reason, faults) = match status {
        StatusCode::REQUEST_TIMEOUT => ("timeout", 1),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => ("too_large", TOO_LARGE_FAULTS),
        _ => ("malformed", 1),
    };
    metrics::counter!("gateway_heads_refused_total", "reason" => reason).increment(1);
    peer.count_faults(faults);
    service.refuse(status, Version::HTTP_3, peer).map(Full::new)
}
