//! What a handler is given: the request's circumstances, and a port to the process.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use http::HeaderMap;
use permissions::Environment;

use crate::Version;

/// All that a handler may ask of the process around it.
pub trait Services: Send + Sync {
    /// The monotonic clock.
    fn monotonic(&self) -> Instant;
}

/// One request's circumstances.
pub struct Context<'a> {
    /// The date that was asked for.
    pub version: Version,
    /// The environment of the key that was used.
    pub environment: Environment,
    /// The client's address: the peer's, or the one that a trusted proxy reported.
    pub client: IpAddr,
    /// The protocol that the request came by.
    pub protocol: Protocol,
    /// The request's fields.
    pub headers: &'a HeaderMap,
    /// When the request's head was complete.
    pub received: Instant,
    /// The process.
    pub services: &'a dyn Services,
}

impl Context<'_> {
    /// The time since the request's head was complete.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.services.monotonic().saturating_duration_since(self.received)
    }
}

/// The HTTP version that a request came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.0 (RFC 1945).
    Http10,
    /// HTTP/1.1 (RFC 9112).
    Http11,
    /// HTTP/2 (RFC 9113).
    Http2,
    /// HTTP/3 (RFC 9114).
    Http3,
}

impl Protocol {
    /// Every protocol, in the order of their discriminants.
    pub const ALL: [Self; 4] = [Self::Http10, Self::Http11, Self::Http2, Self::Http3];

    /// The name in `connection.json` of 2026-02-01.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP1.0",
            Self::Http11 => "HTTP1.1",
            Self::Http2 => "HTTP2",
            Self::Http3 => "HTTP3",
        }
    }

    /// OpenTelemetry's `network.protocol.version`.
    #[must_use]
    pub const fn number(self) -> &'static str {
        match self {
            Self::Http10 => "1.0",
            Self::Http11 => "1.1",
            Self::Http2 => "2",
            Self::Http3 => "3",
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A process whose monotonic clock stands still.
    pub(crate) struct Still(pub(crate) Instant);

    impl Services for Still {
        fn monotonic(&self) -> Instant {
            self.0
        }
    }

    /// A staging request over HTTP/2 from 192.0.2.1, received `age` ago.
    pub(crate) fn context<'a>(services: &'a Still, headers: &'a HeaderMap, age: Duration) -> Context<'a> {
        Context {
            version: crate::v2026_02_01::RELEASE.version,
            environment: Environment::Staging,
            client: [192, 0, 2, 1].into(),
            protocol: Protocol::Http2,
            headers,
            received: services.0.checked_sub(age).expect("the clock has run for longer"),
            services,
        }
    }
}
