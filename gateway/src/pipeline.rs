//! The path of a request, the same for every protocol.
//!
//! [`Pipeline::run`] is the whole of it, in order: admit, authenticate, date, endpoint, authorize, rate
//! limit, handle. The steps are leaves; all branching stands here. `serve` wraps it: it opens the
//! record, turns an error into an answer and closes the record. It cannot fail: a panic in a step is
//! an answer of 500 for that request and nothing to any other.

mod authenticate;
mod client;
mod connection;
mod dates;
mod durations;
mod fields;
mod negotiate;
mod preview;
mod record;
mod respond;
#[cfg(test)]
mod tests;

use std::borrow::Borrow;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use permissions::{Brand, ServerSecret};
use versions::{
    Action, Answer, Calendar, Catalog, Context, Entry, Error, ErrorCode, Help, Input, Instant, Protocol,
    Services, VersionTable, has_content,
};

use crate::clock::Clock;
use crate::config::{Api, Config, Limits, Timeouts};
use crate::keys::index::{Key, KeyIndex};
use crate::limits::{Failures, Slots, check_head, declared_length};
use crate::transport::{Body, Peer, Service, within};

use authenticate::Caller;
pub(crate) use client::address as client_address;
use dates::Dates;
pub use durations::Durations;
use fields::Prepared;
pub(crate) use fields::date;
use preview::{Call, Preview};
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

/// What a connection has shown that was good: shown again, it is recognised by a comparison.
#[derive(Default)]
struct Known {
    host: Option<Box<[u8]>>,
    caller: Option<Arc<Caller>>,
}

/// What a request has come to, for the answer's fields and the record.
#[derive(Default)]
struct Progress {
    /// The version that answers, once the path names one that exists.
    version: Option<&'static VersionTable>,
    /// The version that was asked for, where another one answers.
    forwarded_from: Option<&'static VersionTable>,
    /// What a newer date would answer.
    preview: Option<Box<Preview>>,
    /// Whose key was good.
    caller: Option<Arc<Caller>>,
    /// What the request left of the key's rate.
    spent: Option<crate::limits::Spent>,
    /// Whether head and content were read to their end: whatever is asked for, the connection is in order.
    is_read: bool,
}

/// What a request that was not refused is answered with.
enum Reply {
    /// 200 with JSON.
    Json(Bytes),
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

    async fn run(
        &'static self,
        head: &Parts,
        body: Body,
        peer: &Arc<Peer>,
        record: &mut Record<'_>,
        progress: &mut Progress,
        settings: &Settings,
    ) -> Result<Reply, Error> {
        let listener = &peer.listener;
        // Only looked at here, for the answer's fields; whether there is such a date is told further down.
        let version = self.catalog.version(head.uri.path());
        progress.version = version.map(|(table, _)| table);
        // First of all, because this answer closes the connection.
        if peer.is_ambiguous() {
            return Err(Error::new(
                ErrorCode::MalformedRequest,
                "The head can be read in two ways: it says more than once, or in no clear form, how long its \
                 content is, or its target has a fragment.",
            ));
        }
        let _slot = self.slots.take(settings.limits.requests_in_flight_max)?;
        let (fields, caller) = peer.with_notes(|known: &mut Known| {
            let fields = check_head(head, &settings.limits, &listener.hosts, &mut known.host)?;
            let (now, client) = (record.time, client::address(&head.headers, peer));
            record.client = client;
            match self.authenticate(fields.authorization, &mut known.caller, now, client, peer) {
                Ok(caller) => Ok((fields, caller)),
                Err((refused, key)) => {
                    record.refused = Some(refused);
                    record.key = key;
                    Err(self.refuse_credential(client, record.received, settings))
                }
            }
        })?;
        let key: &Key = &progress.caller.insert(caller).key;
        record.key = Some(key.id);
        key.used(record.time, peer);

        let (asked, below) = version.ok_or_else(|| {
            let detail = "The path does not begin with a version that exists; see `supportedVersions`.";
            settings.dates.unknown(detail, key.environment, record.time)
        })?;
        let table = settings.dates.answering(asked, &self.catalog, key, record.time)?;
        if table.index != asked.index {
            progress.version = Some(table);
            progress.forwarded_from = Some(asked);
        }
        let (resource, mut input) = table.resource(below)?;
        // For OPTIONS, and a method that is not answered here: the record tells the path at least.
        record.entry = self.catalog.any_entry(table, resource);
        let options = head.method == Method::OPTIONS;
        let entry = if options { None } else { Some(self.catalog.entry(table, resource, &head.method)?) };
        record.entry = entry.or(record.entry);

        if let Some(entry) = entry {
            let required = entry.route.permission;
            key.permissions.authorize(required).map_err(|_| lacking(required, key))?;
        }

        progress.spent = Some(key.rate_limit.spend(record.received).map_err(|spent| {
            progress.spent = Some(spent);
            Error::new(ErrorCode::RateLimited, "This key has reached its rate. Wait as `Retry-After` says.")
                .with_help(Help { retry_after_seconds: Some(spent.reset_seconds), ..Help::default() })
        })?);

        let Some(entry) = entry else { return Ok(Reply::Options(resource.allow.clone())) };
        negotiate::accept(fields.accept, &head.headers)?;
        negotiate::early_data(fields.early_data, entry.route.early_data_safe)?;
        let has_preview = fields.has_preview;
        if !body.is_end_stream() {
            let declared = declared_length(fields.content_length)?;
            let keep = has_content(&head.method);
            // Boxed, as everything that few requests need is: the rest is moved about with every request.
            input.content = Box::pin(read(body, &head.headers, declared, record, settings, keep)).await?;
        }
        progress.is_read = true;
        let call = Call { head, table, key, entry };
        let wanted =
            if has_preview { Some(self.preview_wanted(&call, settings, record.time)?) } else { None };
        input.query = head.uri.query().unwrap_or_default();
        let context = Context {
            version: call.table.version,
            environment: call.key.environment,
            client: record.client,
            protocol: record.protocol,
            headers: &head.headers,
            received: record.received,
            connection: &**peer,
            services: self,
        };
        let again = wanted.map(|table| Box::new((table, input.clone())));
        let body = answer(call.entry, &context, input).await?;
        if let Some((newer, input)) = again.map(|again| *again) {
            let preview = self.preview(newer, &call, &context, input, &body, settings);
            progress.preview = Some(Box::new(Box::pin(preview).await));
        }
        Ok(Reply::Json(body))
    }
}

/// The endpoint's own part.
fn answer<'a>(entry: &Entry, context: &'a Context<'a>, input: Input<'a>) -> Answer<'a> {
    match entry.route.action {
        Action::Native(handle) => handle(context, input),
    }
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

/// Reads content within the bounds of any content, and keeps it where the endpoint takes some.
async fn read(
    mut body: Body,
    fields: &HeaderMap,
    declared: Option<u64>,
    record: &mut Record<'_>,
    settings: &Settings,
    keep: bool,
) -> Result<Bytes, Error> {
    let (max, timeouts) = (settings.limits.body_bytes_max, &settings.timeouts);
    let late = || Error::new(ErrorCode::RequestTimeout, "The content did not arrive in time.");
    let read = async {
        let mut bytes = 0;
        let mut kept = BytesMut::new();
        while let Some(frame) = within(timeouts.body, body.frame()).await.ok_or_else(late)? {
            let frame = frame.map_err(|error| {
                record.client_is_gone = !error.is_malformed();
                Error::new(ErrorCode::MalformedRequest, "The content is malformed or broke off.")
            })?;
            let before = bytes;
            bytes += frame.data_ref().map_or(0, Bytes::len);
            if before == 0 && bytes > 0 {
                // Over HTTP/3 only now is it known that there is content at all.
                negotiate::content(fields)?;
            }
            if bytes > max {
                let detail = format!("The content has more than {max} bytes.");
                return Err(Error::new(ErrorCode::ContentTooLarge, detail));
            }
            if let Some(data) = frame.data_ref().filter(|_| keep) {
                kept.extend_from_slice(data);
            }
        }
        // hyper and h2 have seen to it over HTTP/1 and HTTP/2; over HTTP/3 it is left to us (RFC 9114 §4.1.2).
        if declared.is_some_and(|declared| declared != bytes as u64) {
            let detail = format!("The content has {bytes} bytes, and `Content-Length` says something else.");
            return Err(Error::new(ErrorCode::MalformedRequest, detail));
        }
        Ok(kept.freeze())
    };
    within(timeouts.request, read).await.unwrap_or_else(|| Err(late()))
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
    fn serve(
        &'static self,
        request: Request<Body>,
        peer: impl Borrow<Arc<Peer>> + Send,
    ) -> impl Future<Output = Response<Body>> + Send {
        // Taken apart first: a future keeps room for the whole of its arguments until its end.
        let (head, body) = request.into_parts();
        async move {
            let peer = peer.borrow();
            let settings = self.settings.load();
            let mut record = Record::open(self, &head, peer, settings.access_log);
            let mut progress = Progress::default();
            // Pinned here, because catching a panic would otherwise move the whole of it.
            let caught = {
                let run = pin!(self.run(&head, body, peer, &mut record, &mut progress, &settings));
                AssertUnwindSafe(run).catch_unwind().await
            };
            // What a step leaves behind when it panics is only read here, never used again.
            let mut outcome = caught.unwrap_or_else(|_| {
                metrics::counter!("gateway_panics_total").increment(1);
                Err(Error::internal("a step of the request path panicked"))
            });
            // A request of a known key counts whatever it is answered with, so that every answer can tell
            // what is left. Nothing is refused for it here: the error that was met first stands.
            if let (Some(caller), None) = (&progress.caller, progress.spent) {
                let spent = caller.key.rate_limit.spend(record.received);
                progress.spent = Some(spent.unwrap_or_else(|spent| spent));
            }
            let response = self.respond(&mut outcome, &head.method, peer, &record, &progress, &settings);
            record.close(response.status(), outcome.err().as_ref());
            response
        }
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
            self.respond(&mut outcome, &head.method, peer, &record, &Progress::default(), &settings);
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
