//! The protocols that a request is sent over.

use std::fmt;

use clap::ValueEnum;

/// A protocol, with or without TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    /// HTTP/1.1 in cleartext.
    H1,
    /// HTTP/1.1 over TLS.
    H1Tls,
    /// HTTP/2 over TLS.
    H2Tls,
    /// HTTP/3.
    H3,
    /// Plain QUIC streams with as many bytes as HTTP/3 and no HTTP. Only the floor serves them.
    #[value(hide = true)]
    QuicStreams,
}

impl Protocol {
    /// Those of HTTP, in the order of the reports.
    pub const ALL: [Self; 4] = [Self::H1, Self::H1Tls, Self::H2Tls, Self::H3];

    /// The name in a ready file's `protocols`.
    #[must_use]
    pub const fn ready_name(self) -> &'static str {
        match self {
            Self::H1 | Self::H1Tls => "http1",
            Self::H2Tls => "http2",
            Self::H3 => "http3",
            Self::QuicStreams => "quic-streams",
        }
    }

    /// Whether it needs a listener with a certificate.
    #[must_use]
    pub fn is_encrypted(self) -> bool {
        self != Self::H1
    }

    /// The name in ALPN (RFC 7301); none in cleartext.
    #[must_use]
    pub const fn alpn(self) -> Option<&'static [u8]> {
        match self {
            Self::H1 => None,
            Self::H1Tls => Some(b"http/1.1"),
            Self::H2Tls => Some(b"h2"),
            Self::H3 => Some(b"h3"),
            Self::QuicStreams => Some(b"streams"),
        }
    }

    /// The connections, and the streams on each, that keep one core busy without long queues.
    #[must_use]
    pub const fn default_shape(self) -> (usize, usize) {
        match self {
            Self::H1 | Self::H1Tls => (32, 1),
            Self::H2Tls | Self::H3 | Self::QuicStreams => (8, 16),
        }
    }
}

/// The name on the command line.
impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&name(*self))
    }
}

/// The name of a value on the command line.
pub(crate) fn name(value: impl ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}
