//! The request fields that the request's path through the gateway depends on.

use http::{HeaderMap, HeaderName, HeaderValue};

/// The request fields that are read on the path, found in one pass, because looking each up takes longer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fields<'h> {
    /// `Accept`.
    pub accept: Field<'h>,
    /// `Authorization`.
    pub authorization: Field<'h>,
    /// `Early-Data`.
    pub early_data: Field<'h>,
    /// Whether there is `API-Version-Preview`.
    pub has_preview: bool,
    /// `Content-Length`.
    pub content_length: Field<'h>,
    pub(super) host: Field<'h>,
    pub(super) transfer_encoding: Field<'h>,
    /// Whether there is a connection-specific field, which only HTTP/1 has.
    pub(super) of_connection: bool,
    /// The size of all fields as RFC 9113 §6.5.2 and RFC 9114 §4.2.2 count it: 32 bytes are added for each.
    pub(super) bytes: usize,
}

/// One field of a request.
#[derive(Clone, Copy, Debug, Default)]
pub enum Field<'h> {
    /// It was not sent.
    #[default]
    Missing,
    /// It was sent once.
    Once(&'h HeaderValue),
    /// It was sent more than once; this is the first value.
    Repeated(&'h HeaderValue),
}

/// Names a newer version, whose response is previewed.
pub const API_VERSION_PREVIEW: HeaderName = HeaderName::from_static("api-version-preview");

impl<'h> Fields<'h> {
    /// Finds the fields.
    #[must_use]
    pub fn find(all: &'h HeaderMap) -> Self {
        let mut found = Self::default();
        for (name, value) in all {
            // Compared as text, because the length differs for most names.
            let name = name.as_str();
            found.bytes += name.len() + value.len() + 32;
            let field = match name {
                "authorization" => &mut found.authorization,
                "host" => &mut found.host,
                "accept" => &mut found.accept,
                "content-length" => &mut found.content_length,
                "early-data" => &mut found.early_data,
                "transfer-encoding" => {
                    found.of_connection = true;
                    &mut found.transfer_encoding
                }
                // Connection-specific fields make a request of HTTP/2 or HTTP/3 malformed (RFC 9113 §8.2.2,
                // RFC 9114 §4.2).
                "connection" | "upgrade" | "keep-alive" | "proxy-connection" => {
                    found.of_connection = true;
                    continue;
                }
                "te" => {
                    found.of_connection |= !value.as_bytes().eq_ignore_ascii_case(b"trailers");
                    continue;
                }
                "api-version-preview" => {
                    found.has_preview = true;
                    continue;
                }
                _ => continue,
            };
            *field = match *field {
                Field::Missing => Field::Once(value),
                Field::Once(first) | Field::Repeated(first) => Field::Repeated(first),
            };
        }
        found
    }
}

impl<'h> Field<'h> {
    /// The first value that was sent.
    #[must_use]
    pub const fn first(self) -> Option<&'h HeaderValue> {
        match self {
            Self::Missing => None,
            Self::Once(value) | Self::Repeated(value) => Some(value),
        }
    }
}
