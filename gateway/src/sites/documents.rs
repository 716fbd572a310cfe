//! The documentation site, served from memory: the pages are rendered with the snapshot, and again on a day
//! that changes them.
//!
//! It requires no key. The content comes from `versions::docs::pages`; here are only the response fields.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::sync::Mutex;
use tracing::error;
use versions::docs::pages::{Content, HTML};
use versions::{Body, BoxError};

use super::page::{Page, PageSite};
use crate::http::preflight_fields;
use crate::pipeline::Pipeline;
use crate::snapshot::Snapshot;

/// Pages change with a reload or a day, so a cached copy may be used for a while before it is revalidated.
const CACHE_CONTROL: HeaderValue = HeaderValue::from_static("public, max-age=300, must-revalidate");
/// Only styles and images of this site: no scripts, frames or forms.
const CONTENT_SECURITY_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);
/// Documents for programs can be read by the pages of every origin.
const EVERY_ORIGIN: HeaderValue = HeaderValue::from_static("*");
const NO_REFERRER: HeaderValue = HeaderValue::from_static("no-referrer");
const GZIP: HeaderValue = HeaderValue::from_static("gzip");
const ACCEPT_ENCODING: HeaderValue = HeaderValue::from_static("accept-encoding");

/// Serves the documentation; one for the entire process.
pub struct Documents {
    pipeline: &'static Pipeline,
    /// One request renders the pages again; others wait for it.
    writing: Mutex<()>,
}

impl Documents {
    /// Serves the pages of this API.
    #[must_use]
    pub fn new(pipeline: &'static Pipeline) -> Self {
        Self { pipeline, writing: Mutex::new(()) }
    }

    /// The snapshot, with pages that are up to date. The first request that finds them out of date has them
    /// rendered again, on another thread.
    async fn current(&'static self) -> Arc<Snapshot> {
        let snapshot = self.pipeline.snapshot();
        if self.is_current(&snapshot) {
            return snapshot;
        }
        let _turn = self.writing.lock().await;
        let snapshot = self.pipeline.snapshot();
        if self.is_current(&snapshot) {
            return snapshot;
        }
        let written = tokio::task::spawn_blocking(|| self.pipeline.rewrite_pages()).await;
        if let Err(failure) = written {
            error!(error = %failure, "The documentation could not be rendered again; the old pages are served");
            return snapshot;
        }
        self.pipeline.snapshot()
    }

    fn is_current(&self, snapshot: &Snapshot) -> bool {
        self.pipeline.frontend().clock.now() < snapshot.pages.until
    }
}

impl PageSite for Documents {
    const LOGGED: bool = true;

    fn pipeline(&self) -> &'static Pipeline {
        self.pipeline
    }

    async fn page(&'static self, head: &Parts) -> Page {
        let snapshot = self.current().await;
        let mut page = match snapshot.pages.file(head.uri.path()) {
            None => Page::new(StatusCode::NOT_FOUND, HTML, snapshot.pages.missing.clone()),
            Some(file) => {
                let mut page = Page::new(StatusCode::OK, HTML, "");
                page.media_type = file.media_type.clone();
                page.route = Some(file.route);
                if file.is_for_programs {
                    page.headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, EVERY_ORIGIN);
                }
                if file.gzip.is_some() {
                    page.headers.insert(header::VARY, ACCEPT_ENCODING);
                }
                let gzip = file.gzip.as_ref().filter(|_| prefers_gzip(&head.headers));
                let tag = gzip.map_or(&file.tag, |gzip| &gzip.tag);
                page.headers.insert(header::ETAG, tag.clone());
                if is_cached(&head.headers, tag) {
                    page.status = StatusCode::NOT_MODIFIED;
                    page.body = Body::Empty;
                } else if let Some(gzip) = gzip {
                    page.headers.insert(header::CONTENT_ENCODING, GZIP);
                    page.body = Body::Full(gzip.content.clone());
                } else {
                    page.body = body(&file.content);
                }
                page
            }
        };
        page.headers.insert(header::CACHE_CONTROL, CACHE_CONTROL);
        page
    }

    fn preflight(&self, head: &Parts) -> Option<Page> {
        let snapshot = self.pipeline.snapshot();
        let file = snapshot.pages.file(head.uri.path()).filter(|file| file.is_for_programs)?;
        let mut page = Page::new(StatusCode::NO_CONTENT, HTML, "");
        page.route = Some(file.route);
        page.headers = preflight_fields("GET, HEAD", "if-none-match");
        page.headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, EVERY_ORIGIN);
        Some(page)
    }

    fn error(&self, status: StatusCode, detail: &str) -> Page {
        let detail = detail.replace('&', "&amp;").replace('<', "&lt;");
        let text = format!("<!doctype html>\n<html lang=\"en\"><title>Error</title><p>{detail}</p></html>\n");
        Page::new(status, HTML, text)
    }

    fn add_fields(&self, fields: &mut HeaderMap) {
        fields.insert(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY);
        fields.insert(header::REFERRER_POLICY, NO_REFERRER);
    }
}

/// The pieces of a page as a body, which shares their bytes.
fn body(content: &Content) -> Body {
    match content.pieces() {
        [only] => Body::Full(only.clone()),
        pieces => {
            let left = content.len() as u64;
            let pieces = Pieces { pieces: pieces.iter().cloned().collect(), left };
            Body::Stream(Box::pin(pieces.map_err(|never: Infallible| -> BoxError { match never {} })))
        }
    }
}

struct Pieces {
    pieces: VecDeque<Bytes>,
    left: u64,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.pieces.pop_front();
        self.left -= piece.as_ref().map_or(0, Bytes::len) as u64;
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// Whether `Accept-Encoding` allows gzip and does not prefer uncompressed content (RFC 9110 §12.5.3).
fn prefers_gzip(fields: &HeaderMap) -> bool {
    let (mut gzip, mut identity, mut others) = (None, None, None);
    for value in fields.get_all(header::ACCEPT_ENCODING) {
        for coding in value.to_str().unwrap_or_default().split(',') {
            let (name, parameter) = coding.split_once(';').unwrap_or((coding, "q=1"));
            let weight = match name.trim().to_ascii_lowercase().as_str() {
                "gzip" | "x-gzip" => &mut gzip,
                "identity" => &mut identity,
                "*" => &mut others,
                _ => continue,
            };
            // A coding whose weight cannot be read is not used.
            *weight = Some(quality(parameter).unwrap_or(0.0));
        }
    }
    let gzip = gzip.or(others).unwrap_or(0.0);
    gzip > 0.0 && gzip >= identity.unwrap_or(0.0)
}

/// A weight such as `q=0.5` (RFC 9110 §12.4.2).
fn quality(parameter: &str) -> Option<f32> {
    let (name, value) = parameter.trim().split_once('=')?;
    let weight = value.parse::<f32>().ok().filter(|weight| (0.0..=1.0).contains(weight));
    weight.filter(|_| name.eq_ignore_ascii_case("q"))
}

/// Whether the client has this content already (RFC 9110 §13.1.2).
fn is_cached(fields: &HeaderMap, tag: &HeaderValue) -> bool {
    let wanted = tag.to_str().unwrap_or_default();
    fields.get_all(header::IF_NONE_MATCH).iter().any(|value| {
        let tags = value.to_str().unwrap_or_default().split(',').map(str::trim);
        tags.map(|tag| tag.strip_prefix("W/").unwrap_or(tag)).any(|tag| tag == wanted || tag == "*")
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Request;
    use permissions::ServerSecret;
    use versions::{Catalog, RELEASES};

    use super::super::page::serve_page;
    use super::*;
    use crate::clock::{Clock as _, ManualClock};
    use crate::config::{Config, Sources};
    use crate::http::Frontend;
    use crate::transport::{Peer, RequestBody};

    #[tokio::test]
    async fn the_first_request_after_midnight_gets_pages_of_the_new_day() {
        let day = ("versions.2026-02-01.deprecated".to_owned(), "\"2027-01-01\"".to_owned());
        let config = Config::load(&Sources { flags: vec![day], ..Sources::default() }).unwrap();
        let clock = Arc::new(ManualClock::new("2026-12-31T23:59:59Z".parse().unwrap()));
        let frontend = Box::leak(Box::new(Frontend::new(Box::new(Arc::clone(&clock)), 1, false)));
        let catalog = Catalog::new(RELEASES).unwrap();
        let pipeline = Pipeline::new(&config, Vec::new(), catalog, ServerSecret::new([3; 32]), frontend);
        let documents = Box::leak(Box::new(Documents::new(Box::leak(Box::new(pipeline)))));
        let peer = Peer::numbered(1);
        let read = async || {
            let request = Request::get("/2026-02-01").header(header::HOST, "localhost").body(());
            let (head, ()) = request.unwrap().into_parts();
            let page =
                serve_page(&*documents, &head, RequestBody::Empty, &peer).await.into_body().collect().await;
            String::from_utf8(page.ok().unwrap().to_bytes().to_vec()).unwrap()
        };
        assert!(!read().await.contains("<strong>Deprecated.</strong>"));
        clock.advance(Duration::from_secs(1));
        assert!(clock.now() >= pipeline_until(documents));
        assert!(read().await.contains("<strong>Deprecated.</strong>"));
    }

    #[tokio::test]
    async fn security_txt_is_written_anew_every_day_and_expires_within_a_year() {
        let flags = [
            ("docs.security_contacts", r#"["mailto:security@example.com", "tel:+1-201-555-0123"]"#),
            ("docs.security_policy", r#""https://example.com/policy""#),
            ("docs.security_languages", r#"["en", "de"]"#),
            ("api.docs_url", r#""https://docs.example.com/partners""#),
        ];
        let flags = flags.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let config = Config::load(&Sources { flags, ..Sources::default() }).unwrap();
        let clock = Arc::new(ManualClock::new("2026-12-30T10:00:00Z".parse().unwrap()));
        let frontend = Box::leak(Box::new(Frontend::new(Box::new(Arc::clone(&clock)), 1, false)));
        let catalog = Catalog::new(RELEASES).unwrap();
        let pipeline = Pipeline::new(&config, Vec::new(), catalog, ServerSecret::new([3; 32]), frontend);
        let documents = Box::leak(Box::new(Documents::new(Box::leak(Box::new(pipeline)))));
        let peer = Peer::numbered(1);
        for expires in ["2027-03-31", "2027-04-01"] {
            let request =
                Request::get("/.well-known/security.txt").header(header::HOST, "localhost").body(());
            let (head, ()) = request.unwrap().into_parts();
            let page = serve_page(&*documents, &head, RequestBody::Empty, &peer).await;
            assert_eq!(page.status(), StatusCode::OK);
            assert_eq!(page.headers()[header::CONTENT_TYPE], "text/plain; charset=utf-8");
            let text = page.into_body().collect().await.ok().unwrap().to_bytes();
            assert_eq!(
                String::from_utf8_lossy(&text),
                format!(
                    "Contact: mailto:security@example.com\nContact: tel:+1-201-555-0123\n\
                     Expires: {expires}T00:00:00Z\nCanonical: https://docs.example.com/.well-known/security.txt\n\
                     Policy: https://example.com/policy\nPreferred-Languages: en, de\n"
                )
            );
            clock.advance(Duration::from_secs(24 * 60 * 60));
        }
    }

    fn pipeline_until(documents: &Documents) -> jiff::Timestamp {
        documents.pipeline.snapshot().pages.until
    }

    #[test]
    fn gzip_is_chosen_where_it_is_allowed_and_not_second_to_identity() {
        let prefers = |values: &[&'static str]| {
            let mut fields = HeaderMap::new();
            for value in values {
                fields.append(header::ACCEPT_ENCODING, HeaderValue::from_static(value));
            }
            prefers_gzip(&fields)
        };
        for values in [
            &["gzip"][..],
            &["GZip"],
            &["x-gzip"],
            &["gzip, deflate, br, zstd"],
            &["br;q=1.0, gzip;q=0.8, *;q=0.1"],
            &["deflate", "gzip;q=0.001"],
            &["gzip ; Q=1.000"],
            &["*"],
            &["identity;q=0.5, *;q=0.5"],
            &["gzip, identity"],
            &["identity;q=0, gzip;q=0.2"],
        ] {
            assert!(prefers(values), "{values:?}");
        }
        for values in [
            &[][..],
            &[""],
            &["identity"],
            &["br"],
            &["gzip;q=0"],
            &["gzip;q=0.000, *"],
            &["*;q=0"],
            &["gzip;q=0.5, identity"],
            &["identity, *;q=0.9"],
            &["gzip;q=2"],
            &["gzip;q=NaN"],
            &["gzip;q="],
            &["gzip;level=9"],
            &["gzipped"],
        ] {
            assert!(!prefers(values), "{values:?}");
        }
    }

    #[test]
    fn a_tag_is_found_among_others() {
        let tag = HeaderValue::from_static("\"a\"");
        let cached = |values: &[&'static str]| {
            let mut fields = HeaderMap::new();
            for value in values {
                fields.append(header::IF_NONE_MATCH, HeaderValue::from_static(value));
            }
            is_cached(&fields, &tag)
        };
        for values in [&["\"a\""][..], &["\"b\", \"a\""], &["W/\"a\""], &["*"], &["\"b\"", "\"a\""]] {
            assert!(cached(values), "{values:?}");
        }
        for values in [&[][..], &["\"b\""], &["a"], &["\"aa\""], &[""]] {
            assert!(!cached(values), "{values:?}");
        }
    }
}
