//! Writes the values of response fields so that most responses allocate nothing for them.

use std::cell::RefCell;
use std::sync::LazyLock;
use std::time::{Duration, UNIX_EPOCH};

use bytes::BytesMut;
use http::HeaderValue;
use jiff::Timestamp;

/// The size of a memory block that the values of many responses are cut from.
const BLOCK_BYTES: usize = 4096;
/// The lengths of smaller bodies are prepared once for all responses.
const SMALL_BODY_BYTES_MAX: usize = 512;

/// Writes a value of visible ASCII that differs from response to response.
pub(crate) fn field(write: impl FnOnce(&mut BytesMut)) -> HeaderValue {
    thread_local! {
        static BLOCK: RefCell<BytesMut> = RefCell::new(BytesMut::with_capacity(BLOCK_BYTES));
    }
    BLOCK.with_borrow_mut(|block| {
        write(block);
        HeaderValue::from_maybe_shared(block.split().freeze()).expect("visible ASCII is written")
    })
}

/// `Content-Length`.
pub(crate) fn content_length(bytes: usize) -> HeaderValue {
    static WRITTEN: LazyLock<Vec<HeaderValue>> = LazyLock::new(|| {
        let write = |length: usize| HeaderValue::from_static(length.to_string().leak());
        (0..SMALL_BODY_BYTES_MAX).map(write).collect()
    });
    WRITTEN.get(bytes).cloned().unwrap_or_else(|| bytes.into())
}

/// `Date` (RFC 9110 §6.6.1), written once a second on each thread.
pub(crate) fn date(now: Timestamp) -> HeaderValue {
    thread_local! {
        static WRITTEN: RefCell<(i64, HeaderValue)> = const { RefCell::new((i64::MIN, HeaderValue::from_static(""))) };
    }
    WRITTEN.with_borrow_mut(|(second, field)| {
        if *second != now.as_second() {
            *second = now.as_second();
            *field = http_date(now);
        }
        field.clone()
    })
}

/// Marks a value that differs from response to response, so that HTTP/2 keeps it out of its dynamic table
/// (RFC 7541 §7.1.3), where it would evict fields that repeat.
pub(crate) fn never_indexed(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

/// Formats a time as HTTP does (RFC 9110 §5.6.7).
pub(crate) fn http_date(moment: Timestamp) -> HeaderValue {
    let since = Duration::from_secs(u64::try_from(moment.as_second()).unwrap_or(0));
    HeaderValue::try_from(httpdate::fmt_http_date(UNIX_EPOCH + since)).expect("a date is ASCII text")
}
