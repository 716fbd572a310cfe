//! What every site needs, whatever it serves: checks of the request's head, the client's address, the record
//! of the request, and the fields that all responses share.

mod body;
mod client;
mod content;
mod cookies;
mod cors;
mod cross_origin;
mod durations;
mod fields;
mod head;
mod record;
mod values;

use std::sync::atomic::{AtomicBool, Ordering};

use http::{HeaderMap, HeaderValue, Version, header};
use versions::Protocol;

use crate::clock::Clock;
use crate::transport::Peer;

pub use body::{Places, ReplyBody};
pub(crate) use client::is_proxy;
pub use client::{ClientAddress, client_address};
pub(crate) use content::{ContentBounds, check_declared, receive_content};
pub(crate) use cookies::{SameSite, SetCookie, cookies};
pub(crate) use cors::{is_preflight, preflight_fields};
pub(crate) use cross_origin::{CrossOrigin, check_same_origin};
pub(crate) use durations::worker;
pub use durations::{Durations, RouteDurations};
pub use fields::{API_VERSION_PREVIEW, Field, Fields};
pub use head::{check_head, declared_length, request_host};
pub(crate) use record::Record;
pub(crate) use values::{content_length, date, field, http_date, never_indexed};

/// The state that the requests of all sites share; one for the entire process.
pub struct Frontend {
    /// The clocks.
    pub clock: Box<dyn Clock>,
    /// How long requests take.
    pub durations: Durations,
    access_log: AtomicBool,
    draining: AtomicBool,
}

/// The message to a client that speaks HTTP in cleartext where TLS is expected.
pub(crate) const TLS_EXPECTED: &str = "This port speaks TLS: use https:// instead of http://.";
const CLEAR: HeaderValue = HeaderValue::from_static("clear");
const CLOSE: HeaderValue = HeaderValue::from_static("close");

impl Frontend {
    /// Creates the state for this many workers.
    #[must_use]
    pub fn new(clock: Box<dyn Clock>, workers: usize, access_log: bool) -> Self {
        Self {
            clock,
            durations: Durations::new(workers),
            access_log: AtomicBool::new(access_log),
            draining: AtomicBool::new(false),
        }
    }

    /// Switches the access log on or off.
    pub fn set_access_log(&self, access_log: bool) {
        self.access_log.store(access_log, Ordering::Relaxed);
    }

    /// From now on, responses ask clients to reconnect elsewhere.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// `Alt-Svc` (RFC 7838): where HTTP/3 is available, for clients that use another protocol.
    pub(crate) fn alt_svc(&self, peer: &Peer, protocol: Protocol) -> Option<HeaderValue> {
        let alt_svc = peer.listener.alt_svc.as_ref().filter(|_| protocol != Protocol::Http3)?;
        Some(if self.is_draining() { CLEAR } else { alt_svc.clone() })
    }

    /// Adds `Connection: close` if the response is the last of its connection. HTTP/2 and HTTP/3 have frames
    /// for that.
    pub(crate) fn close_if_last(&self, fields: &mut HeaderMap, protocol: Protocol, is_unread: bool) {
        if (is_unread || self.is_draining()) && matches!(protocol, Protocol::Http10 | Protocol::Http11) {
            fields.insert(header::CONNECTION, CLOSE);
        }
    }
}

/// The protocol of a request.
pub(crate) fn protocol(version: Version) -> Protocol {
    match version {
        Version::HTTP_3 => Protocol::Http3,
        Version::HTTP_2 => Protocol::Http2,
        Version::HTTP_11 => Protocol::Http11,
        _ => Protocol::Http10,
    }
}
