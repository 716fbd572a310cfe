//! The record of a request, which at its end becomes a line of the access log and a sample of the metrics.
//!
//! A request ends when the last byte of its response was handed to the connection. A record that is dropped
//! before there is a response means that the client has disconnected: 499.

use std::cell::RefCell;
use std::sync::atomic::Ordering;

use http::request::Parts;
use http::{HeaderValue, StatusCode};
use jiff::Timestamp;
use permissions::Credential;
use rand::rngs::SmallRng;
use rand::{RngCore as _, SeedableRng as _};
use tracing::{debug, error};
use versions::{Error, Instant, Protocol};

use super::client::{ClientAddress, is_proxy};
use super::durations::{MethodLabel, RouteDurations};
use super::values::field;
use super::{Frontend, protocol};
use crate::telemetry::Access;
use crate::transport::Peer;

/// The status of a client that disconnected, in the log and metrics only.
pub(crate) const CLIENT_CLOSED_REQUEST: u16 = 499;
/// The longest request id that is accepted from a trusted proxy.
const ID_BYTES_MAX: usize = 128;

/// The record of a request.
pub(crate) struct Record {
    frontend: &'static Frontend,
    id: Id,
    listener: &'static str,
    method: MethodLabel,
    /// Its protocol.
    pub(crate) protocol: Protocol,
    /// When the head was complete.
    pub(crate) received: Instant,
    /// The same moment as time of day, to the millisecond.
    pub(crate) time: Timestamp,
    /// The client's address.
    pub(crate) client: ClientAddress,
    /// The label of its endpoint.
    pub(crate) route: &'static RouteDurations,
    /// The credential that it presented, if that is one of ours.
    pub(crate) credential: Option<Credential>,
    /// Why its credential was refused.
    pub(crate) auth_failure: Option<&'static str>,
    /// Whether the client disconnected while its request was read, so that no response arrives.
    pub(crate) client_is_gone: bool,
    status: u16,
    error: Option<&'static str>,
    response_bytes: u64,
    is_complete: bool,
    /// Whether it is logged, if the access log is on.
    pub(crate) is_logged: bool,
}

/// A request's id: a generated UUIDv7, or the one that a trusted proxy sent.
enum Id {
    Generated([u8; 36]),
    Received(HeaderValue),
}

impl Record {
    pub(crate) fn open(frontend: &'static Frontend, head: &Parts, peer: &Peer) -> Self {
        let (time, received) = frontend.clock.both();
        Self {
            frontend,
            id: received_id(head, peer).map_or_else(|| Id::Generated(generate_id(time)), Id::Received),
            listener: peer.listener.name,
            method: MethodLabel::new(&head.method),
            protocol: protocol(head.version),
            received,
            time,
            client: ClientAddress::Visible(peer.address()),
            route: frontend.durations.unmatched(),
            credential: None,
            auth_failure: None,
            client_is_gone: false,
            status: CLIENT_CLOSED_REQUEST,
            error: None,
            response_bytes: 0,
            is_complete: false,
            is_logged: true,
        }
    }

    pub(crate) fn id(&self) -> &str {
        match &self.id {
            Id::Generated(text) => std::str::from_utf8(text).unwrap_or_default(),
            Id::Received(value) => value.to_str().unwrap_or_default(),
        }
    }

    pub(crate) fn id_field(&self) -> HeaderValue {
        match &self.id {
            Id::Generated(text) => field(|block| block.extend_from_slice(text)),
            Id::Received(value) => value.clone(),
        }
    }

    /// Records the response.
    pub(crate) fn respond(&mut self, status: StatusCode, error: Option<&Error>) {
        if !self.client_is_gone {
            self.status = status.as_u16();
        }
        let Some(error) = error else { return };
        self.error = Some(error.code.name());
        if let Some(source) = &error.source {
            error!(
                request_id = self.id(),
                error.code = error.code.name(),
                error = chain(&**source),
                "Request failed"
            );
        }
    }

    /// Counts bytes of the body that were handed to the connection.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.response_bytes += bytes as u64;
    }

    /// Marks the response as completely sent.
    pub(crate) fn complete(&mut self) {
        self.is_complete = true;
    }

    /// Logs that the body failed.
    pub(super) fn broke_off(&self, error: &(dyn std::error::Error + 'static)) {
        error!(request_id = self.id(), error = chain(error), "A response failed while it was sent");
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let duration = self.frontend.clock.monotonic().saturating_duration_since(self.received);
        self.route.count(self.method, self.protocol, self.status, duration);
        if let Some(failure) = self.auth_failure {
            metrics::counter!("gateway_authentication_failures_total", "reason" => failure).increment(1);
        }
        let has_response = self.status != CLIENT_CLOSED_REQUEST;
        if has_response && !self.is_complete {
            metrics::counter!("gateway_responses_incomplete_total").increment(1);
            debug!(request_id = self.id(), "The response was not sent completely");
        }
        if self.is_logged && self.frontend.access_log.load(Ordering::Relaxed) {
            let (mut key_id, mut token_id, mut user_id) = (None, None, None);
            match self.credential {
                Some(Credential::Key(id)) => key_id = Some(id),
                Some(Credential::Token(id)) => token_id = Some(id),
                Some(Credential::Session(user)) => user_id = Some(user),
                None => {}
            }
            let access = Access {
                time: self.time,
                request_id: Some(self.id()),
                key_id,
                token_id,
                user_id,
                method: self.method.name(),
                route: self.route.label(),
                status: self.status,
                error: self.error,
                refused: self.auth_failure,
                protocol: self.protocol.name(),
                client: self.client.visible(),
                listener: self.listener,
                duration,
                response_bytes: self.response_bytes,
                complete: self.is_complete,
            };
            access.log();
        }
    }
}

/// An error with all its causes, in one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// The id that a trusted proxy sent, if it is short, visible ASCII.
fn received_id(head: &Parts, peer: &Peer) -> Option<HeaderValue> {
    if !is_proxy(peer) {
        return None;
    }
    let value = head.headers.get("x-request-id")?;
    let plain = !value.is_empty() && value.as_bytes().iter().all(u8::is_ascii_graphic);
    (plain && value.len() <= ID_BYTES_MAX).then(|| value.clone())
}

/// A UUIDv7 (RFC 9562 §5.7) in text. It is not secret, so a fast generator suffices, seeded once on each
/// thread by the operating system.
fn generate_id(time: Timestamp) -> [u8; 36] {
    thread_local! {
        static RANDOM: RefCell<SmallRng> = RefCell::new(SmallRng::from_os_rng());
    }
    let mut random = [0; 10];
    RANDOM.with_borrow_mut(|generator| generator.fill_bytes(&mut random));
    let milliseconds = u64::try_from(time.as_millisecond()).unwrap_or(0);
    let mut text = [0; 36];
    uuid::Builder::from_unix_timestamp_millis(milliseconds, &random)
        .into_uuid()
        .hyphenated()
        .encode_lower(&mut text);
    text
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn an_id_is_a_uuid_of_version_7_at_its_time() {
        let time = Timestamp::from_millisecond(1_790_000_000_123).unwrap();
        let text = generate_id(time);
        let id: Uuid = std::str::from_utf8(&text).unwrap().parse().unwrap();
        assert_eq!(id.to_string().as_bytes(), text);
        assert_eq!((id.get_version_num(), id.get_variant()), (7, uuid::Variant::RFC4122));
        assert_eq!(id.get_timestamp().unwrap().to_unix(), (1_790_000_000, 123_000_000));
        assert_ne!(generate_id(time), text);
    }
}
