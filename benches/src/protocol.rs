//! The four ways in which a request can travel.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// A protocol, with or without TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// HTTP/1.1 in cleartext.
    H1,
    /// HTTP/1.1 over TLS.
    H1Tls,
    /// HTTP/2 over TLS.
    H2Tls,
    /// HTTP/3.
    H3,
    /// The streams of QUIC with as many bytes and no HTTP: what HTTP/3 is measured by. Only the floor has it.
    QuicStreams,
}

impl Protocol {
    /// Those of HTTP, in the order in which they are reported.
    pub const ALL: [Self; 4] = [Self::H1, Self::H1Tls, Self::H2Tls, Self::H3];

    /// The name on the command line and in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::H1 => "h1",
            Self::H1Tls => "h1-tls",
            Self::H2Tls => "h2-tls",
            Self::H3 => "h3",
            Self::QuicStreams => "quic-streams",
        }
    }

    /// The name in a ready file's `protocols`.
    #[must_use]
    pub fn ready_name(self) -> &'static str {
        match self {
            Self::H1 | Self::H1Tls => "http1",
            Self::H2Tls => "http2",
            Self::H3 => "http3",
            Self::QuicStreams => "quic-streams",
        }
    }

    /// Whether it runs over UDP.
    #[must_use]
    pub fn is_quic(self) -> bool {
        matches!(self, Self::H3 | Self::QuicStreams)
    }

    /// Whether it needs a listener with a certificate.
    #[must_use]
    pub fn is_encrypted(self) -> bool {
        self != Self::H1
    }

    /// What is offered by ALPN (RFC 7301); none in cleartext.
    #[must_use]
    pub fn alpn(self) -> Option<&'static [u8]> {
        match self {
            Self::H1 => None,
            Self::H1Tls => Some(b"http/1.1"),
            Self::H2Tls => Some(b"h2"),
            Self::H3 => Some(b"h3"),
            Self::QuicStreams => Some(b"streams"),
        }
    }

    /// How many connections, and streams on each, keep one core busy without queueing for long.
    #[must_use]
    pub fn usual_shape(self) -> (usize, usize) {
        match self {
            Self::H1 | Self::H1Tls => (32, 1),
            Self::H2Tls | Self::H3 | Self::QuicStreams => (8, 16),
        }
    }
}
