//! The path of a request, the same for every protocol.
//!
//! `pass` is all of it that may refuse a request, in order: admit, authenticate, date, endpoint, authorize, rate
//! limit. `handle` is the last step. The steps are leaves; all branching stands here. `serve` wraps them: it opens
//! the record, turns an error into an answer and closes the record. It cannot fail: a panic in a step is an answer of
//! 500 for that request and nothing to any other.
//!
//! Only a request that has content, whose endpoint waits, or that wants a preview becomes a future: a future is moved
//! about and keeps its share of everything alive, which was a twentieth of what a request cost.

mod authenticate;
mod client;
mod connection;
mod dates;
mod durations;
mod fields;
mod handle;
mod negotiate;
mod preview;
mod record;
mod respond;
#[cfg(test)]
mod tests;

use std::future::ready;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::{ArcSwap, Cache};
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::Either;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use jiff::Timestamp;
use permissions::{Brand, ServerSecret};
use versions::{
    Calendar, Catalog, Error, ErrorCode, Help, Input, Instant, Protocol, Resource, Services, VersionTable,
};

use crate::clock::Clock;
use crate::config::{Api, Config, Limits, Timeouts};
use crate::keys::index::{Key, KeyIndex};
use crate::limits::{Failures, Slot, Slots, check_head};
use crate::transport::{Body, Peer, Served, Service};

use authenticate::Caller;
pub(crate) use client::address as client_address;
use dates::Dates;
pub use durations::Durations;
pub(crate) use fields::date;
use fields::{Prepared, rate};
use handle::Call;
use preview::Preview;
use record::Record;

/// Everything that a request meets. One for the process, for as long as it lives.
pub struct Pipeline {
    catalog: Catalog,
    keys: KeyIndex,
    secret: ServerSecret,
    brand: Brand,
    realm: String,
    clock: Box<dyn Clock>,
    failures: Failures,
    slots: Slots,
    settings: ArcSwap<Settings>,
    prepared: Prepared,
    durations: Durations,
    draining: AtomicBool,
}

/// What a reload may change of the path.
#[derive(Debug)]
pub struct Settings {
    limits: Limits,
    timeouts: Timeouts,
    docs_url: String,
    /// The body of every 401.
    invalid_token: Bytes,
    access_log: bool,
    dates: Dates,
}

impl Settings {
    /// Takes its part of the configuration.
    #[must_use]
    pub fn new(config: &Config, catalog: &Catalog) -> Self {
        let Api { docs_url, invalid_token_message, .. } = &config.api;
        let invalid_token = serde_json::json!({ "error": invalid_token_message }).to_string().into();
        Self {
            limits: config.limits.clone(),
            timeouts: config.timeouts.clone(),
            docs_url: docs_url.clone(),
            invalid_token,
            access_log: config.log.access,
            dates: Dates::new(config, catalog),
        }
    }
}

/// What the path notes of a connection.
#[derive(Default)]
pub struct Notes {
    /// Compared with what is in force, not loaded: that would count its users.
    settings: Option<Cache<&'static ArcSwap<Settings>, Arc<Settings>>>,
    known: Known,
}

/// What a connection has shown that was good: shown again, it is recognised by a comparison.
#[derive(Default)]
struct Known {
    host: Option<Box<[u8]>>,
    caller: Option<Arc<Caller>>,
    target: Option<Target>,
}

/// A path without parameters, and what was found by it.
struct Target {
    path: Box<str>,
    table: &'static VersionTable,
    resource: &'static Resource,
}

/// Longer paths are looked up each time.
const TARGET_BYTES_MAX: usize = 128;

/// What a request has come to, for the answer's fields.
#[derive(Default)]
struct Progress {
    /// The version that answers, once the path names one that exists.
    version: Option<&'static VersionTable>,
    /// The version that was asked for, where another one answers.
    forwarded_from: Option<&'static VersionTable>,
    /// `RateLimit` and `RateLimit-Policy`, once the key is known.
    rate: Option<[HeaderValue; 2]>,
    /// Its place among the requests in flight.
    slot: Option<Slot>,
}

/// What is left to do for a request that was not refused.
enum Passed<'r> {
    /// To tell `Allow`.
    Options(HeaderValue),
    /// To have it handled.
    Call(Call<'r>, Input<'r>),
}

/// What a request that was not refused is answered with.
enum Reply {
    /// 200 with JSON, and what a newer date would answer.
    Json(Bytes, Option<Box<Preview>>),
    /// 204 with `Allow`.
    Options(HeaderValue),
}

impl Pipeline {
    /// Sets up the path; keys are applied to [`Self::keys`] afterwards.
    #[must_use]
    pub fn new(config: &Config, catalog: Catalog, secret: ServerSecret, clock: Box<dyn Clock>) -> Self {
        Self {
            durations: Durations::new(catalog.entries(), config.runtime.worker_count()),
            settings: ArcSwap::from_pointee(Settings::new(config, &catalog)),
            prepared: Prepared::new(&catalog),
            catalog,
            keys: KeyIndex::new(config.limits.key_rate),
            secret,
            brand: config.api.brand.clone(),
            realm: config.api.realm.clone(),
            clock,
            failures: Failures::new(config.limits.failure_addresses_max),
            slots: Slots::default(),
            draining: AtomicBool::new(false),
        }
    }

    /// The keys that requests are checked against.
    pub fn keys(&self) -> &KeyIndex {
        &self.keys
    }

    /// Every endpoint of every date.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// How many requests are being answered.
    pub fn in_flight(&self) -> usize {
        self.slots.taken()
    }

    /// How long requests took.
    pub fn durations(&self) -> &Durations {
        &self.durations
    }

    /// Takes over what a reload may change.
    pub fn reload(&self, config: &Config) {
        self.keys.set_default_rate(config.limits.key_rate);
        self.settings.store(Arc::new(Settings::new(config, &self.catalog)));
    }

    /// From now on, answers tell clients to go elsewhere.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// The steps that may refuse a request. None of them waits for anything.
    fn pass<'r>(
        &'static self,
        head: &'r Parts,
        peer: &Arc<Peer>,
        known: &'r mut Known,
        record: &mut Record,
        progress: &mut Progress,
        settings: &Settings,
    ) -> Result<Passed<'r>, Error> {
        let listener = &peer.listener;
        // Only looked at here, for the answer's fields; whether there is such a date is told further down.
        let path = head.uri.path();
        let target = known.target.as_ref().filter(|target| *target.path == *path);
        let target = target.map(|target| (target.table, target.resource));
        let version = match target {
            Some((table, _)) => Some((table, None)),
            None => self.catalog.version(path).map(|(table, below)| (table, Some(below))),
        };
        progress.version = version.map(|(table, _)| table);
        // First of all, because this answer closes the connection.
        if peer.is_ambiguous() {
            return Err(Error::new(
                ErrorCode::MalformedRequest,
                "The head can be read in two ways: it says more than once, or in no clear form, how long its \
                 content is, or its target has a fragment.",
            ));
        }
        progress.slot = Some(self.slots.take(settings.limits.requests_in_flight_max)?);
        let fields = check_head(head, &settings.limits, &listener.hosts, &mut known.host)?;
        record.client = client::address(&head.headers, peer);
        let authenticated = self.authenticate(fields.authorization, &mut known.caller, record, peer);
        let caller = authenticated.map_err(|(refused, key)| {
            record.refused = Some(refused);
            record.key = key;
            self.refuse_credential(record.client, record.received, settings)
        })?;
        let key: &Key = &caller.key;
        record.key = Some(key.id);
        key.used(record.time, peer);
        // A request of a known key counts whatever it is answered with, so that every answer can tell what is
        // left; whether it was too much is told in its turn.
        let spent = key.rate_limit.spend(record.received);
        progress.rate = Some(rate(key.rate_limit.policy(), spent.unwrap_or_else(|spent| spent)));

        let (asked, below) = version.ok_or_else(|| {
            let detail = "The path does not begin with a version that exists; see `supportedVersions`.";
            settings.dates.unknown(detail, key.environment, record.time)
        })?;
        let table = settings.dates.answering(asked, &self.catalog, key, record.time)?;
        if table.index != asked.index {
            progress.version = Some(table);
            progress.forwarded_from = Some(asked);
        }
        let (resource, mut input) = match target {
            Some((known, resource)) if known.index == table.index => (resource, Input::default()),
            _ => {
                let (resource, input) = table.resource(below.unwrap_or_else(|| self.catalog.below(path)))?;
                if table.index == asked.index && path.len() <= TARGET_BYTES_MAX && !input.has_parameters() {
                    known.target = Some(Target { path: path.into(), table, resource });
                }
                (resource, input)
            }
        };
        // For OPTIONS, and a method that is not answered here: the record tells the path at least.
        record.entry = self.catalog.any_entry(table, resource);
        let options = head.method == Method::OPTIONS;
        let entry = if options { None } else { Some(self.catalog.entry(table, resource, &head.method)?) };
        record.entry = entry.or(record.entry);

        if let Some(entry) = entry {
            let required = entry.route.permission;
            key.permissions.authorize(required).map_err(|_| lacking(required, key))?;
        }

        spent.map_err(|spent| {
            Error::new(ErrorCode::RateLimited, "This key has reached its rate. Wait as `Retry-After` says.")
                .with_help(Help { retry_after_seconds: Some(spent.reset_seconds), ..Help::default() })
        })?;

        let Some(entry) = entry else { return Ok(Passed::Options(resource.allow.clone())) };
        negotiate::accept(fields.accept, &head.headers)?;
        negotiate::early_data(fields.early_data, entry.route.early_data_safe)?;
        input.query = head.uri.query().unwrap_or_default();
        Ok(Passed::Call(Call { head, table, caller, entry, has_preview: fields.has_preview }, input))
    }

    /// The answer to what a request has come to, which is then recorded.
    fn answered(
        &self,
        mut outcome: Result<Reply, Error>,
        method: &Method,
        peer: &Peer,
        record: &mut Record,
        progress: &mut Progress,
        settings: &Settings,
    ) -> Response<Body> {
        let response = self.respond(&mut outcome, method, peer, record, progress, settings);
        record.close(response.status(), outcome.err().as_ref());
        response
    }
}

/// A panic in a step is an error of ours. What the step leaves behind is whole: each thing that is noted of the
/// connection is replaced at once, and of the request it is only read.
fn caught<T>(outcome: std::thread::Result<Result<T, Error>>) -> Result<T, Error> {
    outcome.unwrap_or_else(|_| {
        metrics::counter!("gateway_panics_total").increment(1);
        Err(Error::internal("a step of the request path panicked"))
    })
}

/// The 403 that says what is missing.
fn lacking(required: permissions::ApiAccessPermission, key: &Key) -> Error {
    Error::new(
        ErrorCode::PermissionMissing,
        format!("This key lacks the permission `{required}`. Ask for it, or use a key that has it."),
    )
    .with_help(Help {
        required_permission: Some(required),
        granted_permissions: Some(key.permissions),
        ..Help::default()
    })
}

impl Services for Pipeline {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn calendar(&self) -> Arc<Calendar> {
        Arc::clone(&self.settings.load().dates.calendar)
    }

    fn monotonic(&self) -> Instant {
        self.clock.monotonic()
    }
}

impl Service for Pipeline {
    type Notes = Notes;

    fn serve(&'static self, head: Parts, body: Body, peer: &Arc<Peer>, notes: &mut Notes) -> Served {
        let Notes { settings, known } = notes;
        let settings = settings.get_or_insert_with(|| Cache::new(&self.settings)).load();
        let mut record = Record::open(self, &head, peer, settings.access_log);
        let mut progress = Progress::default();
        let steps = || match self.pass(&head, peer, known, &mut record, &mut progress, settings)? {
            Passed::Options(allow) => Ok(Either::Left(Reply::Options(allow))),
            Passed::Call(call, _) if call.waits(&body) => Ok(Either::Right(call.later())),
            Passed::Call(call, input) => {
                let handled = self.handle(&call, input, Body::Empty, peer, &mut record, settings);
                let reply = handled.now_or_never();
                reply.unwrap_or_else(|| Err(Error::internal("a call waited unannounced"))).map(Either::Left)
            }
        };
        let outcome = match caught(catch_unwind(AssertUnwindSafe(steps))) {
            Ok(Either::Left(reply)) => Ok(reply),
            Err(error) => Err(error),
            Ok(Either::Right(later)) => {
                let (peer, settings) = (Arc::clone(peer), Arc::clone(settings));
                let waiting = async move {
                    let handled = later.handled(self, &head, body, &peer, &mut record, &settings);
                    let outcome = caught(AssertUnwindSafe(handled).catch_unwind().await);
                    self.answered(outcome, &head.method, &peer, &mut record, &mut progress, &settings)
                };
                return Either::Right(waiting.boxed());
            }
        };
        let response = self.answered(outcome, &head.method, peer, &mut record, &mut progress, settings);
        Either::Left(ready(response))
    }

    fn refuse(&'static self, status: StatusCode, version: Version, peer: &Arc<Peer>) -> Response<Bytes> {
        let code = match status {
            StatusCode::REQUEST_TIMEOUT => ErrorCode::RequestTimeout,
            StatusCode::URI_TOO_LONG => ErrorCode::UriTooLong,
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => ErrorCode::HeadersTooLarge,
            _ => ErrorCode::MalformedRequest,
        };
        let detail = match code {
            ErrorCode::RequestTimeout => "The head of the request did not arrive in time.",
            ErrorCode::UriTooLong => "The target is longer than is taken.",
            ErrorCode::HeadersTooLarge => "The request's fields are larger or more than are taken.",
            _ => "The head of the request is not well-formed HTTP.",
        };
        let error = Error::new(code, detail);
        let (mut head, ()) = Request::new(()).into_parts();
        head.version = version;
        let settings = self.settings.load();
        let mut record = Record::open(self, &head, peer, settings.access_log);
        let mut outcome = Err(error);
        let mut response =
            self.respond(&mut outcome, &head.method, peer, &record, &mut Progress::default(), &settings);
        response.headers_mut().insert(header::DATE, date(record.time));
        record.close(response.status(), outcome.err().as_ref());
        response.map(Body::into_bytes)
    }
}

/// The protocol that a request came by.
pub(crate) fn protocol(version: Version) -> Protocol {
    match version {
        Version::HTTP_3 => Protocol::Http3,
        Version::HTTP_2 => Protocol::Http2,
        Version::HTTP_11 => Protocol::Http11,
        _ => Protocol::Http10,
    }
}
