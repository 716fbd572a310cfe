//! The last step of a request: receives its content and calls its endpoint.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use versions::{
    Action, Body, Context, Entry, Error, ErrorCode, Input, Reply, ReplyFuture, VersionTable, has_content,
};

use super::exchange::Exchange;
use super::idempotency::{Begun, Kept};
use super::{Pipeline, negotiate};
use crate::callers::Caller;
use crate::http::{ContentBounds, Fields, check_declared, declared_length, receive_content};
use crate::transport::RequestBody;

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
            request_id: exchange.record.id(),
            protocol: exchange.record.protocol,
            headers: &exchange.head.headers,
            received: exchange.record.received,
            connection: &**exchange.peer,
            services: self,
        };
        if call.entry.route.takes_idempotency_key {
            return Box::pin(self.handle_once(exchange, call, &context, input)).await;
        }
        let again = newer.map(|newer| (newer, Box::new(input.clone())));
        let reply = pin!(reply(call.entry, &context, input)).await?;
        let Some((newer, again)) = again else { return Ok(reply) };
        let previewed = if let Body::Full(body) = &reply.body { &body[..] } else { b"null" };
        let preview = Box::pin(self.preview(exchange, newer, call, &context, *again, previewed)).await;
        exchange.preview = Some(Box::new(preview));
        Ok(reply)
    }

    /// Calls an endpoint that takes an `Idempotency-Key`.
    async fn handle_once(
        &self,
        exchange: &Exchange<'_>,
        call: &Call<'_>,
        context: &Context<'_>,
        input: Input<'_>,
    ) -> Result<Reply, Error> {
        match self.begin_idempotent(exchange, call.caller, &input.content).await? {
            Begun::Plain => reply(call.entry, context, input).await,
            Begun::Repeated(reply) => Ok(reply),
            Begun::First(first) => {
                let outcome = reply(call.entry, context, input).await;
                let kept = outcome.as_ref().ok().map(Kept::of);
                self.end_idempotent(exchange, first, kept).await?;
                outcome
            }
        }
    }

    /// Receives content, within its limits. Meanwhile the request holds an upload slot instead of a slot in
    /// flight.
    async fn receive(&'static self, exchange: &mut Exchange<'_>, body: RequestBody) -> Result<Bytes, Error> {
        let (limits, timeouts) = (&exchange.snapshot.limits, &exchange.snapshot.timeouts);
        exchange.places.slot = None;
        let upload = self.uploads.take(limits.uploads_in_flight_max)?;
        let head = exchange.head;
        let bounds =
            ContentBounds { bytes_max: limits.body_bytes_max, chunk: timeouts.body, total: timeouts.request };
        let is_gone = &mut exchange.record.client_is_gone;
        let begins = || negotiate::content(&head.headers);
        let content = receive_content(body, &head.headers, bounds, is_gone, begins).await?;
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

/// Calls the endpoint's handler.
pub(super) fn reply<'a>(entry: &Entry, context: &'a Context<'a>, input: Input<'a>) -> ReplyFuture<'a> {
    match entry.route.action {
        Action::Native(handle) => handle(context, input),
    }
}
