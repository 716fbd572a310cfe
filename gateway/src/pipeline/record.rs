//! What is known of a request once it is over: one line of the access log and one sample in metrics.
//!
//! Labels come from the catalog and from closed lists, never from the request, so their number is
//! bounded. A record that is dropped before it is closed is a caller who went away: 499.

use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::OnceLock;
use std::time::Instant;

use http::request::Parts;
use http::{HeaderValue, Method, StatusCode};
use jiff::Timestamp;
use metrics::Histogram;
use permissions::KeyId;
use rand::rngs::SmallRng;
use rand::{RngCore as _, SeedableRng as _};
use tracing::{error, info};
use uuid::Builder;
use versions::{Entry, Error, Protocol};

use super::authenticate::Refused;
use super::{Pipeline, client, protocol};
use crate::transport::Peer;

/// The status of a caller who went away, in log and metrics only.
const CLIENT_CLOSED_REQUEST: u16 = 499;
/// The longest request id that is taken from a trusted proxy.
const ID_BYTES_MAX: usize = 128;

/// One request, as it will be reported.
pub(super) struct Record<'r> {
    pipeline: &'static Pipeline,
    id: Id,
    peer: &'r Peer,
    method: MethodLabel,
    pub(super) protocol: Protocol,
    /// When the head was complete.
    pub(super) received: Instant,
    /// The same moment, as the time of day.
    pub(super) time: Timestamp,
    pub(super) client: IpAddr,
    /// The endpoint, or another one of its path where the method has none.
    pub(super) entry: Option<&'static Entry>,
    pub(super) key: Option<KeyId>,
    pub(super) refused: Option<Refused>,
    /// The client broke off: whatever it is answered with, nobody hears it.
    pub(super) client_is_gone: bool,
    access_log: bool,
    closed: bool,
}

/// A request's id: a UUIDv7 of ours, or what a trusted proxy sent.
enum Id {
    Own([u8; 36]),
    Given(HeaderValue),
}

impl<'r> Record<'r> {
    pub(super) fn open(pipeline: &'static Pipeline, head: &Parts, peer: &'r Peer, access_log: bool) -> Self {
        let time = pipeline.clock.now();
        Self {
            pipeline,
            id: given_id(head, peer).map_or_else(|| Id::Own(own_id(time)), Id::Given),
            peer,
            method: MethodLabel::new(&head.method),
            protocol: protocol(head.version),
            received: pipeline.clock.monotonic(),
            time,
            client: peer.address(),
            entry: None,
            key: None,
            refused: None,
            client_is_gone: false,
            access_log,
            closed: false,
        }
    }

    pub(super) fn id(&self) -> &str {
        match &self.id {
            Id::Own(text) => std::str::from_utf8(text).unwrap_or_default(),
            Id::Given(value) => value.to_str().unwrap_or_default(),
        }
    }

    pub(super) fn id_field(&self) -> HeaderValue {
        match &self.id {
            Id::Own(text) => HeaderValue::from_bytes(text).expect("digits and dashes"),
            Id::Given(value) => value.clone(),
        }
    }

    /// Whether a credential was sent, good or not.
    pub(super) fn has_credential(&self) -> bool {
        self.refused != Some(Refused::Missing)
    }

    /// Reports the request with what it was answered with.
    pub(super) fn close(mut self, status: StatusCode, error: Option<&Error>) {
        let status = if self.client_is_gone { CLIENT_CLOSED_REQUEST } else { status.as_u16() };
        self.report(status, error);
    }

    fn report(&mut self, status: u16, error: Option<&Error>) {
        self.closed = true;
        let duration = self.pipeline.clock.monotonic().saturating_duration_since(self.received);
        self.pipeline.metrics.histogram(self.entry, self.method, self.protocol, status).record(duration);
        if let Some(refused) = self.refused {
            metrics::counter!("gateway_authentication_failures_total", "reason" => refused.name())
                .increment(1);
        }
        let source = error.and_then(|error| error.source.as_deref());
        if let (Some(source), Some(error)) = (source, error) {
            error!(
                request_id = self.id(),
                error.code = error.code.name(),
                error = chain(source),
                "Request failed"
            );
        }
        if self.access_log {
            info!(
                target: "access",
                request_id = self.id(),
                key_id = self.key.map(tracing::field::display),
                method = self.method.name(),
                route = self.entry.map_or("none", |entry| entry.template.as_str()),
                status,
                error = error.map(|error| error.code.name()),
                refused = self.refused.map(Refused::name),
                protocol = self.protocol.name(),
                client = %self.client,
                listener = self.peer.listener.name,
                duration_ms = milliseconds(duration),
                "request"
            );
        }
    }
}

impl Drop for Record<'_> {
    fn drop(&mut self) {
        if !self.closed {
            self.report(CLIENT_CLOSED_REQUEST, None);
        }
    }
}

/// To the microsecond: more digits would be noise.
#[expect(clippy::cast_precision_loss, reason = "a request does not last for centuries")]
fn milliseconds(duration: std::time::Duration) -> f64 {
    duration.as_micros() as f64 / 1e3
}

/// An error with all its causes, in one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// The id that a trusted proxy gave the request: short, visible ASCII.
fn given_id(head: &Parts, peer: &Peer) -> Option<HeaderValue> {
    if !client::is_proxy(peer) {
        return None;
    }
    let value = head.headers.get("x-request-id")?;
    let plain = !value.is_empty() && value.as_bytes().iter().all(u8::is_ascii_graphic);
    (plain && value.len() <= ID_BYTES_MAX).then(|| value.clone())
}

/// A UUIDv7 in text. It names a request and guards nothing, so a fast generator will do, seeded once
/// on each thread by the operating system.
fn own_id(time: Timestamp) -> [u8; 36] {
    thread_local! {
        static RANDOM: RefCell<SmallRng> = RefCell::new(SmallRng::from_os_rng());
    }
    let mut random = [0; 10];
    RANDOM.with_borrow_mut(|generator| generator.fill_bytes(&mut random));
    let milliseconds = u64::try_from(time.as_millisecond()).unwrap_or(0);
    let id = Builder::from_unix_timestamp_millis(milliseconds, &random).into_uuid();
    let mut text = [0; 36];
    id.hyphenated().encode_lower(&mut text);
    text
}

/// A method as a label: those of RFC 9110 and PATCH, and one for all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct MethodLabel(u8);

impl MethodLabel {
    const NAMES: [&str; 8] = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH", "_OTHER"];

    fn new(method: &Method) -> Self {
        let place = Self::NAMES.iter().position(|name| *name == method.as_str());
        Self(place.and_then(|place| u8::try_from(place).ok()).unwrap_or(7))
    }

    fn name(self) -> &'static str {
        Self::NAMES[usize::from(self.0)]
    }
}

/// Every status that a request can be reported with.
const STATUSES: [u16; 20] =
    [200, 204, 400, 401, 403, 404, 405, 406, 408, 410, 413, 414, 415, 421, 425, 429, 431, 499, 500, 503];

type Histograms = Box<[OnceLock<Histogram>]>;

/// Durations of requests by route, method, protocol and status, with handles that are looked up once.
pub struct RequestMetrics {
    /// By index of entry; the last is for requests that no endpoint was found for.
    entries: Box<[OnceLock<Histograms>]>,
}

impl RequestMetrics {
    pub(super) fn new(entries: usize) -> Self {
        Self { entries: (0..=entries).map(|_| OnceLock::new()).collect() }
    }

    fn histogram(
        &self,
        entry: Option<&Entry>,
        method: MethodLabel,
        protocol: Protocol,
        status: u16,
    ) -> &Histogram {
        let index = entry.map_or(self.entries.len() - 1, |entry| entry.index);
        let histograms = self.entries[index].get_or_init(|| {
            let count = MethodLabel::NAMES.len() * Protocol::ALL.len() * STATUSES.len();
            (0..count).map(|_| OnceLock::new()).collect()
        });
        // A status outside the list would be a new one that the list lacks; a test walks all codes.
        let status_place = STATUSES.iter().position(|known| *known == status).unwrap_or(STATUSES.len() - 1);
        let place =
            (usize::from(method.0) * Protocol::ALL.len() + protocol as usize) * STATUSES.len() + status_place;
        histograms[place].get_or_init(|| {
            let route = entry.map_or_else(|| "none".to_owned(), |entry| entry.template.clone());
            metrics::histogram!(
                "http_server_request_duration_seconds",
                "http_request_method" => method.name(),
                "http_route" => route,
                "http_response_status_code" => STATUSES[status_place].to_string(),
                "network_protocol_version" => protocol.number(),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use versions::ErrorCode;

    use super::*;

    #[test]
    fn every_status_has_its_label() {
        for code in ErrorCode::ALL {
            assert!(STATUSES.contains(&code.status().as_u16()), "{code:?}");
        }
        for status in [200, 204, CLIENT_CLOSED_REQUEST] {
            assert!(STATUSES.contains(&status), "{status}");
        }
    }

    #[test]
    fn an_id_is_a_uuid_of_version_7_at_its_time() {
        let time = Timestamp::from_millisecond(1_790_000_000_123).unwrap();
        let text = own_id(time);
        let id: uuid::Uuid = std::str::from_utf8(&text).unwrap().parse().unwrap();
        assert_eq!(id.get_version_num(), 7);
        assert_eq!(id.get_timestamp().unwrap().to_unix(), (1_790_000_000, 123_000_000));
        assert_ne!(own_id(time), text);
    }

    #[test]
    fn an_unknown_method_is_other() {
        assert_eq!(MethodLabel::new(&Method::GET).name(), "GET");
        assert_eq!(MethodLabel::new(&Method::TRACE).name(), "_OTHER");
        assert_eq!(MethodLabel::new(&Method::from_bytes(b"X").unwrap()).name(), "_OTHER");
    }
}
