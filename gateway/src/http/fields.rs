//! The fields of a request that the path reads, found in one pass over all of them.

use http::{HeaderMap, HeaderName, HeaderValue};

/// The fields that the path reads, found in one pass: a look-up of each takes longer.
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
    /// Whether there is a field that is about the connection, which HTTP/1 alone has.
    pub(super) of_connection: bool,
    /// Of all fields, as RFC 9113 §6.5.2 and RFC 9114 §4.2.2 count: 32 beside each one's own.
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
    /// It was sent more than once; this is the first of them.
    Repeated(&'h HeaderValue),
}

/// Names a newer version, whose answer is wanted as well.
pub const API_VERSION_PREVIEW: HeaderName = HeaderName::from_static("api-version-preview");

impl<'h> Fields<'h> {
    /// Finds them.
    #[must_use]
    pub fn find(all: &'h HeaderMap) -> Self {
        let mut found = Self::default();
        for (name, value) in all {
            // By the text, whose length tells most names apart.
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
                // What only HTTP/1 says of a connection makes any other version's request malformed
                // (RFC 9113 §8.2.2, RFC 9114 §4.2).
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
    /// The first that was sent.
    #[must_use]
    pub const fn first(self) -> Option<&'h HeaderValue> {
        match self {
            Self::Missing => None,
            Self::Once(value) | Self::Repeated(value) => Some(value),
        }
    }
}
