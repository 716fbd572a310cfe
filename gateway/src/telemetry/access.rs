//! The access log: one line per request.
//!
//! As JSON, a line is written straight into the queue: tracing's way, by an event that a subscriber takes
//! apart again, takes several times as long. As text, for people, lines go that way like all others.

use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::OnceLock;
use std::time::Duration;

use jiff::Timestamp;
use permissions::KeyId;
use serde::ser::{Serialize, SerializeStruct as _, Serializer};
use tracing::{error, info};
use versions::json;

use super::queue::Queue;

/// One request, as the log tells it.
pub(crate) struct Access<'a> {
    /// When its head was complete.
    pub(crate) time: Timestamp,
    pub(crate) request_id: Option<&'a str>,
    pub(crate) key_id: Option<KeyId>,
    pub(crate) method: &'static str,
    pub(crate) route: &'a str,
    pub(crate) status: u16,
    /// The code of the problem that was answered.
    pub(crate) error: Option<&'static str>,
    /// Why the credential was not good.
    pub(crate) refused: Option<&'static str>,
    pub(crate) protocol: &'static str,
    pub(crate) client: IpAddr,
    pub(crate) listener: &'a str,
    pub(crate) duration: Duration,
}

/// Where lines go as JSON; not set where they are text.
static QUEUE: OnceLock<Queue> = OnceLock::new();

/// From now on, lines go there as JSON.
pub(super) fn write_json_to(queue: Queue) {
    // A second log in the same process stays with the first.
    let _ = QUEUE.set(queue);
}

impl Access<'_> {
    /// Writes the line.
    pub(crate) fn log(&self) {
        let Some(queue) = QUEUE.get() else { return self.log_as_text() };
        let mut outcome = Ok(());
        queue.push(|text| {
            let begin = text.len();
            outcome = json::write(self, text);
            match outcome {
                Ok(()) => text.push(b'\n'),
                Err(_) => text.truncate(begin),
            }
        });
        // Not before: it is a line of the same queue.
        if let Err(error) = outcome {
            error!(%error, "A line of the access log could not be written");
        }
    }

    fn log_as_text(&self) {
        info!(
            target: "access",
            request_id = self.request_id,
            key_id = self.key_id.map(tracing::field::display),
            method = self.method,
            route = self.route,
            status = self.status,
            error = self.error,
            refused = self.refused,
            protocol = self.protocol,
            client = %self.client,
            listener = self.listener,
            duration_ms = milliseconds(self.duration),
            "request"
        );
    }
}

/// The members of every other line of the log, in their order, and those of a request between them.
impl Serialize for Access<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut line = serializer.serialize_struct("Access", 15)?;
        line.serialize_field("timestamp", &Moment(self.time))?;
        line.serialize_field("level", "INFO")?;
        line.serialize_field("message", "request")?;
        if let Some(id) = self.request_id {
            line.serialize_field("request_id", id)?;
        }
        if let Some(id) = self.key_id {
            line.serialize_field("key_id", &id.0)?;
        }
        line.serialize_field("method", self.method)?;
        line.serialize_field("route", self.route)?;
        line.serialize_field("status", &self.status)?;
        if let Some(error) = self.error {
            line.serialize_field("error", error)?;
        }
        if let Some(refused) = self.refused {
            line.serialize_field("refused", refused)?;
        }
        line.serialize_field("protocol", self.protocol)?;
        line.serialize_field("client", &self.client)?;
        line.serialize_field("listener", self.listener)?;
        line.serialize_field("duration_ms", &milliseconds(self.duration))?;
        line.serialize_field("target", "access")?;
        line.end()
    }
}

/// To the microsecond: more digits would be noise.
#[expect(clippy::cast_precision_loss, reason = "a request does not last for centuries")]
fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e3
}

/// A moment in UTC, to the millisecond (RFC 3339); its second is written once on each thread.
struct Moment(Timestamp);

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        thread_local! {
            static SECOND: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) };
        }
        SECOND.with_borrow_mut(|(second, text)| {
            if *second != self.0.as_second() {
                *second = self.0.as_second();
                *text = self.0.strftime("%Y-%m-%dT%H:%M:%S.").to_string();
            }
            let begin = text.len();
            let milliseconds = self.0.subsec_millisecond().unsigned_abs();
            for digit in [milliseconds / 100, milliseconds / 10 % 10, milliseconds % 10] {
                text.push(char::from(b'0' + digit as u8));
            }
            text.push('Z');
            let written = serializer.serialize_str(text);
            text.truncate(begin);
            written
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_members_that_there_are() {
        let id = "019c16a1-7b00-7000-8000-000000000000";
        let mut access = Access {
            time: "2026-11-22T04:05:06.078Z".parse().unwrap(),
            request_id: Some("a\"b"),
            key_id: Some(id.parse().unwrap()),
            method: "GET",
            route: "/2026-02-01/ping.json",
            status: 200,
            error: None,
            refused: None,
            protocol: "HTTP2",
            client: "2001:db8::1".parse().unwrap(),
            listener: "https",
            duration: Duration::from_nanos(81_499),
        };
        let line = |access: &Access<'_>| {
            let mut text = Vec::new();
            json::write(access, &mut text).unwrap();
            String::from_utf8(text).unwrap()
        };
        let whole = format!(
            r#"{{"timestamp":"2026-11-22T04:05:06.078Z","level":"INFO","message":"request","request_id":"a\"b","key_id":"{id}","method":"GET","route":"/2026-02-01/ping.json","status":200,"protocol":"HTTP2","client":"2001:db8::1","listener":"https","duration_ms":0.081,"target":"access"}}"#
        );
        assert_eq!(line(&access), whole);
        (access.request_id, access.key_id) = (None, None);
        (access.error, access.refused) = (Some("invalid_token"), Some("missing"));
        access.time = "2026-11-22T04:05:06.9999Z".parse().unwrap();
        let bare = r#"{"timestamp":"2026-11-22T04:05:06.999Z","level":"INFO","message":"request","method":"GET","route":"/2026-02-01/ping.json","status":200,"error":"invalid_token","refused":"missing","protocol":"HTTP2","client":"2001:db8::1","listener":"https","duration_ms":0.081,"target":"access"}"#;
        assert_eq!(line(&access), bare);
    }
}
