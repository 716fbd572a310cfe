//! Decodes a field section as the head of a request (RFC 9114 §4.2, §4.3), or as its trailers.
//!
//! Values are decoded into a shared block of memory, except those of the static table, and the map of fields
//! is reused from an earlier response. So a usual head allocates nothing.

use std::cell::{Cell, RefCell};

use bytes::{Bytes, BytesMut};
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Version, header};

use super::qpack::{Line, Lines, Text, Undecodable};
use super::static_table::{Entry, Pseudo};

/// Why a section is not the head of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// `QPACK_DECOMPRESSION_FAILED`, an error of the connection.
    #[error("a field section cannot be decoded")]
    Undecodable,
    /// It is too large when decoded; 32 bytes are added for each field (RFC 9114 §4.2.2).
    #[error("a field section is too large when it is decoded")]
    TooLarge,
    /// Its target is longer than `Uri` supports.
    #[error("the target is too long")]
    TargetTooLong,
    /// It is malformed (RFC 9114 §4.1.2).
    #[error("a field section is malformed")]
    Malformed,
}

impl From<Undecodable> for HeadError {
    fn from(_: Undecodable) -> Self {
        Self::Undecodable
    }
}

/// The size of a memory block that the values of many heads are cut from.
const BLOCK_BYTES: usize = 4096;
/// What RFC 9114 §4.2.2 adds to the bytes of a field's name and value.
const FIELD_OVERHEAD: usize = 32;
/// The longest target that `Uri` supports.
const TARGET_BYTES_MAX: usize = u16::MAX as usize - 1;
/// Maps for more fields than this are not reused.
const SPARE_FIELDS_MAX: usize = 64;

thread_local! {
    static BLOCK: RefCell<BytesMut> = RefCell::new(BytesMut::with_capacity(BLOCK_BYTES));
    static SPARE: Cell<Option<HeaderMap>> = const { Cell::new(None) };
}

/// Decodes the head of a request whose decoded size is at most `bytes_max`.
///
/// # Errors
/// [`HeadError`]
pub fn read_head(section: &[u8], bytes_max: usize) -> Result<Request<()>, HeadError> {
    let mut fields = SPARE.take().unwrap_or_default();
    let mut target = Target::default();
    let mut fields_begun = false;
    walk(section, bytes_max, |field| match field {
        Decoded::Pseudo(Pseudo::Path, value) if value.len() > TARGET_BYTES_MAX => {
            Err(HeadError::TargetTooLong)
        }
        Decoded::Pseudo(pseudo, value) if !fields_begun => {
            target.set(pseudo, value).ok_or(HeadError::Malformed)
        }
        Decoded::Pseudo(..) => Err(HeadError::Malformed),
        Decoded::Field(name, value) => {
            fields_begun = true;
            fields.try_append(name, value).map(drop).map_err(|_| HeadError::Malformed)
        }
    })?;
    target.into_request(fields).ok_or(HeadError::Malformed)
}

/// Checks trailers, which are then dropped.
///
/// # Errors
/// [`HeadError`]
pub(super) fn check_trailers(section: &[u8], bytes_max: usize) -> Result<(), HeadError> {
    walk(section, bytes_max, |field| match field {
        Decoded::Field(..) => Ok(()),
        Decoded::Pseudo(..) => Err(HeadError::Malformed),
    })
}

/// Returns a map for reuse by the next head on this thread.
pub(super) fn recycle(mut fields: HeaderMap) {
    if fields.capacity() <= SPARE_FIELDS_MAX {
        fields.clear();
        SPARE.set(Some(fields));
    }
}

enum Decoded {
    Pseudo(Pseudo, Bytes),
    Field(HeaderName, HeaderValue),
}

/// Decodes each line for `take`.
fn walk(
    section: &[u8],
    bytes_max: usize,
    mut take: impl FnMut(Decoded) -> Result<(), HeadError>,
) -> Result<(), HeadError> {
    let mut lines = Lines::of(section)?;
    let mut left = bytes_max;
    BLOCK.with_borrow_mut(|block| {
        // A text that could not be decoded may have left some bytes.
        block.clear();
        while let Some(line) = lines.next()? {
            let (bytes, field) = decode(&line, block)?;
            left = left.checked_sub(bytes + FIELD_OVERHEAD).ok_or(HeadError::TooLarge)?;
            take(field.ok_or(HeadError::Malformed)?)?;
        }
        Ok(())
    })
}

/// The size of a line's name and value, and the decoded line; `None` if it is malformed.
fn decode(line: &Line<'_>, block: &mut BytesMut) -> Result<(usize, Option<Decoded>), Undecodable> {
    Ok(match line {
        Line::Known(Entry::Pseudo(pseudo, name, value)) => {
            let decoded = Decoded::Pseudo(*pseudo, Bytes::from_static(value.as_bytes()));
            (name.len() + value.len(), Some(decoded))
        }
        Line::Known(Entry::Field(name, value)) => {
            let decoded = Decoded::Field(name.clone(), value.clone());
            (name.as_str().len() + value.len(), Some(decoded))
        }
        Line::Named(Entry::Pseudo(pseudo, name, _), value) => {
            let value = cut(value, block)?;
            (name.len() + value.len(), Some(Decoded::Pseudo(*pseudo, value)))
        }
        Line::Named(Entry::Field(name, _), value) => {
            let value = cut(value, block)?;
            (name.as_str().len() + value.len(), field(|| Some(name.clone()), value))
        }
        Line::Literal(name, value) => {
            name.write(block)?;
            let name = block.split();
            let value = cut(value, block)?;
            let bytes = name.len() + value.len();
            let decoded = match Pseudo::named(&name) {
                Some(pseudo) => Some(Decoded::Pseudo(pseudo, value)),
                // Upper case is malformed.
                None => field(|| HeaderName::from_lowercase(&name).ok(), value),
            };
            (bytes, decoded)
        }
    })
}

fn cut(text: &Text<'_>, block: &mut BytesMut) -> Result<Bytes, Undecodable> {
    text.write(block)?;
    Ok(if block.is_empty() { Bytes::new() } else { block.split().freeze() })
}

fn field(name: impl FnOnce() -> Option<HeaderName>, value: Bytes) -> Option<Decoded> {
    let value = HeaderValue::from_maybe_shared(value).ok()?;
    Some(Decoded::Field(name()?, value))
}

impl Pseudo {
    /// The pseudo-header of a literal name; `None` if it is a field's name.
    fn named(name: &[u8]) -> Option<Self> {
        Some(match name {
            b":method" => Self::Method,
            b":scheme" => Self::Scheme,
            b":authority" => Self::Authority,
            b":path" => Self::Path,
            [b':', ..] => Self::Foreign,
            _ => return None,
        })
    }
}

/// The pseudo-headers of a request.
#[derive(Default)]
struct Target {
    method: Option<Method>,
    scheme: Option<Scheme>,
    authority: Option<Authority>,
    path: Option<PathAndQuery>,
}

impl Target {
    /// Sets one; `None` if that makes the head malformed.
    fn set(&mut self, pseudo: Pseudo, value: Bytes) -> Option<()> {
        match pseudo {
            Pseudo::Method => set_once(&mut self.method, Method::from_bytes(&value).ok()?),
            Pseudo::Scheme => set_once(&mut self.scheme, Scheme::try_from(&value[..]).ok()?),
            Pseudo::Authority => set_once(&mut self.authority, Authority::from_maybe_shared(value).ok()?),
            Pseudo::Path => {
                let (bytes, begins) = (value.len(), matches!(&value[..], [b'/', ..] | b"*"));
                let path = PathAndQuery::from_maybe_shared(value).ok()?;
                // `Uri` would drop a fragment, and accept a query or a fragment without a path.
                (begins && path.as_str().len() == bytes).then_some(())?;
                set_once(&mut self.path, path)
            }
            Pseudo::Foreign => None,
        }
    }

    /// The request, if its target is complete (RFC 9114 §4.3.1): a method, and a scheme, path and authority,
    /// or for CONNECT only an authority. `host` may replace `:authority`.
    fn into_request(self, fields: HeaderMap) -> Option<Request<()>> {
        let mut target = http::uri::Parts::default();
        target.authority = match self.authority {
            None => Some(Authority::try_from(fields.get(header::HOST)?.as_bytes()).ok()?),
            authority => authority,
        };
        (target.scheme, target.path_and_query) = (self.scheme, self.path);
        let mut request = Request::new(());
        *request.method_mut() = self.method?;
        *request.uri_mut() = Uri::from_parts(target).ok()?;
        *request.version_mut() = Version::HTTP_3;
        *request.headers_mut() = fields;
        Some(request)
    }
}

fn set_once<T>(place: &mut Option<T>, value: T) -> Option<()> {
    place.replace(value).is_none().then_some(())
}

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
