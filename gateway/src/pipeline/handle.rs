//! The last step of a request: its endpoint answers, at once or when it has waited.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use versions::{Action, Answer, Context, Entry, Error, ErrorCode, Input, VersionTable, has_content};

use super::authenticate::Caller;
use super::record::Record;
use super::{Pipeline, Reply, Settings, negotiate};
use crate::limits::{Fields, declared_length};
use crate::transport::{Body, Peer, within};

/// A request that no step has refused.
pub(super) struct Call<'r> {
    pub(super) head: &'r Parts,
    pub(super) table: &'static VersionTable,
    pub(super) caller: &'r Arc<Caller>,
    pub(super) entry: &'static Entry,
    /// Whether another date's answer is wanted beside it.
    pub(super) has_preview: bool,
}

/// A call that waits, without what it borrows.
pub(super) struct Later {
    table: &'static VersionTable,
    caller: Arc<Caller>,
    entry: &'static Entry,
    has_preview: bool,
}

impl Call<'_> {
    /// Whether the answer may have to be waited for: for the request's content, or for an endpoint.
    pub(super) fn waits(&self, body: &Body) -> bool {
        !body.is_end_stream() || self.entry.route.waits || self.has_preview
    }

    pub(super) fn later(&self) -> Later {
        let Self { table, entry, has_preview, .. } = *self;
        Later { table, caller: Arc::clone(self.caller), entry, has_preview }
    }
}

impl Later {
    /// As [`Pipeline::handle`].
    pub(super) async fn handled(
        self,
        pipeline: &'static Pipeline,
        head: &Parts,
        body: Body,
        peer: &Peer,
        record: &mut Record,
        settings: &Settings,
    ) -> Result<Reply, Error> {
        let Self { table, caller, entry, has_preview } = &self;
        let call = Call { head, table, caller, entry, has_preview: *has_preview };
        let (_, mut input) = table.resource(pipeline.catalog.below(head.uri.path()))?;
        input.query = head.uri.query().unwrap_or_default();
        pipeline.handle(&call, input, body, peer, record, settings).await
    }
}

impl Pipeline {
    /// Has the endpoint answer.
    pub(super) async fn handle(
        &'static self,
        call: &Call<'_>,
        mut input: Input<'_>,
        body: Body,
        peer: &Peer,
        record: &mut Record,
        settings: &Settings,
    ) -> Result<Reply, Error> {
        if !body.is_end_stream() {
            input.content = Box::pin(read(body, call.head, record, settings)).await?;
        }
        record.is_read = true;
        let wanted =
            if call.has_preview { Some(self.preview_wanted(call, settings, record.time)?) } else { None };
        let context = Context {
            version: call.table.version,
            environment: call.caller.key.environment,
            client: record.client,
            protocol: record.protocol,
            headers: &call.head.headers,
            received: record.received,
            connection: peer,
            services: self,
        };
        let again = wanted.map(|table| Box::new((table, input.clone())));
        let body = answer(call.entry, &context, input).await?;
        let Some((newer, input)) = again.map(|again| *again) else { return Ok(Reply::Json(body, None)) };
        let preview = Box::pin(self.preview(newer, call, &context, input, &body, settings)).await;
        Ok(Reply::Json(body, Some(Box::new(preview))))
    }
}

/// The endpoint's own part.
pub(super) fn answer<'a>(entry: &Entry, context: &'a Context<'a>, input: Input<'a>) -> Answer<'a> {
    match entry.route.action {
        Action::Native(handle) => handle(context, input),
    }
}

/// Reads content within the bounds of any content, and keeps it where the endpoint takes some.
async fn read(
    mut body: Body,
    head: &Parts,
    record: &mut Record,
    settings: &Settings,
) -> Result<Bytes, Error> {
    let declared = declared_length(Fields::find(&head.headers).content_length)?;
    let keep = has_content(&head.method);
    let (max, timeouts) = (settings.limits.body_bytes_max, &settings.timeouts);
    let late = || Error::new(ErrorCode::RequestTimeout, "The content did not arrive in time.");
    let read = async {
        let mut bytes = 0;
        let mut kept = BytesMut::new();
        while let Some(frame) = within(timeouts.body, body.frame()).await.ok_or_else(late)? {
            let frame = frame.map_err(|error| {
                record.client_is_gone = !error.is_malformed();
                Error::new(ErrorCode::MalformedRequest, "The content is malformed or broke off.")
            })?;
            let before = bytes;
            bytes += frame.data_ref().map_or(0, Bytes::len);
            if before == 0 && bytes > 0 {
                // Over HTTP/3 only now is it known that there is content at all.
                negotiate::content(&head.headers)?;
            }
            if bytes > max {
                let detail = format!("The content has more than {max} bytes.");
                return Err(Error::new(ErrorCode::ContentTooLarge, detail));
            }
            if let Some(data) = frame.data_ref().filter(|_| keep) {
                kept.extend_from_slice(data);
            }
        }
        // hyper and h2 have seen to it over HTTP/1 and HTTP/2; over HTTP/3 it is left to us (RFC 9114 §4.1.2).
        if declared.is_some_and(|declared| declared != bytes as u64) {
            let detail = format!("The content has {bytes} bytes, and `Content-Length` says something else.");
            return Err(Error::new(ErrorCode::MalformedRequest, detail));
        }
        Ok(kept.freeze())
    };
    within(timeouts.request, read).await.unwrap_or_else(|| Err(late()))
}
