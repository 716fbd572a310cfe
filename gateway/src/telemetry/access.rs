//! The access log: one line per request.
//!
//! JSON lines are serialized straight into the queue, which takes a fraction of the time of a tracing event and
//! its subscriber. Text lines, for people, are tracing events like all others.

use std::net::IpAddr;
use std::sync::OnceLock;
use std::time::Duration;

use jiff::Timestamp;
use permissions::{KeyId, TokenId, UserId};
use serde::{Serialize, Serializer};
use tracing::{error, info};

use super::queue::Queue;

/// One request, as it is logged.
#[derive(Serialize)]
pub(crate) struct Access<'a> {
    /// When its head was complete.
    #[serde(skip)]
    pub(crate) time: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key_id: Option<KeyId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token_id: Option<TokenId>,
    /// The person of a session at an identity provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user_id: Option<UserId>,
    pub(crate) method: &'static str,
    pub(crate) route: &'a str,
    pub(crate) status: u16,
    /// The code of the problem in the response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<&'static str>,
    /// Why authentication failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) refused: Option<&'static str>,
    pub(crate) protocol: &'static str,
    /// Where it came from; null where a proxy hides it.
    pub(crate) client: Option<IpAddr>,
    pub(crate) listener: &'a str,
    #[serde(rename = "duration_ms", serialize_with = "as_milliseconds")]
    pub(crate) duration: Duration,
    /// Bytes of the response's body that were handed to the connection.
    pub(crate) response_bytes: u64,
    /// Whether that was all of it.
    pub(crate) complete: bool,
}

/// Where JSON lines go; unset if the log is text.
static QUEUE: OnceLock<Queue> = OnceLock::new();

/// Sends JSON lines to this queue from now on.
pub(super) fn write_json_to(queue: Queue) {
    // The first log of a process wins.
    let _ = QUEUE.set(queue);
}

impl Access<'_> {
    /// Writes the line to the log.
    pub(crate) fn log(&self) {
        let Some(queue) = QUEUE.get() else { return self.log_as_text() };
        let mut outcome = Ok(());
        queue.push(|text| {
            let begin = text.len();
            outcome = self.write(text);
            match outcome {
                Ok(()) => text.push(b'\n'),
                Err(_) => text.truncate(begin),
            }
        });
        // After the line was pushed, because this one goes into the same queue.
        if let Err(error) = outcome {
            error!(%error, "A line of the access log could not be written");
        }
    }

    fn log_as_text(&self) {
        info!(
            target: "access",
            request_id = self.request_id,
            key_id = self.key_id.map(tracing::field::display),
            token_id = self.token_id.map(tracing::field::display),
            user_id = self.user_id.map(tracing::field::display),
            method = self.method,
            route = self.route,
            status = self.status,
            error = self.error,
            refused = self.refused,
            protocol = self.protocol,
            client = self.client.map(tracing::field::display),
            listener = self.listener,
            duration_ms = milliseconds(self.duration),
            response_bytes = self.response_bytes,
            complete = self.complete,
            "request"
        );
    }
}

/// The JSON line: the fields common to every line of the log, and those of a request between them.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(serialize_with = "to_the_millisecond")]
    timestamp: Timestamp,
    level: &'static str,
    message: &'static str,
    #[serde(flatten)]
    request: &'a Access<'a>,
    target: &'static str,
}

impl Access<'_> {
    fn write(&self, text: &mut Vec<u8>) -> serde_json::Result<()> {
        let line =
            Line { timestamp: self.time, level: "INFO", message: "request", request: self, target: "access" };
        serde_json::to_writer(text, &line)
    }
}

/// RFC 3339 in UTC, such as `2026-11-22T04:05:06.078Z`.
fn to_the_millisecond<S: Serializer>(moment: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{moment:.3}"))
}

fn as_milliseconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(milliseconds(*duration))
}

/// To the microsecond: more digits would be noise.
#[expect(clippy::cast_precision_loss, reason = "a request does not last for centuries")]
fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_only_the_fields_that_are_set() {
        let id = "019c16a1-7b00-7000-8000-000000000000";
        let mut access = Access {
            time: "2026-11-22T04:05:06.078Z".parse().unwrap(),
            request_id: Some("a\"b"),
            key_id: Some(id.parse().unwrap()),
            token_id: None,
            user_id: None,
            method: "GET",
            route: "/2026-02-01/ping.json",
            status: 200,
            error: None,
            refused: None,
            protocol: "HTTP2",
            client: "2001:db8::1".parse().ok(),
            listener: "https",
            duration: Duration::from_nanos(81_499),
            response_bytes: 55,
            complete: true,
        };
        let line = |access: &Access<'_>| {
            let mut text = Vec::new();
            access.write(&mut text).unwrap();
            String::from_utf8(text).unwrap()
        };
        let expected = format!(
            r#"{{"timestamp":"2026-11-22T04:05:06.078Z","level":"INFO","message":"request","request_id":"a\"b","key_id":"{id}","method":"GET","route":"/2026-02-01/ping.json","status":200,"protocol":"HTTP2","client":"2001:db8::1","listener":"https","duration_ms":0.081,"response_bytes":55,"complete":true,"target":"access"}}"#
        );
        assert_eq!(line(&access), expected);
        (access.request_id, access.key_id) = (None, None);
        (access.error, access.refused) = (Some("invalid_token"), Some("missing"));
        access.time = "2026-11-22T04:05:06.9999Z".parse().unwrap();
        let bare = r#"{"timestamp":"2026-11-22T04:05:06.999Z","level":"INFO","message":"request","method":"GET","route":"/2026-02-01/ping.json","status":200,"error":"invalid_token","refused":"missing","protocol":"HTTP2","client":"2001:db8::1","listener":"https","duration_ms":0.081,"response_bytes":55,"complete":true,"target":"access"}"#;
        assert_eq!(line(&access), bare);
    }
}
