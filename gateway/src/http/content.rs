//! Receives the content of a request, within bounds of size and time.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body_util::BodyExt as _;
use versions::{Error, ErrorCode};

use super::{Fields, declared_length};
use crate::transport::{RequestBody, within};

/// The bounds of a request's content.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ContentBounds {
    /// Its size.
    pub(crate) bytes_max: usize,
    /// The time between two chunks.
    pub(crate) chunk: Duration,
    /// The time in all, however steadily it arrives.
    pub(crate) total: Duration,
}

/// Receives all of the content. `begins` is called before the first bytes are kept: over HTTP/3 only they show
/// that there is content at all. `client_is_gone` is set where no response can arrive any more.
///
/// # Errors
/// [`ErrorCode::RequestTimeout`], [`ErrorCode::ContentTooLarge`], [`ErrorCode::MalformedRequest`], or what
/// `begins` returns.
pub(crate) async fn receive_content(
    mut body: RequestBody,
    headers: &HeaderMap,
    bounds: ContentBounds,
    client_is_gone: &mut bool,
    begins: impl Fn() -> Result<(), Error>,
) -> Result<Bytes, Error> {
    let declared = declared_length(Fields::find(headers).content_length)?;
    let late = || Error::new(ErrorCode::RequestTimeout, "The content did not arrive in time.");
    let receive = async {
        let mut content = BytesMut::new();
        while let Some(frame) = within(bounds.chunk, body.frame()).await.ok_or_else(late)? {
            let frame = frame.map_err(|error| {
                *client_is_gone = !error.is_malformed();
                Error::new(ErrorCode::MalformedRequest, "The content is malformed or broke off.")
            })?;
            let Some(data) = frame.data_ref() else { continue };
            if content.is_empty() && !data.is_empty() {
                begins()?;
            }
            if content.len() + data.len() > bounds.bytes_max {
                let detail = format!("The content has more than {} bytes.", bounds.bytes_max);
                return Err(Error::new(ErrorCode::ContentTooLarge, detail));
            }
            content.extend_from_slice(data);
        }
        Ok(content.freeze())
    };
    let content = within(bounds.total, receive).await.unwrap_or_else(|| Err(late()))?;
    check_declared(declared, content.len())?;
    Ok(content)
}

/// Checks the content's length. hyper and h2 do that over HTTP/1 and HTTP/2, so this is for HTTP/3 (RFC 9114
/// §4.1.2).
///
/// # Errors
/// [`ErrorCode::MalformedRequest`].
pub(crate) fn check_declared(declared: Option<u64>, length: usize) -> Result<(), Error> {
    if declared.is_none_or(|declared| declared == length as u64) {
        return Ok(());
    }
    let detail = format!("The content has {length} bytes, and `Content-Length` says something else.");
    Err(Error::new(ErrorCode::MalformedRequest, detail))
}
