//! The fields that answers have in common, prepared once: a good answer is a copy of a prepared map with the
//! values set that are its own. Filling a map name by name would hash each of them, for every answer.

use std::cell::RefCell;
use std::sync::LazyLock;
use std::time::{Duration, UNIX_EPOCH};

use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use jiff::Timestamp;
use versions::{Catalog, VersionTable};

use crate::limits::{Policy, Spent};

pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const API_VERSION: HeaderName = HeaderName::from_static("api-version");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// No answer has more fields: with room for all of them from the start, no map grows on the way.
const FIELDS_MAX: usize = 14;

/// The values that are an answer's own.
pub(super) struct Own {
    /// `Date` and `Content-Length`. Over HTTP/1 hyper writes them, straight into the answer's bytes.
    pub(super) multiplexed: Option<[HeaderValue; 2]>,
    pub(super) request_id: HeaderValue,
    /// `RateLimit` and `RateLimit-Policy`, once the key is known.
    pub(super) rate: Option<[HeaderValue; 2]>,
    pub(super) alt_svc: Option<HeaderValue>,
}

/// The maps of good answers, by the version's index and by what else decides which fields there are.
pub(super) struct Prepared(Vec<[HeaderMap; 4]>);

impl Prepared {
    pub(super) fn new(catalog: &Catalog) -> Self {
        let none = || HeaderValue::from_static("");
        let map = |table: &VersionTable, multiplexed: bool, has_alt_svc: bool| {
            let own = Own {
                multiplexed: multiplexed.then(|| [none(), none()]),
                request_id: none(),
                rate: Some([none(), none()]),
                alt_svc: has_alt_svc.then(none),
            };
            // It lives as long as the process, like the path of requests itself; a value that counts its
            // users would be written by every worker with every answer.
            let name: &'static str = Box::leak(table.version.to_string().into_boxed_str());
            let mut fields = own.into_fields(Some(HeaderValue::from_static(name)));
            fields.insert(header::CONTENT_TYPE, JSON);
            fields
        };
        let kinds = [(false, false), (false, true), (true, false), (true, true)];
        let maps = |table| kinds.map(|(multiplexed, has_alt_svc)| map(table, multiplexed, has_alt_svc));
        Self(catalog.tables().iter().map(maps).collect())
    }

    /// The fields of an answer of 200 with JSON.
    pub(super) fn good(&self, table: &VersionTable, own: Own) -> HeaderMap {
        let kind = usize::from(own.multiplexed.is_some()) * 2 + usize::from(own.alt_svc.is_some());
        let mut fields = self.0[table.index][kind].clone();
        let mut values = fields.values_mut();
        let mut set = |value| {
            if let Some(place) = values.next() {
                *place = value;
            }
        };
        // In the order in which they were put in.
        if let Some([date, length]) = own.multiplexed {
            set(date);
            set(length);
        }
        set(own.request_id);
        if let Some([limit, policy]) = own.rate {
            set(limit);
            set(policy);
        }
        if let Some(alt_svc) = own.alt_svc {
            set(alt_svc);
        }
        fields
    }
}

impl Own {
    /// The fields that every answer has, with those of its own first.
    pub(super) fn into_fields(self, version: Option<HeaderValue>) -> HeaderMap {
        let mut fields = HeaderMap::with_capacity(FIELDS_MAX);
        if let Some([date, length]) = self.multiplexed {
            fields.insert(header::DATE, date);
            fields.insert(header::CONTENT_LENGTH, length);
        }
        fields.insert(REQUEST_ID, self.request_id);
        if let Some([limit, policy]) = self.rate {
            fields.insert(RATE_LIMIT, limit);
            fields.insert(RATE_LIMIT_POLICY, policy);
        }
        if let Some(alt_svc) = self.alt_svc {
            fields.insert(header::ALT_SVC, alt_svc);
        }
        fields.insert(header::CACHE_CONTROL, NO_STORE);
        fields.insert(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
        if let Some(version) = version {
            fields.insert(API_VERSION, version);
        }
        fields
    }
}

/// The block of memory that the values of many answers are cut from.
const BLOCK_BYTES: usize = 4096;

const SMALL_BODY_BYTES_MAX: usize = 512;

/// A value that is this answer's alone, of visible ASCII.
pub(super) fn field(write: impl FnOnce(&mut BytesMut)) -> HeaderValue {
    thread_local! {
        static BLOCK: RefCell<BytesMut> = RefCell::new(BytesMut::with_capacity(BLOCK_BYTES));
    }
    BLOCK.with_borrow_mut(|block| {
        write(block);
        HeaderValue::from_maybe_shared(block.split().freeze()).expect("visible ASCII is written")
    })
}

/// `Content-Length`. Those of small bodies are written once for all answers.
pub(super) fn length(bytes: usize) -> HeaderValue {
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

/// `RateLimit` and `RateLimit-Policy`.
pub(super) fn rate(policy: &Policy, spent: Spent) -> [HeaderValue; 2] {
    let limit = policy.written_field(spent);
    let limit = limit.unwrap_or_else(|| unique(field(|block| spent.write_field(block))));
    [limit, policy.field()]
}

/// Marks a value that no other answer has, so that HTTP/2 does not put it into its table of repeated fields
/// (RFC 7541 §7.1.3): there it would push out those that repeat, and every later answer would search it.
pub(super) fn unique(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

/// A moment in the form of HTTP (RFC 9110 §5.6.7).
pub(super) fn http_date(moment: Timestamp) -> HeaderValue {
    let since = Duration::from_secs(u64::try_from(moment.as_second()).unwrap_or(0));
    HeaderValue::try_from(httpdate::fmt_http_date(UNIX_EPOCH + since)).expect("a date is ASCII text")
}
