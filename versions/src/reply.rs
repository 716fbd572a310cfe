//! Replies of handlers: a status, additional response fields, and a body that is complete or streams.
//!
//! Most handlers return their typed response, which becomes JSON with the status that their endpoint
//! declares. A handler that needs more control returns a [`Reply`].

use std::cell::RefCell;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;

use crate::Error;

/// A reply. `B` is the type of its body before it is serialized.
pub struct Reply<B = Body> {
    /// The status, if it is not the one that the endpoint declares.
    pub status: Option<StatusCode>,
    /// Additional response fields. They never replace those that the gateway sets.
    pub headers: HeaderMap,
    /// The body.
    pub body: B,
}

/// The body of a reply.
pub enum Body {
    /// No bytes.
    Empty,
    /// All bytes at once.
    Full(Bytes),
    /// Bytes that are sent as they become available.
    Stream(Stream),
}

/// A streaming body. Its trailers are dropped; an error aborts the response.
pub type Stream = Pin<Box<dyn http_body::Body<Data = Bytes, Error = BoxError> + Send>>;

/// Why a stream failed; for the log.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A type that a handler may return.
pub trait IntoReply {
    /// The media type of the body; `None` if there is no body.
    const MEDIA_TYPE: Option<&'static str>;

    /// The JSON schema of the body; `None` if it is not JSON.
    fn schema(generator: &mut SchemaGenerator) -> Option<Schema>;

    /// Converts it to a reply.
    ///
    /// # Errors
    /// An internal error if the body cannot be serialized.
    fn into_reply(self) -> Result<Reply, Error>;
}

impl<T: Serialize + JsonSchema> IntoReply for T {
    const MEDIA_TYPE: Option<&'static str> = Some("application/json");

    fn schema(generator: &mut SchemaGenerator) -> Option<Schema> {
        Some(generator.root_schema_for::<T>())
    }

    fn into_reply(self) -> Result<Reply, Error> {
        Ok(Reply::new(Body::Full(json(&self)?)))
    }
}

/// No body, as with status 204.
#[derive(Clone, Copy, Debug)]
pub struct NoContent;

impl IntoReply for NoContent {
    const MEDIA_TYPE: Option<&'static str> = None;

    fn schema(_: &mut SchemaGenerator) -> Option<Schema> {
        None
    }

    fn into_reply(self) -> Result<Reply, Error> {
        Ok(Reply::new(Body::Empty))
    }
}

/// Bytes of any kind; the reply may set a `content-type` other than `application/octet-stream`.
impl IntoReply for Body {
    const MEDIA_TYPE: Option<&'static str> = Some("application/octet-stream");

    fn schema(_: &mut SchemaGenerator) -> Option<Schema> {
        None
    }

    fn into_reply(self) -> Result<Reply, Error> {
        Ok(Reply::new(self))
    }
}

impl<B: IntoReply> IntoReply for Reply<B> {
    const MEDIA_TYPE: Option<&'static str> = B::MEDIA_TYPE;

    fn schema(generator: &mut SchemaGenerator) -> Option<Schema> {
        B::schema(generator)
    }

    fn into_reply(self) -> Result<Reply, Error> {
        Ok(Reply { status: self.status, headers: self.headers, body: self.body.into_reply()?.body })
    }
}

impl<B> Reply<B> {
    /// A reply with the status that its endpoint declares and no additional fields.
    #[must_use]
    pub fn new(body: B) -> Self {
        Self { status: None, headers: HeaderMap::new(), body }
    }

    /// Sets the status.
    #[must_use]
    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status: Some(status), ..self }
    }

    /// Adds a response field.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }
}

thread_local! {
    /// A scratch buffer for a body until its length is known.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// A block that small bodies are cut from, so that most replies allocate nothing.
    static BLOCK: RefCell<BytesMut> = RefCell::new(BytesMut::with_capacity(BLOCK_BYTES));
}

/// A larger scratch buffer is freed, so that one large body does not keep its memory.
const SCRATCH_BYTES_KEPT: usize = 64 * 1024;
const BLOCK_BYTES: usize = 4096;
/// Larger bodies are allocated separately: one that waits for a slow client must not keep a block.
const SMALL_BYTES_MAX: usize = 512;

/// Serializes a value as a JSON body.
fn json(value: &impl Serialize) -> Result<Bytes, Error> {
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.clear();
        serde_json::to_writer(&mut *scratch, value).map_err(Error::internal)?;
        let body = if scratch.len() > SMALL_BYTES_MAX {
            Bytes::copy_from_slice(scratch)
        } else {
            BLOCK.with_borrow_mut(|block| {
                block.extend_from_slice(scratch);
                block.split().freeze()
            })
        };
        scratch.shrink_to(SCRATCH_BYTES_KEPT);
        Ok(body)
    })
}

#[cfg(test)]
mod tests {
    use http::header;

    use super::*;

    fn bytes(reply: Reply) -> Bytes {
        match reply.body {
            Body::Full(bytes) => bytes,
            Body::Empty | Body::Stream(_) => Bytes::new(),
        }
    }

    #[test]
    fn a_typed_response_becomes_json_of_any_size() {
        for length in [0, 1, SMALL_BYTES_MAX, SCRATCH_BYTES_KEPT * 2] {
            let text = "x".repeat(length);
            assert_eq!(bytes(text.clone().into_reply().unwrap()), format!("\"{text}\""));
        }
    }

    #[test]
    fn status_and_fields_stay_with_the_body() {
        let location = HeaderValue::from_static("/things/1.json");
        let reply = Reply::new(true)
            .with_status(StatusCode::CREATED)
            .with_header(header::LOCATION, location.clone())
            .into_reply()
            .unwrap();
        assert_eq!((reply.status, &reply.headers[header::LOCATION]), (Some(StatusCode::CREATED), &location));
        assert_eq!(bytes(reply), "true");
        assert!(matches!(NoContent.into_reply().unwrap().body, Body::Empty));
    }
}
