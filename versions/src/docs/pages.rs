//! The documentation for people: every page of the API as HTML and as Markdown, and further files.
//!
//! A page is built once ([`page::Page`]) and rendered in two formats, so that they cannot differ. Everything
//! is a function of the catalog, the calendar, the day and some settings: [`Site`].

mod changelog;
mod content;
mod errors;
mod guide;
mod html;
mod llms;
mod markdown;
mod page;
mod reference;
mod response_fields;
mod samples;
mod shared;
mod text;
mod versions;

use jiff::Timestamp;
use permissions::{ApiAccessPermission, Environments, Rate};
use serde_json::Value;

use crate::{Calendar, Catalog, Entry, Release, Version, VersionState};
pub use content::Content;
use html::{Group, Navigation};
use page::Page;
pub use samples::cacert;

/// The API's name.
pub const NAME: &str = "Partner API";

/// Everything that the pages depend on.
pub struct Site<'a> {
    /// Every endpoint of every date.
    pub catalog: &'a Catalog,
    /// The days of the dates.
    pub calendar: &'a Calendar,
    /// The day.
    pub now: Timestamp,
    /// The URL that links to these pages start with; may be empty.
    pub docs_url: &'a str,
    /// The URL of the API in samples: `https://api.example.com`.
    pub api_url: &'a str,
    /// Every URL of the API.
    pub server_urls: &'a [ServerUrl],
    /// The prefix of keys.
    pub brand: &'a str,
    /// The message of every 401.
    pub invalid_token_message: &'a str,
    /// The environment variable that samples read the key from.
    pub key_variable: &'a str,
    /// The default rate of keys.
    pub key_rate: Rate,
}

impl Site<'_> {
    /// The file of the authority that the samples' calls need.
    fn authority(&self) -> Option<&str> {
        self.server_urls.iter().find(|server| server.url == self.api_url)?.authority.as_deref()
    }
}

/// A URL of the API, and the environments whose keys it accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl {
    /// `https://api.example.com`.
    pub url: String,
    /// The environments whose keys it accepts.
    pub environments: Environments,
    /// The file of the authority that signed its certificate, where clients do not trust that one anyway.
    pub authority: Option<String>,
}

/// A served file.
pub struct Document {
    /// Its path.
    pub address: String,
    /// Its route, for metrics: the path with variable parts in braces.
    pub route: &'static str,
    /// Its media type.
    pub media_type: &'static str,
    /// Its content.
    pub content: Content,
}

/// The media type of pages.
pub const HTML: &str = "text/html; charset=utf-8";
/// The style sheet, for other sites that look the same.
pub const STYLE: &str = include_str!("pages/style.css");
/// The icon.
pub const FAVICON: &str = include_str!("pages/favicon.svg");
const MARKDOWN: &str = "text/markdown; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

/// Renders every file.
///
/// # Panics
/// Only if rendering a file panics.
#[must_use]
pub fn documents(site: &Site<'_>) -> Vec<Document> {
    // In parallel, because with many dates both take about the same time.
    std::thread::scope(|scope| {
        let openapi = scope.spawn(|| openapi_documents(site));
        let mut documents = prose(site);
        match openapi.join() {
            Ok(openapi) => documents.extend(openapi),
            Err(panic) => std::panic::resume_unwind(panic),
        }
        documents
    })
}

fn openapi_documents(site: &Site<'_>) -> Vec<Document> {
    let document = |release: &Release| Document {
        address: format!("/openapi/{}.json", release.version),
        route: "/openapi/{date}.json",
        media_type: "application/json",
        content: crate::docs::openapi::text(&openapi(site, release)).into(),
    };
    site.catalog.releases().iter().map(document).collect()
}

fn prose(site: &Site<'_>) -> Vec<Document> {
    let pages = pages(site);
    let mut documents = Vec::with_capacity(2 * pages.len() + 8);
    let mut add = |address: &str, route, media_type, content| {
        documents.push(Document { address: address.to_owned(), route, media_type, content });
    };
    let mut navigation = (None, navigation(site, site.newest_index()).written());
    for page in &pages {
        if page.version.is_some() && page.version != navigation.0 {
            navigation = (page.version, self::navigation(site, page.version).written());
        }
        let (route, twin_route) = twins(page.route);
        add(&page.address, route, HTML, html::page(page, &navigation.1, NAME));
        add(&text::twin(&page.address), twin_route, MARKDOWN, markdown::page(page));
    }
    add("/llms.txt", "/llms.txt", PLAIN, llms::index(site, &pages).into());
    add("/llms-full.txt", "/llms-full.txt", PLAIN, llms::full(site, &pages).into());
    add("/robots.txt", "/robots.txt", PLAIN, "User-agent: *\nAllow: /\n".to_owned().into());
    add("/style.css", "/style.css", "text/css; charset=utf-8", STYLE.to_owned().into());
    add("/favicon.svg", "/favicon.svg", "image/svg+xml", FAVICON.to_owned().into());
    documents
}

/// The OpenAPI document of a date, with the API's URLs.
fn openapi(site: &Site<'_>, release: &Release) -> Value {
    // A test describes every endpoint of every date, so this cannot fail.
    let mut document = crate::docs::openapi(site.catalog, release).unwrap_or_default();
    document["servers"] = serde_json::json!([{ "url": site.api_url }]);
    document
}

/// The page for unknown paths, as HTML.
#[must_use]
pub fn missing(site: &Site<'_>) -> Content {
    html::missing(&navigation(site, site.newest_index()).written(), NAME)
}

/// Every page, those of a date in sequence.
fn pages(site: &Site<'_>) -> Vec<Page> {
    // A test builds the changelog, so this cannot fail.
    let notes = crate::docs::changelog(site.catalog).unwrap_or_default();
    let mut pages = vec![guide::overview(site), versions::page(site), changelog::page(site, &notes)];
    pages.extend(errors::pages(site));
    let mut shared_blocks = reference::SharedBlocks::default();
    for (index, notes) in notes.iter().enumerate() {
        pages.push(reference::version(site, index, notes));
        for entry in site.catalog.entries_of(notes.version) {
            pages.push(reference::endpoint(site, index, entry, &mut shared_blocks));
        }
    }
    pages
}

/// The routes of a page and of its Markdown version, for metrics.
fn twins(route: &'static str) -> (&'static str, &'static str) {
    let twin = match route {
        "/" => "/index.md",
        "/versions" => "/versions.md",
        "/changelog" => "/changelog.md",
        "/errors" => "/errors.md",
        "/errors/{code}" => "/errors/{code}.md",
        "/{date}" => "/{date}.md",
        _ => "/{date}/{endpoint}.md",
    };
    (route, twin)
}

/// The navigation beside the pages of a date: the guide, and the date's endpoints.
fn navigation(site: &Site<'_>, version: Option<usize>) -> Navigation {
    let link = |address: &str, words: &str| (address.to_owned(), words.to_owned());
    let mut groups = vec![Group {
        heading: "Guide".to_owned(),
        state: "",
        links: vec![
            link("/", "Overview"),
            link("/versions", "Versions"),
            link("/changelog", "Changelog"),
            link("/errors", "Errors"),
        ],
    }];
    if let Some(index) = version {
        let version = site.catalog.releases()[index].version;
        let mut links = vec![(format!("/{version}"), "Overview".to_owned())];
        links.extend(
            site.catalog
                .entries_of(version)
                .map(|entry| (reference::address(entry), entry.route.name.to_owned())),
        );
        groups.push(Group {
            heading: version.to_string(),
            state: site.calendar.state(index, site.now).name(),
            links,
        });
    }
    let mut links = vec![link("/llms.txt", "llms.txt"), link("/llms-full.txt", "llms-full.txt")];
    if let Some(index) = version {
        let version = site.catalog.releases()[index].version;
        links.insert(0, (format!("/openapi/{version}.json"), "OpenAPI document".to_owned()));
    }
    groups.push(Group { heading: "Machine-readable".to_owned(), state: "", links });
    Navigation { groups }
}

impl Site<'_> {
    /// The index of the newest date that is current, or else of the newest.
    fn newest_index(&self) -> Option<usize> {
        let schedules = self.calendar.schedules();
        let current =
            schedules.iter().rposition(|schedule| schedule.state(self.now) == VersionState::Current);
        current.or(schedules.len().checked_sub(1))
    }

    /// The first endpoint of the newest date: ping, if there is one.
    fn first_entry(&self) -> Option<&Entry> {
        let version = self.catalog.releases()[self.newest_index()?].version;
        let mut entries = self.catalog.entries_of(version);
        let ping = self.catalog.entries_of(version).find(|entry| entry.route.name == "ping");
        ping.or_else(|| entries.next())
    }

    /// The newest date and one of its permissions, for examples.
    fn newest(&self) -> (Version, ApiAccessPermission) {
        let entry = self.newest_index().and_then(|index| {
            self.catalog
                .entries_of(self.catalog.releases()[index].version)
                .min_by_key(|entry| entry.route.permission == ApiAccessPermission::PING_READ)
        });
        entry.map_or((Version::new(2026, 1, 1), ApiAccessPermission::PING_READ), |entry| {
            (entry.version, entry.route.permission)
        })
    }

    /// The date to move to from a date.
    fn successor_of(&self, version: Version) -> Option<Version> {
        let index = self.calendar.schedules().iter().position(|schedule| schedule.version == version)?;
        let successor = self.calendar.successor(index, self.now)?;
        Some(self.calendar.schedules()[successor].version)
    }

    /// All dates, newest first, in a sentence.
    fn listed(&self, show: impl Fn(Version) -> String) -> String {
        let versions = self.calendar.schedules().iter().rev().map(|schedule| show(schedule.version));
        versions.collect::<Vec<_>>().join(", ")
    }
}

/// JSON for people.
fn pretty(value: &Value) -> String {
    format!("{value:#}")
}
