//! Header templates: a response's fields are a copy of a prepared map, whose values are then set in the order
//! in which they were inserted. Inserting fields by name would hash each name for every response.

use std::collections::HashSet;
use std::sync::{LazyLock, Mutex, PoisonError};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use versions::{Catalog, VersionTable};

pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const API_VERSION: HeaderName = HeaderName::from_static("api-version");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Few responses have more fields: with room for these from the start, their maps do not grow.
const FIELDS_MAX: usize = 14;

/// The values that differ from response to response.
pub(crate) struct ResponseValues {
    /// `Date` and `Content-Length` of HTTP/2 and HTTP/3. Over HTTP/1 hyper writes them.
    pub(crate) multiplexed: Option<[HeaderValue; 2]>,
    pub(crate) request_id: HeaderValue,
    /// `RateLimit` and `RateLimit-Policy`, once the caller is known.
    pub(crate) rate: Option<[HeaderValue; 2]>,
    pub(crate) alt_svc: Option<HeaderValue>,
}

/// The prepared maps, by the version's index and by which fields there are.
pub(crate) struct HeaderTemplates(Vec<[HeaderMap; 4]>);

impl HeaderTemplates {
    pub(super) fn new(catalog: &Catalog) -> Self {
        let none = || HeaderValue::from_static("");
        let map = |table: &VersionTable, multiplexed: bool, has_alt_svc: bool| {
            let values = ResponseValues {
                multiplexed: multiplexed.then(|| [none(), none()]),
                request_id: none(),
                rate: Some([none(), none()]),
                alt_svc: has_alt_svc.then(none),
            };
            let name = interned(&table.version.to_string());
            let mut fields = values.into_fields(Some(HeaderValue::from_static(name)));
            fields.insert(header::CONTENT_TYPE, JSON);
            fields
        };
        let kinds = [(false, false), (false, true), (true, false), (true, true)];
        let maps = |table| kinds.map(|(multiplexed, has_alt_svc)| map(table, multiplexed, has_alt_svc));
        Self(catalog.tables().iter().map(maps).collect())
    }

    /// The fields of a successful response with JSON to a caller who is known.
    pub(crate) fn ok(&self, table: &VersionTable, values: ResponseValues) -> HeaderMap {
        let kind = usize::from(values.multiplexed.is_some()) * 2 + usize::from(values.alt_svc.is_some());
        let mut fields = self.0[table.index][kind].clone();
        let mut slots = fields.values_mut();
        let mut set = |value| {
            if let Some(slot) = slots.next() {
                *slot = value;
            }
        };
        if let Some([date, length]) = values.multiplexed {
            set(date);
            set(length);
        }
        set(values.request_id);
        if let Some([limit, policy]) = values.rate {
            set(limit);
            set(policy);
        }
        if let Some(alt_svc) = values.alt_svc {
            set(alt_svc);
        }
        fields
    }
}

impl ResponseValues {
    /// The fields that every response has, with these values first.
    pub(crate) fn into_fields(self, version: Option<HeaderValue>) -> HeaderMap {
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

/// The one copy of a version's name, kept as long as the process lives: the reference count of a shared value
/// would be written by every worker with every response. Names are as few as an operator's versions.
fn interned(name: &str) -> &'static str {
    static NAMES: LazyLock<Mutex<HashSet<&'static str>>> = LazyLock::new(Mutex::default);
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(name) = names.get(name) {
        return name;
    }
    let name: &'static str = name.to_owned().leak();
    names.insert(name);
    name
}
