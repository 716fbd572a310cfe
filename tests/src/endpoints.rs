//! Endpoints for tests only: they receive content, or reply late, with a stream that may fail or never end,
//! or with other statuses than 200. `test-gateway` serves them below `/test/`, beside the product's dates.

use std::pin::Pin;
use std::task::{Context as Poller, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use http_body::{Frame, SizeHint};
use permissions::ApiAccessPermission;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, Sleep};
use versions::{
    Body, BoxError, Context, Credential, Empty, Endpoint, Error, ErrorCode, Handler, Lifecycle, NoContent,
    Release, Reply, Route, Version,
};

/// The releases that `test-gateway` serves.
pub fn releases() -> Vec<Release> {
    let mut releases = vec![RELEASE];
    releases.extend_from_slice(versions::RELEASES);
    releases
}

const RELEASE: Release = Release {
    added: &[
        Route::native::<Echo>(),
        Route::native::<Wait>(),
        Route::native::<OwnKey>(),
        Route::native::<Download>(),
        Route::native::<Make>(),
        Route::native::<Forget>(),
    ],
    ..Release::new(Version::label("test"), "Endpoints for tests.", Lifecycle::published(2020, 1, 1))
};

/// A text that is returned.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Text {
    /// Any text.
    pub text: String,
}

/// `POST /test/echo.json`.
pub struct Echo;

impl Endpoint for Echo {
    const NAME: &'static str = "echo";
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/echo.json";
    const PERMISSION: ApiAccessPermission = ApiAccessPermission::PING_READ;
    const SUMMARY: &'static str = "Send back a text.";

    type Request = Text;
    type Response = Text;

    fn example() -> Text {
        Text { text: "hello".to_owned() }
    }
}

impl Handler for Echo {
    async fn handle(_: &Context<'_>, request: Text) -> Result<Text, Error> {
        Ok(request)
    }
}

/// What the store has of a key.
#[derive(Debug, Serialize, JsonSchema)]
pub struct KeyInfo {
    /// Its partner.
    pub partner: String,
    /// What its holder calls it.
    pub name: String,
}

/// `GET /test/key.json`: the caller's own key, read from the store.
pub struct OwnKey;

impl Endpoint for OwnKey {
    const NAME: &'static str = "ownKey";
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/key.json";
    const PERMISSION: ApiAccessPermission = ApiAccessPermission::PING_READ;
    const SUMMARY: &'static str = "Show the caller's key.";

    type Request = Empty;
    type Response = KeyInfo;

    fn example() -> KeyInfo {
        KeyInfo { partner: "acme".to_owned(), name: String::new() }
    }
}

impl Handler for OwnKey {
    async fn handle(context: &Context<'_>, _: Empty) -> Result<KeyInfo, Error> {
        let Credential::Key(id) = context.caller.credential else {
            return Err(Error::new(ErrorCode::MalformedRequest, "Call this with a key."));
        };
        let key = context.services.key(id).await?.ok_or_else(|| Error::internal("the key is gone"))?;
        Ok(KeyInfo { partner: key.partner, name: key.name })
    }
}

/// How long to wait.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Delay {
    /// Milliseconds.
    #[schemars(example = 1)]
    pub ms: u64,
}

/// `GET /test/wait.json?ms=N`.
pub struct Wait;

impl Endpoint for Wait {
    const NAME: &'static str = "wait";
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/wait.json";
    const PERMISSION: ApiAccessPermission = ApiAccessPermission::PING_READ;
    const SUMMARY: &'static str = "Reply after a while.";

    type Request = Delay;
    type Response = bool;

    fn example() -> bool {
        true
    }
}

impl Handler for Wait {
    async fn handle(_: &Context<'_>, request: Delay) -> Result<bool, Error> {
        tokio::time::sleep(Duration::from_millis(request.ms)).await;
        Ok(true)
    }
}

/// What to stream.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Stream {
    /// The total size in bytes; none for a stream that never ends.
    pub bytes: Option<u64>,
    /// The size of a piece in bytes.
    pub piece: Option<usize>,
    /// Milliseconds between pieces.
    pub pause_ms: Option<u64>,
    /// The number of bytes after which the stream fails.
    pub break_after: Option<u64>,
    /// Whether the response declares its length.
    #[serde(default)]
    pub sized: bool,
}

/// `GET /test/download.bin`.
pub struct Download;

impl Endpoint for Download {
    const NAME: &'static str = "download";
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/download.bin";
    const PERMISSION: ApiAccessPermission = ApiAccessPermission::PING_READ;
    const SUMMARY: &'static str = "Stream bytes.";

    type Request = Stream;
    type Response = Reply<Body>;

    fn example() -> Reply<Body> {
        Reply::new(Body::Full(Bytes::from_static(b"xxxx")))
    }
}

/// The content repeats after this many bytes; a prime, so that a lost or repeated piece is detected.
const PATTERN: u64 = 251;

/// The byte at a position of a stream.
pub fn byte_at(position: u64) -> u8 {
    (position % PATTERN) as u8
}

impl Handler for Download {
    async fn handle(_: &Context<'_>, request: Stream) -> Result<Reply<Body>, Error> {
        let piece = request.piece.unwrap_or(16 * 1024).clamp(1, 1024 * 1024);
        let pattern: Vec<u8> = (0..PATTERN + piece as u64).map(byte_at).collect();
        Ok(Reply::new(Body::Stream(Box::pin(Pieces {
            pattern: pattern.into(),
            piece,
            pause: request
                .pause_ms
                .map(|ms| (Duration::from_millis(ms), Box::pin(tokio::time::sleep(Duration::ZERO)))),
            sent: 0,
            bytes: request.bytes,
            break_after: request.break_after,
            sized: request.sized,
        }))))
    }
}

struct Pieces {
    pattern: Bytes,
    piece: usize,
    pause: Option<(Duration, Pin<Box<Sleep>>)>,
    sent: u64,
    bytes: Option<u64>,
    break_after: Option<u64>,
    sized: bool,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        poller: &mut Poller<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let left = this.bytes.map_or(u64::MAX, |bytes| bytes - this.sent);
        if left == 0 {
            return Poll::Ready(None);
        }
        if this.break_after.is_some_and(|end| this.sent >= end) {
            return Poll::Ready(Some(Err("the stream fails on request".into())));
        }
        if let Some((pause, sleep)) = &mut this.pause {
            std::task::ready!(sleep.as_mut().poll(poller));
            sleep.as_mut().reset(Instant::now() + *pause);
        }
        let length = (this.piece as u64).min(left);
        let start = (this.sent % PATTERN) as usize;
        let piece = this.pattern.slice(start..start + length as usize);
        this.sent += length;
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn size_hint(&self) -> SizeHint {
        match self.bytes {
            Some(bytes) if self.sized => SizeHint::with_exact(bytes - self.sent),
            _ => SizeHint::default(),
        }
    }
}

/// `POST /test/things.json`: 201 with additional response fields.
pub struct Make;

impl Endpoint for Make {
    const NAME: &'static str = "create_thing";
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/things.json";
    const PERMISSION: ApiAccessPermission = ApiAccessPermission::PING_READ;
    const SUMMARY: &'static str = "Create a thing.";
    const STATUS: StatusCode = StatusCode::CREATED;

    type Request = Text;
    type Response = Reply<Text>;

    fn example() -> Reply<Text> {
        Reply::new(Echo::example())
    }
}

impl Handler for Make {
    async fn handle(_: &Context<'_>, request: Text) -> Result<Reply<Text>, Error> {
        let location = HeaderValue::from_static("/test/things/1.json");
        let reply = Reply::new(request).with_header(header::LOCATION, location);
        // These fields are the gateway's; a handler cannot set them.
        let reply = reply.with_header(header::CONNECTION, HeaderValue::from_static("upgrade"));
        Ok(reply
            .with_header(header::HeaderName::from_static("x-request-id"), HeaderValue::from_static("mine")))
    }
}

/// `DELETE /test/things.json`: 204.
pub struct Forget;

impl Endpoint for Forget {
    const NAME: &'static str = "delete_things";
    const METHOD: Method = Method::DELETE;
    const PATH: &'static str = "/things.json";
    const PERMISSION: ApiAccessPermission = ApiAccessPermission::PING_READ;
    const SUMMARY: &'static str = "Delete all things.";
    const STATUS: StatusCode = StatusCode::NO_CONTENT;

    type Request = Empty;
    type Response = NoContent;

    fn example() -> NoContent {
        NoContent
    }
}

impl Handler for Forget {
    async fn handle(_: &Context<'_>, _: Empty) -> Result<NoContent, Error> {
        Ok(NoContent)
    }
}
