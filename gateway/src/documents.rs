//! The documentation, served from memory: every page is written when the process starts, and anew when
//! a reload or a day that has come changes what it says.
//!
//! It takes no key. What the pages say is decided in `versions::docs::pages`; here are only the fields
//! around them.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::future::Either;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version, header};
use jiff::Timestamp;
use tokio::sync::Mutex;
use tracing::{error, info};
use versions::docs::pages::{self, Content, Document, Door, HTML, Site};
use versions::{Error, ErrorCode, Services as _};

use crate::clock::Clock;
use crate::config::Config;
use crate::limits::check_head;
use crate::pipeline::{Pipeline, client_address, date, protocol};
use crate::telemetry::Access;
use crate::transport::{Body, Peer, Served, Service};

/// Pages change with a reload or a day, so a copy may be shown for a while before it is asked about again.
const CACHE_CONTROL: HeaderValue = HeaderValue::from_static("public, max-age=300, must-revalidate");
/// Nothing but our own style and picture: no script, no frame, no form.
const CONTENT_SECURITY_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);
const ALLOW: HeaderValue = HeaderValue::from_static("GET, HEAD");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const NO_REFERRER: HeaderValue = HeaderValue::from_static("no-referrer");
/// The label of whatever is no page, in the log and in metrics.
const NO_PAGE: &str = "/{page}";

/// Serves the pages. One for the process, for as long as it lives.
pub struct Documents {
    pipeline: &'static Pipeline,
    clock: Box<dyn Clock>,
    words: ArcSwap<Words>,
    set: ArcSwap<Set>,
    /// One writes the pages anew; whoever comes meanwhile waits for that.
    writing: Mutex<()>,
}

/// What the pages, and the answers, take from the configuration.
pub struct Words {
    config: Config,
    doors: Vec<Door>,
}

impl Words {
    /// Takes a configuration whose addresses are filled in, and where the API is.
    #[must_use]
    pub fn new(config: &Config, doors: Vec<Door>) -> Self {
        Self { config: config.clone(), doors }
    }
}

/// All pages as they are at a time.
struct Set {
    words: Arc<Words>,
    /// When the first of them is no longer true.
    until: Timestamp,
    files: HashMap<Box<str>, File>,
    missing: Bytes,
}

/// One file, ready to be sent but for being put together: what pages share is in memory once.
struct File {
    route: &'static str,
    kind: HeaderValue,
    tag: HeaderValue,
    content: Content,
}

impl From<Document> for File {
    fn from(document: Document) -> Self {
        let mut hasher = DefaultHasher::new();
        document.content.pieces().iter().for_each(|piece| hasher.write(piece));
        let tag = format!("\"{:016x}\"", hasher.finish());
        Self {
            route: document.route,
            kind: HeaderValue::from_static(document.media_type),
            tag: HeaderValue::try_from(tag).expect("digits and quotes"),
            content: document.content,
        }
    }
}

impl Set {
    fn write(pipeline: &Pipeline, words: Arc<Words>, now: Timestamp) -> Self {
        let calendar = pipeline.calendar();
        let api = &words.config.api;
        let brand = String::from(api.brand.clone());
        let site = Site {
            catalog: pipeline.catalog(),
            calendar: &calendar,
            now,
            docs_url: &api.docs_url,
            api_url: &api.public_url,
            doors: &words.doors,
            brand: &brand,
            invalid_token_message: &api.invalid_token_message,
            key_rate: words.config.limits.key_rate,
        };
        let files = pages::documents(&site).into_iter();
        let files = files.map(|mut document| {
            let address = std::mem::take(&mut document.address);
            (address.into_boxed_str(), File::from(document))
        });
        Self {
            files: files.collect(),
            missing: pages::missing(&site).whole(),
            until: calendar.next_change(now).unwrap_or(Timestamp::MAX),
            words,
        }
    }
}

impl Documents {
    /// Writes all pages.
    #[must_use]
    pub fn new(pipeline: &'static Pipeline, words: Words, clock: Box<dyn Clock>) -> Self {
        let words = Arc::new(words);
        let set = Set::write(pipeline, Arc::clone(&words), clock.now());
        let bytes: usize = set.files.values().map(|file| file.content.len()).sum();
        info!(files = set.files.len(), bytes, "Wrote the documentation");
        Self {
            pipeline,
            clock,
            words: ArcSwap::new(words),
            set: ArcSwap::from_pointee(set),
            writing: Mutex::new(()),
        }
    }

    /// From the next request on, pages are as this configuration says.
    pub fn reload(&self, words: Words) {
        self.words.store(Arc::new(words));
    }

    /// The pages as they are now; the first who finds them out of date has them written anew, beside the
    /// requests of everybody else.
    async fn current(&'static self) -> Arc<Set> {
        let found = |now: Timestamp| {
            let set = self.set.load_full();
            let is_current = now < set.until && Arc::ptr_eq(&set.words, &self.words.load());
            (set, is_current)
        };
        let (set, is_current) = found(self.clock.now());
        if is_current {
            return set;
        }
        let _turn = self.writing.lock().await;
        let (set, is_current) = found(self.clock.now());
        if is_current {
            return set;
        }
        let write = move || Set::write(self.pipeline, self.words.load_full(), self.clock.now());
        match tokio::task::spawn_blocking(write).await {
            Ok(new) => {
                self.set.store(Arc::new(new));
                self.set.load_full()
            }
            Err(failure) => {
                error!(error = %failure, "The documentation could not be written anew; the old one is served");
                set
            }
        }
    }

    /// The answer and its label.
    fn answer(&self, head: &Parts, peer: &Peer, set: &Set) -> (Response<Body>, &'static str) {
        let config = &set.words.config;
        let checked = if peer.is_ambiguous() {
            Err(Error::new(ErrorCode::MalformedRequest, "The head can be read in two ways."))
        } else {
            check_head(head, &config.limits, &peer.listener.hosts, &mut None).map(|_| ())
        };
        let html = HeaderValue::from_static(HTML);
        let mut route = NO_PAGE;
        let mut response = match checked {
            Err(error) => {
                let mut response = page(error.code.status(), html, Bytes::from(plain(&error.detail)));
                response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
                response
            }
            Ok(()) if head.method != Method::GET && head.method != Method::HEAD => {
                let text = plain("The documentation answers GET and HEAD.");
                let mut response = page(StatusCode::METHOD_NOT_ALLOWED, html, text.into());
                response.headers_mut().insert(header::ALLOW, ALLOW);
                response
            }
            Ok(()) => match set.files.get(head.uri.path()) {
                None => page(StatusCode::NOT_FOUND, html, set.missing.clone()),
                Some(file) => {
                    route = file.route;
                    let mut response = if is_known(&head.headers, &file.tag) {
                        let mut response = Response::new(Body::Empty);
                        *response.status_mut() = StatusCode::NOT_MODIFIED;
                        response
                    } else {
                        page(StatusCode::OK, file.kind.clone(), file.content.whole())
                    };
                    response.headers_mut().insert(header::ETAG, file.tag.clone());
                    response
                }
            },
        };
        let malformed = response.status() == StatusCode::BAD_REQUEST;
        let fields = response.headers_mut();
        fields.insert(header::DATE, date(self.clock.now()));
        fields.entry(header::CACHE_CONTROL).or_insert(CACHE_CONTROL);
        fields.insert(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY);
        fields.insert(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
        fields.insert(header::REFERRER_POLICY, NO_REFERRER);
        self.pipeline.announce(fields, peer, protocol(head.version), malformed);
        if head.method == Method::HEAD {
            // Over HTTP/2 and HTTP/3 nothing else leaves it out.
            *response.body_mut() = Body::Empty;
        }
        (response, route)
    }

    fn report(&self, head: &Parts, peer: &Peer, status: StatusCode, route: &'static str, took: Duration) {
        let method = match head.method {
            Method::GET => "GET",
            Method::HEAD => "HEAD",
            _ => "_OTHER",
        };
        let protocol = protocol(head.version);
        metrics::histogram!(
            "http_server_request_duration_seconds",
            "http_request_method" => method,
            "http_route" => route,
            "http_response_status_code" => status.as_str().to_owned(),
            "network_protocol_version" => protocol.number(),
        )
        .record(took);
        if self.words.load().config.log.access {
            let access = Access {
                time: self.clock.now(),
                request_id: None,
                key_id: None,
                method,
                route,
                status: status.as_u16(),
                error: None,
                refused: None,
                protocol: protocol.name(),
                client: client_address(&head.headers, peer),
                listener: peer.listener.name,
                duration: took,
            };
            access.log();
        }
    }
}

impl Service for Documents {
    type Notes = ();

    fn serve(&'static self, head: Parts, _: Body, peer: &Arc<Peer>, (): &mut ()) -> Served {
        let peer = Arc::clone(peer);
        let received = self.clock.monotonic();
        Either::Right(Box::pin(async move {
            let set = self.current().await;
            let (response, route) = self.answer(&head, &peer, &set);
            let took = self.clock.monotonic().saturating_duration_since(received);
            self.report(&head, &peer, response.status(), route, took);
            response
        }))
    }

    fn refuse(&'static self, status: StatusCode, _: Version, _: &Arc<Peer>) -> Response<Bytes> {
        let html = HeaderValue::from_static(HTML);
        page(status, html, plain("The request is malformed, too large or too slow.").into())
            .map(Body::into_bytes)
    }
}

/// An answer with content and its length, which stays when the content is taken away.
fn page(status: StatusCode, kind: HeaderValue, content: Bytes) -> Response<Body> {
    let length = content.len();
    let mut response = Response::new(Body::from(content));
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, kind);
    fields.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    response
}

/// A page of one sentence of ours.
fn plain(sentence: &str) -> String {
    let sentence = sentence.replace('&', "&amp;").replace('<', "&lt;");
    format!("<!doctype html>\n<html lang=\"en\"><title>Not answered</title><p>{sentence}</p></html>\n")
}

/// Whether the caller has this very content already (RFC 9110 §13.1.2).
fn is_known(fields: &HeaderMap, tag: &HeaderValue) -> bool {
    let wanted = tag.to_str().unwrap_or_default();
    fields.get_all(HeaderName::from_static("if-none-match")).iter().any(|value| {
        let tags = value.to_str().unwrap_or_default().split(',').map(str::trim);
        tags.map(|tag| tag.strip_prefix("W/").unwrap_or(tag)).any(|tag| tag == wanted || tag == "*")
    })
}

#[cfg(test)]
mod tests {
    use permissions::ServerSecret;
    use versions::{Catalog, RELEASES};

    use super::*;
    use crate::clock::ManualClock;
    use crate::config::Sources;

    struct Shared(Arc<ManualClock>);

    impl Clock for Shared {
        fn now(&self) -> Timestamp {
            self.0.now()
        }

        fn monotonic(&self) -> versions::Instant {
            self.0.monotonic()
        }
    }

    #[tokio::test]
    async fn the_first_reader_behind_the_day_sees_what_it_changes() {
        let day = ("versions.2026-02-01.deprecated".to_owned(), "\"2027-01-01\"".to_owned());
        let config = Config::load(&Sources { flags: vec![day], ..Sources::default() }).unwrap();
        let clock = Arc::new(ManualClock::new("2026-12-31T23:59:59Z".parse().unwrap()));
        let catalog = Catalog::new(RELEASES).unwrap();
        let own = || Box::new(Shared(Arc::clone(&clock)));
        let pipeline = Pipeline::new(&config, catalog, ServerSecret::new([3; 32]), own());
        let pipeline: &'static Pipeline = Box::leak(Box::new(pipeline));
        let documents = Documents::new(pipeline, Words::new(&config, Vec::new()), own());
        let documents: &'static Documents = Box::leak(Box::new(documents));
        let peer = Peer::numbered(1);
        let read = async || {
            let request =
                http::Request::get("/2026-02-01").header(header::HOST, "localhost").body(Body::Empty);
            let (head, body) = request.unwrap().into_parts();
            let page = documents.serve(head, body, &peer, &mut ()).await.into_body().into_bytes();
            String::from_utf8(page.to_vec()).unwrap()
        };
        assert!(!read().await.contains("<strong>Deprecated.</strong>"));
        clock.advance(Duration::from_secs(1));
        assert!(read().await.contains("<strong>Deprecated.</strong>"));
    }

    #[test]
    fn a_tag_is_found_among_others() {
        let tag = HeaderValue::from_static("\"a\"");
        let known = |values: &[&'static str]| {
            let mut fields = HeaderMap::new();
            for value in values {
                fields.append(header::IF_NONE_MATCH, HeaderValue::from_static(value));
            }
            is_known(&fields, &tag)
        };
        for values in [&["\"a\""][..], &["\"b\", \"a\""], &["W/\"a\""], &["*"], &["\"b\"", "\"a\""]] {
            assert!(known(values), "{values:?}");
        }
        for values in [&[][..], &["\"b\""], &["a"], &["\"aa\""], &[""]] {
            assert!(!known(values), "{values:?}");
        }
    }
}
