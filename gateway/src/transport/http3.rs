//! HTTP/3 on one connection (RFC 9114).
//!
//! The request streams are read and written by the codec in this folder; `h3` handles the unidirectional
//! streams: settings, GOAWAY of both sides, and forbidden frames. It never sees a request.

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

/// How many faults one oversized head counts as: the connection survives a few, but not an attack.
const TOO_LARGE_FAULTS: u32 = 64;
/// Requests that are still served after the first GOAWAY, because they were in flight.
const GOAWAY_GRACE_REQUESTS: u64 = 256;

enum Next {
    Announce,
    End(quinn::VarInt),
    Leaving,
    Accepted(Result<(quinn::SendStream, quinn::RecvStream), quinn::ConnectionError>),
}

/// Serves a connection to its end; returns the code to close it with, unless it is closed already.
pub(super) async fn serve<S: Service>(
    control: &mut Control,
    link: &Arc<Link>,
    peer: &Arc<Peer>,
    service: &'static S,
) -> quinn::VarInt {
    let state = Arc::<S::ConnectionState>::default();
    let mut watch = peer.watch_close();
    // Kept between polls, because dropping it would lose its place in quinn's queue.
    let mut accepting = pin!(link.connection.accept_bi());
    // How many requests have started, and how many may, once GOAWAY was sent.
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
                // A client that does not read it is not waited for.
                if !matches!(within(link.settings.goodbye, control.go_away(requests)).await, Some(Ok(()))) {
                    return NO_ERROR;
                }
            }
            // The client has sent GOAWAY; the server sends its own once all requests are served. The last
            // responses may still be in flight then, so the client closes the connection, or else the sweep
            // does.
            Next::Leaving => peer.close(Close::Drain),
            Next::Accepted(Ok((mut send, mut receive))) => {
                accepting.set(link.connection.accept_bi());
                let number = send.id().index();
                if begun_max.is_some_and(|max| number >= max) {
                    // An error means that the stream is closed already.
                    let _ = receive.stop(codes::REQUEST_REJECTED);
                    let _ = send.reset(codes::REQUEST_REJECTED);
                    continue;
                }
                begun = begun.max(number + 1);
                let (link, peer, state) = (Arc::clone(link), Arc::clone(peer), Arc::clone(&state));
                let mut request =
                    RecycledFuture::new(|| serve_request(send, receive, link, peer, state, service));
                // Most requests are complete when they are accepted and handled at once, without a task.
                if poll_once(Pin::new(&mut request)).await.is_pending() {
                    tokio::spawn(request);
                }
            }
            // The client has disconnected, or the connection was closed with the right code.
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
                return reset_if_failed(&mut send, sent);
            };
            peer.forgive_fault();
            // In a block, so that its memory is free again when the response is sent.
            let response = {
                let mut response = pin!(service.serve(head, body, Arc::clone(&peer), state));
                match poll_once(response.as_mut()).await {
                    Poll::Ready(response) => response,
                    Poll::Pending => {
                        // A client that stops the response has cancelled the request.
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
                reject_stream(&mut send, &mut receiver, &error);
                return peer.count_faults(1);
            };
            send::send(&mut send, refuse(status, &peer, service), limit).await
        }
        None => send::send(&mut send, refuse(StatusCode::REQUEST_TIMEOUT, &peer, service), limit).await,
    };
    reset_if_failed(&mut send, sent);
    drop(in_flight);
}

/// Resets the stream of an incomplete response.
fn reset_if_failed(stream: &mut quinn::SendStream, sent: Result<(), SendError>) {
    // An error means that the stream is closed already.
    match sent {
        Ok(()) | Err(SendError::Stopped) => {}
        Err(SendError::Body) => drop(stream.reset(codes::INTERNAL_ERROR)),
        Err(SendError::Late) => drop(stream.reset(codes::REQUEST_CANCELLED)),
    }
}

/// The status for a head that cannot be read; `None` if the client no longer waits for a response.
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

/// Closes both halves of a stream without a readable request.
fn reject_stream(send: &mut quinn::SendStream, receiver: &mut Receiver, error: &RequestError) {
    let code = match error {
        RequestError::Incomplete => codes::REQUEST_INCOMPLETE,
        _ => codes::REQUEST_CANCELLED,
    };
    receiver.stop(code);
    // An error means that the stream is closed already.
    let _ = send.reset(code);
}

/// Counts a head that cannot be read, and returns the response to it.
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
