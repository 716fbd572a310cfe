//! The head of a request over HTTP/3: read in its time, or refused on its own stream.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use h3::error::{Code, StreamError};
use h3::frame::FrameStreamError;
use h3::proto::frame::Frame;
use h3::quic::{RecvStream as _, SendStream as _, StreamErrorIncoming};
use h3::server::{RequestResolver, RequestStream};
use http::{Request, StatusCode};
use tracing::debug;

use super::field_lines::is_well_formed;
use super::streams::{BidiStream, Connection};
use super::{FrameTooLarge, within};

/// A request stream whose head has not been read.
pub(super) type Resolver = RequestResolver<Connection, Bytes>;
/// A request stream behind its head.
pub(super) type Stream = RequestStream<BidiStream<Bytes>, Bytes>;

/// What became of a head.
#[expect(clippy::large_enum_variant, reason = "it is moved once and nearly always the large one")]
pub(super) enum Head {
    /// It is a request.
    Read(Request<()>, Stream),
    /// It is none; this is to be answered.
    Refused(StatusCode, Stream),
    /// It is none, and h3 has answered or reset the stream itself.
    Answered(StatusCode),
    /// Nobody waits for an answer any more.
    GivenUp,
}

/// Reads a head; it has `time` for all of it.
pub(super) async fn read(mut resolver: Resolver, time: Duration) -> Head {
    let next = poll_fn(|context| resolver.frame_stream.poll_next(context));
    let frame = match within(time, next).await {
        None => return refuse(resolver, StatusCode::REQUEST_TIMEOUT).await,
        Some(Err(FrameStreamError::Quic(StreamErrorIncoming::Unknown(error))))
            if error.is::<FrameTooLarge>() =>
        {
            debug!(%error, "HTTP/3 client sent an oversized frame");
            metrics::counter!("gateway_frames_refused_total").increment(1);
            return refuse(resolver, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE).await;
        }
        Some(Ok(None)) => return give_up(resolver, Code::H3_REQUEST_INCOMPLETE).await,
        Some(Err(FrameStreamError::Quic(StreamErrorIncoming::StreamTerminated { .. }))) => {
            return give_up(resolver, Code::H3_REQUEST_CANCELLED).await;
        }
        Some(frame) => frame,
    };
    let section = if let Ok(Some(Frame::Headers(section))) = &frame { section.clone() } else { Bytes::new() };
    let resolved = match resolver.accept_with_frame(frame) {
        Ok(resolved) => resolved.resolve().await,
        Err(error) => Err(error),
    };
    match resolved {
        Ok((request, stream)) if is_well_formed(&section, path(&request)) => Head::Read(request, stream),
        Ok((_, stream)) => Head::Refused(StatusCode::BAD_REQUEST, stream),
        Err(StreamError::HeaderTooBig { .. }) => Head::Answered(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
        Err(StreamError::StreamError { .. }) => Head::Answered(StatusCode::BAD_REQUEST),
        Err(error) => {
            debug!(%error, "HTTP/3 request was given up");
            Head::GivenUp
        }
    }
}

fn path(request: &Request<()>) -> &str {
    request.uri().path_and_query().map_or("", |path| path.as_str())
}

/// `GET https://-/`, each line of QPACK's static table but the authority.
const STAND_IN: &[u8] = &[0, 0, 0xc0 | 17, 0xc0 | 23, 0x50, 1, b'-', 0xc0 | 1];

/// Makes the stream one that can be answered: h3 answers nothing without a head, so it is given one.
async fn refuse(resolver: Resolver, status: StatusCode) -> Head {
    let head = Frame::Headers(Bytes::from_static(STAND_IN));
    match resolver.accept_with_frame(Ok(Some(head))) {
        Ok(resolved) => match resolved.resolve().await {
            Ok((_, stream)) => Head::Refused(status, stream),
            Err(_) => Head::GivenUp,
        },
        Err(_) => Head::GivenUp,
    }
}

/// Resets the stream. h3 keeps the number of a stream that never had a head as long as the connection
/// lives, so this one gets one as well, for h3 to see it end.
async fn give_up(mut resolver: Resolver, code: Code) -> Head {
    resolver.frame_stream.reset(code.value());
    resolver.frame_stream.stream.stop_sending(code.value());
    drop(refuse(resolver, StatusCode::BAD_REQUEST).await);
    Head::GivenUp
}
