//! The snapshot by which a request is served: the catalog, the schedule of its dates, the limits and texts of
//! the configuration, and what is prepared from them. A reload replaces all of it at once, so that no request
//! sees half of a change.

mod dates;
mod pages;
mod security;
mod templates;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method};
use jiff::Timestamp;
use permissions::{ApiAccessPermission, Environment};
use versions::docs::pages::{ServerUrl, cacert};
use versions::{Catalog, Entry};

use crate::config::{Api, Config, Limits, Timeouts};
use crate::http::{Frontend, RouteDurations};

pub(crate) use dates::Dates;
pub(crate) use pages::Pages;
pub use pages::SiteConfig;
pub(crate) use templates::{HeaderTemplates, JSON, ResponseValues};

/// Everything that a reload may replace.
pub struct Snapshot {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) templates: Arc<HeaderTemplates>,
    pub(crate) dates: Arc<Dates>,
    pub(crate) limits: Limits,
    pub(crate) timeouts: Timeouts,
    pub(crate) docs_url: String,
    /// Origins whose pages may call the API from a browser.
    pub(crate) cors_origins: Arc<[HeaderValue]>,
    /// The body of every 401.
    pub(crate) invalid_token: Bytes,
    /// The documentation.
    pub(crate) pages: Arc<Pages>,
    /// The durations of each endpoint, by the entry's index.
    routes: Arc<[&'static RouteDurations]>,
}

impl Snapshot {
    /// Prepares a snapshot of this catalog and a configuration whose addresses are resolved; `server_urls`
    /// are the API's.
    #[must_use]
    pub fn new(
        config: &Config,
        server_urls: Vec<ServerUrl>,
        catalog: Arc<Catalog>,
        frontend: &Frontend,
    ) -> Self {
        let durations = &frontend.durations;
        let Api { docs_url, invalid_token_message, cors_origins, .. } = &config.api;
        let dates = Arc::new(Dates::new(config, &catalog));
        let site = Arc::new(SiteConfig::new(config, server_urls));
        let pages = Pages::new(site, &catalog, &dates.calendar, durations, frontend.clock.now());
        Self {
            templates: Arc::new(HeaderTemplates::new(&catalog)),
            dates,
            limits: config.limits.clone(),
            timeouts: config.timeouts.clone(),
            docs_url: docs_url.clone(),
            cors_origins: cors_origins.iter().filter_map(|origin| origin.try_into().ok()).collect(),
            invalid_token: serde_json::json!({ "error": invalid_token_message }).to_string().into(),
            pages: Arc::new(pages),
            routes: catalog.entries().iter().map(|entry| durations.route(&entry.template)).collect(),
            catalog,
        }
    }

    /// A copy with the documentation as of `now`.
    pub(crate) fn with_pages_of(&self, frontend: &Frontend, now: Timestamp) -> Self {
        let site = Arc::clone(self.pages.site());
        let pages = Pages::new(site, &self.catalog, &self.dates.calendar, &frontend.durations, now);
        Self {
            catalog: Arc::clone(&self.catalog),
            templates: Arc::clone(&self.templates),
            dates: Arc::clone(&self.dates),
            limits: self.limits.clone(),
            timeouts: self.timeouts.clone(),
            docs_url: self.docs_url.clone(),
            cors_origins: Arc::clone(&self.cors_origins),
            invalid_token: self.invalid_token.clone(),
            pages: Arc::new(pages),
            routes: Arc::clone(&self.routes),
        }
    }

    /// How a new key is tried, with curl: a read that it may make at the newest date that is open to it, where the API
    /// takes its environment; `None` where it may read nothing.
    pub(crate) fn first_call(
        &self,
        environment: Environment,
        permissions: ApiAccessPermission,
        now: Timestamp,
    ) -> Option<String> {
        let version = self.dates.supported(environment, now).pop()?;
        let is_plain_read = |entry: &&Entry| {
            let route = &entry.route;
            route.method == Method::GET && route.safe && !route.path.contains('{')
        };
        let entries = self.catalog.entries_of(version).filter(is_plain_read);
        // The permissions begin with those of the simplest endpoints.
        let entry = entries
            .filter(|entry| permissions.contains(entry.route.permission))
            .min_by_key(|entry| entry.route.permission.bits())?;
        let server = self.server(environment)?;
        let (cacert, url) = (cacert(server.authority.as_deref()), &server.url);
        Some(format!("curl -sS {cacert}-H @- {url}{}", entry.template))
    }

    /// Where the API takes this environment.
    pub(crate) fn server(&self, environment: Environment) -> Option<&ServerUrl> {
        let accepts = |server: &&ServerUrl| server.environments.contains(environment.into());
        self.pages.site().server_urls.iter().find(accepts)
    }

    /// The durations of requests to an endpoint.
    pub(crate) fn durations(&self, entry: &Entry) -> &'static RouteDurations {
        self.routes[entry.index]
    }
}
