//! The pages of the documentation, as rendered at one time.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher as _};
use std::io::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::HeaderValue;
use jiff::Timestamp;
use versions::docs::pages::{self, Content, Document, ServerUrl, Site};
use versions::{Calendar, Catalog};

use super::security;
use crate::config::Config;
use crate::http::{Durations, RouteDurations};

/// The configuration of the documentation site.
pub struct SiteConfig {
    config: Config,
    pub(crate) server_urls: Vec<ServerUrl>,
}

impl SiteConfig {
    /// Takes a configuration whose addresses are resolved, and the API's URLs.
    #[must_use]
    pub fn new(config: &Config, server_urls: Vec<ServerUrl>) -> Self {
        Self { config: config.clone(), server_urls }
    }

    /// The name of the variable that holds a key, in samples.
    pub(crate) fn key_variable(&self) -> &str {
        &self.config.docs.key_variable
    }
}

/// All files of the documentation.
pub(crate) struct Pages {
    site: Arc<SiteConfig>,
    /// When the first of them becomes out of date.
    pub(crate) until: Timestamp,
    files: HashMap<Box<str>, File>,
    /// The page for an unknown path.
    pub(crate) missing: Bytes,
}

/// One file.
pub(crate) struct File {
    pub(crate) route: &'static RouteDurations,
    pub(crate) media_type: HeaderValue,
    /// Whether it is for programs, which may run in a browser of another origin.
    pub(crate) is_for_programs: bool,
    /// Its entity tag (RFC 9110 §8.8.3).
    pub(crate) tag: HeaderValue,
    /// The content in pieces, many of which are shared by pages.
    pub(crate) content: Content,
    /// The same in gzip, if that is smaller: compressed once, so that no request costs what compressing does.
    pub(crate) gzip: Option<Compressed>,
}

/// A file's content in a coding.
pub(crate) struct Compressed {
    /// Another one than that of the content as it is: the bytes differ.
    pub(crate) tag: HeaderValue,
    pub(crate) content: Bytes,
}

impl File {
    fn new(document: Document, durations: &Durations) -> Self {
        let mut hasher = DefaultHasher::new();
        document.content.pieces().iter().for_each(|piece| hasher.write(piece));
        let hash = hasher.finish();
        let tag = |suffix: &str| {
            HeaderValue::try_from(format!("\"{hash:016x}{suffix}\"")).expect("visible ASCII is written")
        };
        let gzip = gzip(&document.content).map(|content| Compressed { tag: tag("-gzip"), content });
        Self {
            route: durations.route(document.route),
            media_type: HeaderValue::from_static(document.media_type),
            is_for_programs: matches!(
                document.route,
                "/openapi/{date}.json" | "/llms.txt" | "/llms-full.txt"
            ),
            tag: tag(""),
            content: document.content,
            gzip,
        }
    }

    /// How many bytes it holds, with those that it shares.
    fn size(&self) -> usize {
        self.content.len() + self.gzip.as_ref().map_or(0, |gzip| gzip.content.len())
    }
}

/// Content in gzip (RFC 1952); `None` where that is not smaller.
fn gzip(content: &Content) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let written = content.pieces().iter().try_for_each(|piece| encoder.write_all(piece));
    let compressed = written.and_then(|()| encoder.finish()).expect("memory takes every write");
    // Boxed first, to drop spare capacity.
    (compressed.len() < content.len()).then(|| compressed.into_boxed_slice().into())
}

impl Pages {
    /// Renders all files.
    pub(super) fn new(
        site: Arc<SiteConfig>,
        catalog: &Catalog,
        calendar: &Calendar,
        durations: &Durations,
        now: Timestamp,
    ) -> Self {
        let api = &site.config.api;
        let brand = String::from(api.brand.clone());
        let about = Site {
            catalog,
            calendar,
            now,
            docs_url: &api.docs_url,
            api_url: &api.public_url,
            server_urls: &site.server_urls,
            brand: &brand,
            invalid_token_message: &api.invalid_token_message,
            key_variable: &site.config.docs.key_variable,
            key_rate: site.config.limits.key_rate,
        };
        let security = security::document(&site.config.docs, api, now);
        let changes = calendar.next_change(now).unwrap_or(Timestamp::MAX);
        let until = if security.is_some() { changes.min(security::next_midnight(now)) } else { changes };
        let files = pages::documents(&about).into_iter().chain(security).map(|mut document| {
            let address = std::mem::take(&mut document.address);
            (address.into_boxed_str(), File::new(document, durations))
        });
        Self { files: files.collect(), missing: pages::missing(&about).to_bytes(), until, site }
    }

    /// The configuration that they are rendered from.
    pub(crate) const fn site(&self) -> &Arc<SiteConfig> {
        &self.site
    }

    /// The file at a path.
    pub(crate) fn file(&self, path: &str) -> Option<&File> {
        self.files.get(path)
    }

    /// How many files there are, and how many bytes.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.files.len(), self.files.values().map(File::size).sum())
    }
}
