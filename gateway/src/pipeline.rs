//! The path of an API request, the same for every protocol.
//!
//! [`Pipeline::run`] is the entire path, from top to bottom; the steps are in the modules below. `serve`
//! wraps it: it opens the record, converts an error to a response, and moves the record into the response's
//! body. It cannot fail: a panic in a step becomes a 500 for that request and does not affect others.

mod authenticate;
mod connection;
mod cors;
mod decisions;
mod exchange;
mod handle;
mod idempotency;
mod management;
mod negotiate;
mod preview;
mod respond;
#[cfg(test)]
mod tests;
mod trail;

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, Version, header};
use http_body::Body as _;
use jiff::Timestamp;
use permissions::{Brand, KeyId, KeyRecord, ServerSecret};
use tracing::{debug, info};
use versions::docs::pages::ServerUrl;
use versions::management::Management;
use versions::{Body, Calendar, Catalog, Error, ErrorCode, Help, Instant, Reply, ServiceFuture, Services};

use crate::callers::index::KeyIndex;
use crate::callers::{Caller, CallerSlot};
use crate::config::{self, Config};
use crate::http::{Frontend, ReplyBody, TLS_EXPECTED, check_head, client_address, date};
use crate::identity::Identity;
use crate::limits::{Failures, Slot, Slots, overloaded};
use crate::mail::Mailer;
use crate::snapshot::Snapshot;
use crate::store::{StoreError, StoreHandle};
use crate::transport::{Peer, RequestBody, Service};

use authenticate::Unauthenticated;
use decisions::Decisions;
use exchange::{Exchange, rate_fields};
use handle::Call;
use trail::Step;

/// Everything that a request needs; one for the entire process.
pub struct Pipeline {
    frontend: &'static Frontend,
    snapshot: ArcSwap<Snapshot>,
    /// Held while the snapshot is replaced, never by a request.
    replacing: Mutex<()>,
    keys: KeyIndex,
    /// The way to the store, for endpoints; no step of the path asks it.
    store: OnceLock<StoreHandle>,
    /// The identity providers whose sessions are accepted.
    identity: OnceLock<&'static Identity>,
    /// The bounds of access requests, and how long links work.
    requests: config::Requests,
    /// The address of the portal, with which links begin; empty if it is not known.
    portal_url: String,
    /// The way to people's mailboxes, where mail is configured.
    mailer: OnceLock<Mailer>,
    secret: ServerSecret,
    brand: Brand,
    realm: String,
    failures: Failures,
    decisions: Decisions,
    /// Requests in flight.
    slots: Slots,
    /// Requests whose content is being received.
    uploads: Slots,
}

/// What a connection caches between requests: its last caller. Most connections have only one.
#[derive(Default)]
pub struct ConnectionCache {
    caller: Mutex<Option<Arc<Caller>>>,
}

impl Pipeline {
    /// Creates the pipeline; keys are added to [`Self::keys`] afterwards.
    #[must_use]
    pub fn new(
        config: &Config,
        server_urls: Vec<ServerUrl>,
        catalog: Catalog,
        secret: ServerSecret,
        frontend: &'static Frontend,
    ) -> Self {
        let snapshot = Snapshot::new(config, server_urls, Arc::new(catalog), frontend);
        let (files, bytes) = snapshot.pages.size();
        info!(files, bytes, "Wrote the documentation");
        Self {
            frontend,
            snapshot: ArcSwap::from_pointee(snapshot),
            replacing: Mutex::new(()),
            keys: KeyIndex::new(config.limits.key_rate),
            store: OnceLock::new(),
            requests: config.requests.clone(),
            portal_url: config.portal.public_url.clone(),
            mailer: OnceLock::new(),
            secret,
            identity: OnceLock::new(),
            brand: config.api.brand.clone(),
            realm: config.api.realm.clone(),
            failures: Failures::new(config.limits.failure_addresses_max),
            decisions: Decisions::new(config.runtime.worker_count()),
            slots: Slots::default(),
            uploads: Slots::default(),
        }
    }

    /// The keys that requests are checked against.
    pub const fn keys(&self) -> &KeyIndex {
        &self.keys
    }

    /// Lets endpoints read and write the store from now on. The first store stays.
    pub fn open_store(&self, store: StoreHandle) {
        self.store.get_or_init(|| store);
    }

    /// Accepts the sessions of identity providers from now on. The first providers stay.
    pub fn accept_sessions(&self, identity: &'static Identity) {
        self.identity.get_or_init(|| identity);
    }

    /// The way to the store, once it is open.
    pub(crate) fn store(&self) -> Option<&StoreHandle> {
        self.store.get()
    }

    /// The credential of an app, if there is one with this hash.
    pub(crate) fn credential(&self, secret: &str) -> Option<versions::Caller> {
        let key = self.keys.find(&self.secret.hash(secret.as_bytes()))?;
        Some(Caller::new(key, b"", 0).identity().clone())
    }

    /// Lets endpoints and pages send mail from now on.
    pub fn open_mail(&self, mailer: Mailer) {
        self.mailer.get_or_init(|| mailer);
    }

    /// Sends mail, where it is configured.
    pub fn mailer(&self) -> Option<&Mailer> {
        self.mailer.get()
    }

    /// The state that it shares with other sites.
    pub const fn frontend(&self) -> &'static Frontend {
        self.frontend
    }

    /// The current snapshot.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// How many requests are in flight, and how many are receiving content.
    pub fn in_flight(&self) -> [usize; 2] {
        [self.slots.taken(), self.uploads.taken()]
    }

    /// Whether the next request would get no slot.
    pub fn is_full(&self) -> bool {
        self.slots.taken() >= self.snapshot.load().limits.requests_in_flight_max
    }

    /// A slot for receiving content, for the other sites.
    pub(crate) fn take_upload(&'static self) -> Result<Slot, Error> {
        self.uploads.take(self.snapshot.load().limits.uploads_in_flight_max)
    }

    /// Applies a reloaded configuration.
    pub fn reload(&self, config: &Config, server_urls: Vec<ServerUrl>) {
        let _replacing = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let catalog = Arc::clone(&self.snapshot.load().catalog);
        self.snapshot.store(Arc::new(Snapshot::new(config, server_urls, catalog, self.frontend)));
        self.keys.set_default_rate(config.limits.key_rate);
    }

    /// Renders the documentation again, as of today.
    pub(crate) fn rewrite_pages(&self) {
        let _replacing = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.frontend.clock.now();
        self.snapshot.store(Arc::new(self.snapshot.load().with_pages_of(self.frontend, now)));
    }

    /// All steps of a request.
    async fn run(&'static self, exchange: &mut Exchange<'_>, body: RequestBody) -> Result<Reply, Error> {
        let Exchange { head, peer, snapshot, .. } = *exchange;
        let limits = &snapshot.limits;

        // Admission: is there a free slot, and is the head valid?
        exchange.places.slot = Some(self.slots.take(limits.requests_in_flight_max)?);
        let fields = check_head(head, limits, peer)?;
        exchange.trail.passed(Step::Admit, self.monotonic());

        if let Some(reply) = cors::preflight(head, snapshot) {
            exchange.is_read = body.is_end_stream();
            return Ok(reply);
        }

        // Who is calling? Every request of a caller counts against its rate, so that every response can
        // report what is left; an exceeded rate is refused only after authorization.
        exchange.record.client = client_address(&head.headers, peer);
        let caller = match self.authenticate(exchange, fields.authorization) {
            Err(Unauthenticated::KeysAreOld(provider)) => {
                // The only wait before the handler: bounded, one fetch for all who wait, and seldom.
                let fetched = Box::pin(provider.refreshed()).await;
                if let Err(error) = fetched {
                    debug!(%error, provider = provider.name(), "The keys of a provider were not fetched anew");
                }
                self.authenticate(exchange, fields.authorization)
            }
            authenticated => authenticated,
        };
        let caller = caller.map_err(|refused| self.refusal(exchange, refused))?;
        exchange.trail.passed(Step::Authenticate, self.monotonic());
        let is_busy = self.slots.are_over_half_taken(limits.requests_in_flight_max)
            || self.uploads.are_over_half_taken(limits.uploads_in_flight_max);
        exchange.places.of_caller =
            Some(CallerSlot::take(&caller, limits.requests_in_flight_per_caller_max, is_busy)?);
        let spent = caller.rate_limit().spend(exchange.record.received);
        exchange.rate = Some(rate_fields(caller.rate_limit().policy(), spent.unwrap_or_else(|spent| spent)));

        // Which date, which resource, which endpoint?
        let path = head.uri.path();
        let (requested, below) = snapshot.catalog.version(path).ok_or_else(|| {
            let detail = "The path does not begin with a version that exists; see `supportedVersions`.";
            snapshot.dates.unknown(detail, caller.identity().environment, exchange.record.time)
        })?;
        let table = exchange.choose_version(requested, &caller)?;
        let (resource, mut input) = table.resource(below)?;
        exchange.found(snapshot.catalog.any_entry(table, resource));
        let is_options = head.method == Method::OPTIONS;
        let entry =
            if is_options { None } else { Some(snapshot.catalog.entry(table, resource, &head.method)?) };
        exchange.found(entry);

        exchange.trail.passed(Step::Dispatch, self.monotonic());

        // May they, and not too often?
        if let Some(entry) = entry {
            caller.authorize(entry.route.permission, table.version)?;
        }
        spent.map_err(|spent| {
            Error::new(ErrorCode::RateLimited, "This key has reached its rate. Wait as `Retry-After` says.")
                .with_help(Help { retry_after_seconds: Some(spent.reset_seconds), ..Help::default() })
        })?;
        let Some(entry) = entry else {
            exchange.is_read = body.is_end_stream();
            let allow = resource.allow.clone();
            let reply = Reply::new(Body::Empty).with_status(StatusCode::NO_CONTENT);
            return Ok(reply.with_header(header::ALLOW, allow));
        };
        exchange.trail.passed(Step::Authorize, self.monotonic());
        // A response without a body has no media type to refuse.
        if entry.route.media_type.is_some() {
            negotiate::accept(fields.accept, &head.headers)?;
        }
        negotiate::early_data(fields.early_data, entry.route.early_data_safe)?;

        input.query = head.uri.query().unwrap_or_default();
        let call = Call { table, entry, caller: &caller, has_preview: fields.has_preview };
        pin!(self.handle(exchange, &call, input, body)).await
    }
}

impl Service for Pipeline {
    type ConnectionState = ConnectionCache;
    type Body = ReplyBody;

    #[expect(
        clippy::manual_async_fn,
        reason = "an `async fn` moves its arguments, of which the head is large"
    )]
    fn serve(
        &'static self,
        head: Parts,
        body: RequestBody,
        peer: Arc<Peer>,
        cache: Arc<ConnectionCache>,
    ) -> impl Future<Output = Response<ReplyBody>> + Send + 'static {
        async move {
            let snapshot = self.snapshot.load();
            let mut exchange = Exchange::open(self.frontend, &head, &peer, &cache, &snapshot);
            // State stays valid after a panic: the connection's cache is replaced atomically, and the exchange is
            // only read from here on.
            let outcome = {
                let run = pin!(self.run(&mut exchange, body));
                AssertUnwindSafe(run).catch_unwind().await
            };
            let outcome = outcome.unwrap_or_else(|_| {
                metrics::counter!("gateway_panics_total").increment(1);
                Err(Error::internal("a step of the request path panicked"))
            });
            self.respond(exchange, outcome)
        }
    }

    fn refuse(&'static self, status: StatusCode, version: Version, peer: &Arc<Peer>) -> Response<Bytes> {
        let (code, detail) = match status {
            StatusCode::REQUEST_TIMEOUT => {
                (ErrorCode::RequestTimeout, "The head of the request did not arrive in time.")
            }
            StatusCode::URI_TOO_LONG => (ErrorCode::UriTooLong, "The target is too long."),
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
                (ErrorCode::HeadersTooLarge, "The request's fields are too large or too many.")
            }
            _ if peer.lacks_tls() => (ErrorCode::MalformedRequest, TLS_EXPECTED),
            _ => (ErrorCode::MalformedRequest, "The head of the request is not well-formed HTTP."),
        };
        let (mut head, ()) = Request::new(()).into_parts();
        head.version = version;
        let (snapshot, cache) = (self.snapshot.load(), ConnectionCache::default());
        let exchange = Exchange::open(self.frontend, &head, peer, &cache, &snapshot);
        let time = exchange.record.time;
        let (mut parts, mut body) = self.respond(exchange, Err(Error::new(code, detail))).into_parts();
        parts.headers.insert(header::DATE, date(time));
        Response::from_parts(parts, body.take_bytes())
    }
}

impl Services for Pipeline {
    fn now(&self) -> Timestamp {
        self.frontend.clock.now()
    }

    fn calendar(&self) -> Arc<Calendar> {
        Arc::clone(&self.snapshot.load().dates.calendar)
    }

    fn monotonic(&self) -> Instant {
        self.frontend.clock.monotonic()
    }

    fn key(&self, id: KeyId) -> ServiceFuture<'_, Option<KeyRecord>> {
        Box::pin(async move {
            let store = self.store.get().ok_or_else(|| Error::internal("the store is not open yet"))?;
            store.run(move |store| store.key(id)).await.map_err(store_error)
        })
    }

    fn management(&self) -> Option<&dyn Management> {
        Some(self)
    }
}

/// What the store says, as an error of the API.
fn store_error(error: StoreError) -> Error {
    match error {
        StoreError::QueueFull { .. } | StoreError::TimedOut { .. } => {
            overloaded("Too much waits for the store. Try again as `Retry-After` says.")
        }
        error => Error::internal(error),
    }
}
