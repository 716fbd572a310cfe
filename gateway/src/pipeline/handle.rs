//! The last step of a request: receives its content and calls its endpoint.

use std::pin::pin;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use versions::{
    Action, Body, Context, Entry, Error, ErrorCode, Input, Reply, ReplyFuture, VersionTable, has_content,
};

use super::exchange::Exchange;
use super::{Pipeline, negotiate};
use crate::callers::Caller;
use crate::http::{Fields, declared_length};
use crate::transport::{RequestBody, within};

/// A request that no step has refused.
pub(super) struct Call<'r> {
    pub(super) table: &'r VersionTable,
    pub(super) entry: &'r Entry,
    pub(super) caller: &'r Arc<Caller>,
    /// The date to preview, if one was requested.
    pub(super) has_preview: bool,
}

impl Pipeline {
    /// Calls the endpoint.
    pub(super) async fn handle(
        &'static self,
        exchange: &mut Exchange<'_>,
        call: &Call<'_>,
        mut input: Input<'_>,
        body: RequestBody,
    ) -> Result<Reply, Error> {
        if has_content(&exchange.head.method) {
            if !body.is_end_stream() {
                input.content = Box::pin(self.receive(exchange, body)).await?;
            }
            exchange.is_read = true;
        } else {
            exchange.is_read = body.is_end_stream() || discard(exchange, body)?;
        }
        let newer = if call.has_preview { Some(self.preview_version(exchange, call)?) } else { None };
        let context = Context {
            version: call.table.version,
            caller: call.caller.identity(),
            client: exchange.record.client.nearest(),
            protocol: exchange.record.protocol,
            headers: &exchange.head.headers,
            received: exchange.record.received,
            connection: &**exchange.peer,
            services: self,
        };
        let again = newer.map(|newer| (newer, Box::new(input.clone())));
        let reply = pin!(reply(call.entry, &context, input)).await?;
        let Some((newer, again)) = again else { return Ok(reply) };
        let previewed = if let Body::Full(body) = &reply.body { &body[..] } else { b"null" };
        let preview = Box::pin(self.preview(exchange, newer, call, &context, *again, previewed)).await;
        exchange.preview = Some(Box::new(preview));
        Ok(reply)
    }

    /// Receives content, within its limits. Meanwhile the request holds an upload slot instead of a slot in
    /// flight.
    async fn receive(
        &'static self,
        exchange: &mut Exchange<'_>,
        mut body: RequestBody,
    ) -> Result<Bytes, Error> {
        let (limits, timeouts) = (&exchange.snapshot.limits, &exchange.snapshot.timeouts);
        exchange.places.slot = None;
        let upload = self.uploads.take(limits.uploads_in_flight_max)?;
        let head = exchange.head;
        let declared = declared_length(Fields::find(&head.headers).content_length)?;
        let late = || Error::new(ErrorCode::RequestTimeout, "The content did not arrive in time.");
        let receive = async {
            let mut content = BytesMut::new();
            while let Some(frame) = within(timeouts.body, body.frame()).await.ok_or_else(late)? {
                let frame = frame.map_err(|error| {
                    exchange.record.client_is_gone = !error.is_malformed();
                    Error::new(ErrorCode::MalformedRequest, "The content is malformed or broke off.")
                })?;
                let Some(data) = frame.data_ref() else { continue };
                if content.is_empty() && !data.is_empty() {
                    // Over HTTP/3, the first bytes show that there is content at all.
                    negotiate::content(&head.headers)?;
                }
                if content.len() + data.len() > limits.body_bytes_max {
                    let detail = format!("The content has more than {} bytes.", limits.body_bytes_max);
                    return Err(Error::new(ErrorCode::ContentTooLarge, detail));
                }
                content.extend_from_slice(data);
            }
            Ok(content.freeze())
        };
        let content = within(timeouts.request, receive).await.unwrap_or_else(|| Err(late()))?;
        check_declared(declared, content.len())?;
        drop(upload);
        exchange.places.slot = Some(self.slots.take(limits.requests_in_flight_max)?);
        Ok(content)
    }
}

/// Discards the content that has arrived for a method without content, where it has no meaning (RFC 9110
/// §9.3.1), without waiting for the rest. Returns whether that was all of it.
fn discard(exchange: &Exchange<'_>, mut body: RequestBody) -> Result<bool, Error> {
    let declared = declared_length(Fields::find(&exchange.head.headers).content_length)?;
    let mut length = 0;
    while length <= exchange.snapshot.limits.body_bytes_max {
        match body.frame().now_or_never() {
            None => return Ok(false),
            Some(Some(Ok(frame))) => length += frame.data_ref().map_or(0, Bytes::len),
            Some(Some(Err(_))) => {
                return Err(Error::new(
                    ErrorCode::MalformedRequest,
                    "The content is malformed or broke off.",
                ));
            }
            Some(None) => return check_declared(declared, length).map(|()| true),
        }
    }
    Ok(false)
}

/// Checks the content's length. hyper and h2 do that over HTTP/1 and HTTP/2, so this is for HTTP/3 (RFC 9114
/// §4.1.2).
fn check_declared(declared: Option<u64>, length: usize) -> Result<(), Error> {
    if declared.is_none_or(|declared| declared == length as u64) {
        return Ok(());
    }
    let detail = format!("The content has {length} bytes, and `Content-Length` says something else.");
    Err(Error::new(ErrorCode::MalformedRequest, detail))
}

/// Calls the endpoint's handler.
pub(super) fn reply<'a>(entry: &Entry, context: &'a Context<'a>, input: Input<'a>) -> ReplyFuture<'a> {
    match entry.route.action {
        Action::Native(handle) => handle(context, input),
    }
}
