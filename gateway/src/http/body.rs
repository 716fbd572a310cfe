//! The body of a response, which holds the request's record and its slots until its end.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use versions::{Body, BoxError};

use super::record::Record;
use crate::callers::CallerSlot;
use crate::limits::Slot;
use crate::transport::ResponseBody;

/// The slots that a request holds until the end of its response.
#[derive(Default)]
pub struct Places {
    /// The slot among all requests in flight.
    pub(crate) slot: Option<Slot>,
    /// The slot among the requests of its caller.
    pub(crate) of_caller: Option<CallerSlot>,
}

/// A response body that is being sent. If it is dropped before its end, the response is recorded as
/// incomplete.
pub struct ReplyBody {
    body: Body,
    record: Record,
    _places: Places,
}

impl ReplyBody {
    pub(crate) const fn new(body: Body, record: Record, places: Places) -> Self {
        Self { body, record, _places: places }
    }

    /// Takes all bytes of a body that does not stream, and counts them as sent.
    pub(crate) fn take_bytes(&mut self) -> Bytes {
        let bytes = match std::mem::replace(&mut self.body, Body::Empty) {
            Body::Full(bytes) => bytes,
            Body::Empty | Body::Stream(_) => Bytes::new(),
        };
        self.record.sent(bytes.len());
        self.record.complete();
        bytes
    }
}

impl http_body::Body for ReplyBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.body {
            Body::Empty => Poll::Ready(None),
            Body::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                self.body = Body::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Body::Stream(stream) => {
                let frame = std::task::ready!(stream.as_mut().poll_frame(context));
                if let Some(Err(error)) = &frame {
                    self.record.broke_off(&**error);
                }
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            Body::Empty => true,
            Body::Full(bytes) => bytes.is_empty(),
            Body::Stream(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Body::Empty => SizeHint::with_exact(0),
            Body::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Body::Stream(stream) => stream.size_hint(),
        }
    }
}

impl ResponseBody for ReplyBody {
    fn sent(&mut self, bytes: usize) {
        self.record.sent(bytes);
    }

    fn complete(&mut self) {
        self.record.complete();
    }
}
