//! What is known of a request once it is over: one line of the access log and one sample in metrics.
//!
//! A record that is dropped before it is closed is a caller who went away: 499.

use std::cell::RefCell;
use std::net::IpAddr;

use http::request::Parts;
use http::{HeaderValue, StatusCode};
use jiff::Timestamp;
use permissions::KeyId;
use rand::rngs::SmallRng;
use rand::{RngCore as _, SeedableRng as _};
use tracing::error;
use versions::{Entry, Error, Instant, Protocol};

use super::authenticate::Refused;
use super::durations::MethodLabel;
use super::fields::field;
use super::{Pipeline, client, protocol};
use crate::telemetry::Access;
use crate::transport::Peer;

/// The status of a caller who went away, in log and metrics only.
pub(super) const CLIENT_CLOSED_REQUEST: u16 = 499;
/// The longest request id that is taken from a trusted proxy.
const ID_BYTES_MAX: usize = 128;

/// One request, as it will be reported.
pub(super) struct Record {
    pipeline: &'static Pipeline,
    id: Id,
    listener: &'static str,
    method: MethodLabel,
    pub(super) protocol: Protocol,
    /// When the head was complete.
    pub(super) received: Instant,
    /// The same moment, as the time of day, to the millisecond.
    pub(super) time: Timestamp,
    pub(super) client: IpAddr,
    /// The endpoint, or another one of its path where the method has none.
    pub(super) entry: Option<&'static Entry>,
    pub(super) key: Option<KeyId>,
    pub(super) refused: Option<Refused>,
    /// Whether head and content were read to their end: whatever is asked for, the connection is in order.
    pub(super) is_read: bool,
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

impl Record {
    pub(super) fn open(pipeline: &'static Pipeline, head: &Parts, peer: &Peer, access_log: bool) -> Self {
        let (time, received) = pipeline.clock.both();
        Self {
            pipeline,
            id: given_id(head, peer).map_or_else(|| Id::Own(own_id(time)), Id::Given),
            listener: peer.listener.name,
            method: MethodLabel::new(&head.method),
            protocol: protocol(head.version),
            received,
            time,
            client: peer.address(),
            entry: None,
            key: None,
            refused: None,
            is_read: false,
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
            Id::Own(text) => field(|block| block.extend_from_slice(text)),
            Id::Given(value) => value.clone(),
        }
    }

    /// Whether a credential was sent, good or not.
    pub(super) fn has_credential(&self) -> bool {
        self.refused != Some(Refused::Missing)
    }

    /// Reports the request with what it was answered with.
    pub(super) fn close(&mut self, status: StatusCode, error: Option<&Error>) {
        let status = if self.client_is_gone { CLIENT_CLOSED_REQUEST } else { status.as_u16() };
        self.report(status, error);
    }

    fn report(&mut self, status: u16, error: Option<&Error>) {
        self.closed = true;
        let duration = self.pipeline.clock.monotonic().saturating_duration_since(self.received);
        self.pipeline.durations.count(self.entry, self.method, self.protocol, status, duration);
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
            let access = Access {
                time: self.time,
                request_id: Some(self.id()),
                key_id: self.key,
                method: self.method.name(),
                route: self.entry.map_or("none", |entry| entry.template.as_str()),
                status,
                error: error.map(|error| error.code.name()),
                refused: self.refused.map(Refused::name),
                protocol: self.protocol.name(),
                client: self.client,
                listener: self.listener,
                duration,
            };
            access.log();
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if !self.closed {
            self.report(CLIENT_CLOSED_REQUEST, None);
        }
    }
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

/// A UUIDv7 (RFC 9562 §5.7) in text. It names a request and guards nothing, so a fast generator will do,
/// seeded once on each thread by the operating system.
fn own_id(time: Timestamp) -> [u8; 36] {
    thread_local! {
        static RANDOM: RefCell<SmallRng> = RefCell::new(SmallRng::from_os_rng());
    }
    let (high, low) = RANDOM.with_borrow_mut(|random| (random.next_u64(), random.next_u64()));
    let milliseconds = u64::try_from(time.as_millisecond()).unwrap_or(0);
    let (a, b) = digits(milliseconds << 16 | 7 << 12 | high >> 52);
    let (c, d) = digits(2 << 62 | low >> 2);
    let mut text = [b'-'; 36];
    text[..8].copy_from_slice(&a);
    text[9..13].copy_from_slice(&b[..4]);
    text[14..18].copy_from_slice(&b[4..]);
    text[19..23].copy_from_slice(&c[..4]);
    text[24..28].copy_from_slice(&c[4..]);
    text[28..].copy_from_slice(&d);
    text
}

/// Sixteen digits in base 16, in lower case; each step is done for eight of them at once.
const fn digits(number: u64) -> ([u8; 8], [u8; 8]) {
    const fn eight(number: u64) -> [u8; 8] {
        const ONES: u64 = 0x0101_0101_0101_0101;
        // From one number of 32 bits to eight of four bits, each in a byte of its own.
        let pairs = (number << 16 | number) & 0x0000_ffff_0000_ffff;
        let bytes = (pairs << 8 | pairs) & 0x00ff_00ff_00ff_00ff;
        let nibbles = (bytes << 4 | bytes) & (0x0f * ONES);
        let is_letter = ((nibbles + 6 * ONES) >> 4) & ONES;
        let letters_after_digits = (b'a' - b'0' - 10) as u64;
        (nibbles + b'0' as u64 * ONES + is_letter * letters_after_digits).to_be_bytes()
    }
    (eight(number >> 32), eight(number & 0xffff_ffff))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_uuid_of_version_7_at_its_time() {
        let time = Timestamp::from_millisecond(1_790_000_000_123).unwrap();
        let text = own_id(time);
        let id: uuid::Uuid = std::str::from_utf8(&text).unwrap().parse().unwrap();
        assert_eq!(id.to_string().as_bytes(), text);
        assert_eq!((id.get_version_num(), id.get_variant()), (7, uuid::Variant::RFC4122));
        assert_eq!(id.get_timestamp().unwrap().to_unix(), (1_790_000_000, 123_000_000));
        assert_ne!(own_id(time), text);
    }
}
