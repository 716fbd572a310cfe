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
use tracing::{error, info};
use uuid::fmt::Hyphenated;
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
            outcome = self.write(text);
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

impl Access<'_> {
    /// Writes the members of every other line of the log, in their order, and those of a request between them. What
    /// is the same in every line is copied as it stands, and so are texts of ours, in which nothing is to be escaped.
    fn write(&self, text: &mut Vec<u8>) -> serde_json::Result<()> {
        text.extend_from_slice(br#"{"timestamp":""#);
        write_moment(self.time, text);
        text.extend_from_slice(br#"","level":"INFO","message":"request""#);
        if let Some(id) = self.request_id {
            text.extend_from_slice(br#","request_id":"#);
            json::write(id, text)?;
        }
        if let Some(id) = self.key_id {
            text.extend_from_slice(br#","key_id":""#);
            let id = id.0.hyphenated();
            text.extend_from_slice(id.encode_lower(&mut [0; Hyphenated::LENGTH]).as_bytes());
            text.push(b'"');
        }
        text.extend_from_slice(br#","method":""#);
        text.extend_from_slice(self.method.as_bytes());
        text.extend_from_slice(br#"","route":"#);
        json::write(self.route, text)?;
        text.extend_from_slice(br#","status":"#);
        json::write(&self.status, text)?;
        if let Some(error) = self.error {
            text.extend_from_slice(br#","error":"#);
            json::write(error, text)?;
        }
        if let Some(refused) = self.refused {
            text.extend_from_slice(br#","refused":"#);
            json::write(refused, text)?;
        }
        text.extend_from_slice(br#","protocol":""#);
        text.extend_from_slice(self.protocol.as_bytes());
        text.extend_from_slice(br#"","client":"#);
        json::write(&self.client, text)?;
        text.extend_from_slice(br#","listener":"#);
        json::write(self.listener, text)?;
        text.extend_from_slice(br#","duration_ms":"#);
        write_milliseconds(self.duration, text);
        text.extend_from_slice(br#","target":"access"}"#);
        Ok(())
    }
}

/// To the microsecond: more digits would be noise.
#[expect(clippy::cast_precision_loss, reason = "a request does not last for centuries")]
fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e3
}

/// The same number as JSON, digit by digit.
fn write_milliseconds(duration: Duration, text: &mut Vec<u8>) {
    let microseconds = duration.as_micros();
    let whole = u64::try_from(microseconds / 1_000).unwrap_or(u64::MAX);
    text.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes());
    text.push(b'.');
    let digits = three_digits((microseconds % 1_000) as u32);
    let kept = digits.iter().rposition(|digit| *digit != b'0').map_or(1, |last| last + 1);
    digits[..kept].iter().for_each(|digit| text.push(*digit));
}

/// The digits of a number below 1000.
const fn three_digits(number: u32) -> [u8; 3] {
    [b'0' + (number / 100) as u8, b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8]
}

/// A moment in UTC, to the millisecond (RFC 3339); its second is written once on each thread.
fn write_moment(moment: Timestamp, text: &mut Vec<u8>) {
    thread_local! {
        static SECOND: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) };
    }
    SECOND.with_borrow_mut(|(second, written)| {
        if *second != moment.as_second() {
            *second = moment.as_second();
            *written = moment.strftime("%Y-%m-%dT%H:%M:%S.").to_string();
        }
        text.extend_from_slice(written.as_bytes());
    });
    text.extend_from_slice(&three_digits(moment.subsec_millisecond().unsigned_abs()));
    text.push(b'Z');
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
            access.write(&mut text).unwrap();
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

    #[test]
    fn milliseconds_are_written_as_the_number_is() {
        for micros in [0, 1, 10, 81, 100, 999, 1_000, 1_010, 12_000, 12_300, 99_999, 1_234_567, 3_600_000_000]
        {
            let duration = Duration::from_micros(micros);
            let mut text = Vec::new();
            write_milliseconds(duration, &mut text);
            assert_eq!(
                String::from_utf8(text).unwrap(),
                serde_json::to_string(&milliseconds(duration)).unwrap()
            );
        }
    }
}
