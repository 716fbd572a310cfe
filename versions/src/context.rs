//! The context of a request: what a handler knows besides the typed request.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use jiff::Timestamp;
use permissions::{KeyId, KeyRecord};
/// A reading of the monotonic clock.
pub use quanta::Instant;
use schemars::JsonSchema;
use serde::Serialize;

use crate::management::{Management, Requester};
use crate::{Calendar, Caller, Error, Version};

/// What a handler waits for.
pub type ServiceFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// The services of the process that a handler may use. Those that read or write what is stored are waited for.
pub trait Services: Send + Sync {
    /// The current time.
    fn now(&self) -> Timestamp;
    /// The monotonic clock.
    fn monotonic(&self) -> Instant;
    /// The dates of every version that are in force.
    fn calendar(&self) -> Arc<Calendar>;
    /// A key as the store has it now, without its secret; `None` where there is no such key.
    ///
    /// # Errors
    /// [`crate::ErrorCode::Overloaded`] where too much waits for the store; else an internal error.
    fn key(&self, id: KeyId) -> ServiceFuture<'_, Option<KeyRecord>>;
    /// What organizations manage; `None` where nothing is stored.
    fn management(&self) -> Option<&dyn Management>;
}

/// The connection of a request.
pub trait ConnectionInfo: Send + Sync {
    /// Its encryption; `None` for cleartext.
    fn tls(&self) -> Option<Tls>;
    /// The transport's estimate of the round-trip time.
    fn round_trip_time(&self) -> Option<Duration>;
    /// Whether it is HTTP/3 or its responses advertise HTTP/3.
    fn offers_http3(&self) -> bool;
    /// Whether the peer is a trusted proxy and not the client.
    fn is_proxy(&self) -> bool;
}

/// The encryption of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "TlsInfo")]
pub struct Tls {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// The IANA name of the cipher suite, such as `TLS_AES_256_GCM_SHA384`.
    pub cipher_suite: &'static str,
    /// The IANA name of the key exchange group, such as `X25519MLKEM768` or `x25519`; null if a TLS 1.2 session was
    /// resumed without a key exchange.
    pub key_exchange_group: Option<&'static str>,
    /// Whether the session was resumed.
    pub resumed: bool,
}

/// The context of one request.
pub struct Context<'a> {
    /// The version in the path.
    pub version: Version,
    /// The caller.
    pub caller: &'a Caller,
    /// The client's address: the peer's, or the one that a trusted proxy reports.
    pub client: IpAddr,
    /// The id of the request.
    pub request_id: &'a str,
    /// The protocol of the request.
    pub protocol: Protocol,
    /// The request's headers.
    pub headers: &'a HeaderMap,
    /// When the request header was complete.
    pub received: Instant,
    /// The connection of the request.
    pub connection: &'a dyn ConnectionInfo,
    /// The services of the process.
    pub services: &'a dyn Services,
}

impl Context<'_> {
    /// The time since the request header was complete.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.services.monotonic().saturating_duration_since(self.received)
    }

    /// What organizations manage.
    ///
    /// # Errors
    /// An internal error where nothing is stored.
    pub fn management(&self) -> Result<&dyn Management, Error> {
        self.services.management().ok_or_else(|| Error::internal("the store is not open"))
    }

    /// Who asks.
    #[must_use]
    pub fn requester(&self) -> Requester {
        Requester {
            caller: self.caller.clone(),
            address: self.client,
            request_id: self.request_id.to_owned(),
        }
    }
}

/// An HTTP version.
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
    use permissions::{ApiAccessPermission, Environment, KeyId};

    use super::*;
    use crate::Credential;

    /// A process whose clocks are stopped.
    pub(crate) struct Still {
        pub(crate) instant: Instant,
        pub(crate) now: Timestamp,
        pub(crate) calendar: Arc<Calendar>,
        pub(crate) caller: Caller,
    }

    impl Still {
        pub(crate) fn new(instant: Instant) -> Self {
            let calendar = Calendar::new(crate::RELEASES, |_| crate::Lifecycle::default()).unwrap();
            let caller = Caller {
                credential: Credential::Key(KeyId(uuid::Uuid::nil())),
                organization: permissions::PartnerId(uuid::Uuid::nil()),
                person: None,
                environment: Environment::Staging,
                permissions: ApiAccessPermission::empty(),
            };
            Self { instant, now: Timestamp::constant(1_790_000_000, 0), calendar: calendar.into(), caller }
        }
    }

    impl Services for Still {
        fn now(&self) -> Timestamp {
            self.now
        }

        fn monotonic(&self) -> Instant {
            self.instant
        }

        fn calendar(&self) -> Arc<Calendar> {
            Arc::clone(&self.calendar)
        }

        fn key(&self, _: KeyId) -> ServiceFuture<'_, Option<KeyRecord>> {
            Box::pin(std::future::ready(Ok(None)))
        }

        fn management(&self) -> Option<&dyn Management> {
            None
        }
    }

    /// A connection with fixed metadata.
    #[derive(Default)]
    pub(crate) struct Plain {
        pub(crate) tls: Option<Tls>,
        pub(crate) round_trip_time: Option<Duration>,
        pub(crate) offers_http3: bool,
        pub(crate) is_proxy: bool,
    }

    impl ConnectionInfo for Plain {
        fn tls(&self) -> Option<Tls> {
            self.tls
        }

        fn round_trip_time(&self) -> Option<Duration> {
            self.round_trip_time
        }

        fn offers_http3(&self) -> bool {
            self.offers_http3
        }

        fn is_proxy(&self) -> bool {
            self.is_proxy
        }
    }

    /// A staging request to the first version over HTTP/2 from 192.0.2.1, received `age` ago.
    pub(crate) fn context<'a>(services: &'a Still, headers: &'a HeaderMap, age: Duration) -> Context<'a> {
        Context {
            version: crate::v2026_02_01::RELEASE.version,
            caller: &services.caller,
            client: [192, 0, 2, 1].into(),
            request_id: "019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b",
            protocol: Protocol::Http2,
            headers,
            received: services.instant.checked_sub(age).expect("the clock has run for longer"),
            connection: &Plain { tls: None, round_trip_time: None, offers_http3: false, is_proxy: false },
            services,
        }
    }
}
