//! What sites of pages share: no credential, GET and HEAD, the checks of the head, the response fields.

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body::Body as _;
use versions::{Body, Error, ErrorCode};

use crate::http::{
    Places, Record, ReplyBody, RouteDurations, TLS_EXPECTED, check_head, client_address, content_length,
    date, is_preflight,
};
use crate::pipeline::Pipeline;
use crate::transport::Peer;

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const ALLOW: HeaderValue = HeaderValue::from_static("GET, HEAD");

/// A site of pages.
pub(super) trait PageSite: Sync + 'static {
    /// Whether the access log has a line for each of its requests.
    const LOGGED: bool;

    /// The API's pipeline, whose limits apply to this site too.
    fn pipeline(&self) -> &'static Pipeline;

    /// The page for a request whose head passed the checks.
    fn page(&'static self, head: &Parts) -> impl Future<Output = Page> + Send;

    /// The response to a browser's preflight; none if the path is not open to other origins.
    fn preflight(&self, _: &Parts) -> Option<Page> {
        None
    }

    /// The page for an error.
    fn error(&self, status: StatusCode, detail: &str) -> Page;

    /// Adds the fields that all of its pages have.
    fn add_fields(&self, _: &mut HeaderMap) {}
}

/// One page.
pub(super) struct Page {
    pub(super) status: StatusCode,
    pub(super) media_type: HeaderValue,
    pub(super) body: Body,
    /// Further response fields.
    pub(super) headers: HeaderMap,
    /// The counts to which requests for it are added; none for an error.
    pub(super) route: Option<&'static RouteDurations>,
}

impl Page {
    pub(super) fn new(status: StatusCode, media_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            media_type: HeaderValue::from_static(media_type),
            body: Body::Full(body.into()),
            headers: HeaderMap::new(),
            route: None,
        }
    }
}

pub(super) async fn serve_page<S: PageSite>(
    site: &'static S,
    head: &Parts,
    peer: &Peer,
) -> Response<ReplyBody> {
    let mut record = Record::open(site.pipeline().frontend(), head, peer);
    record.client = client_address(&head.headers, peer);
    record.is_logged = S::LOGGED;
    let mut preflight = None;
    let checked =
        check_head(head, &site.pipeline().snapshot().limits, peer).and_then(|_| match head.method {
            Method::GET | Method::HEAD => Ok(()),
            Method::OPTIONS if is_preflight(head) => {
                preflight = site.preflight(head);
                preflight.is_some().then_some(()).ok_or_else(method_not_allowed)
            }
            _ => Err(method_not_allowed()),
        });
    match checked {
        Ok(()) => {
            let page = match preflight {
                Some(page) => page,
                None => site.page(head).await,
            };
            respond(site, page, record, &head.method, peer, None)
        }
        Err(error) => {
            let mut page = site.error(error.code.status(), &error.detail);
            if error.code == ErrorCode::MethodNotAllowed {
                page.headers.insert(header::ALLOW, ALLOW);
            }
            respond(site, page, record, &head.method, peer, Some(&error))
        }
    }
}

fn method_not_allowed() -> Error {
    Error::new(ErrorCode::MethodNotAllowed, "Only GET and HEAD are answered here.")
}

/// The response to bytes that could not be read as a request.
pub(super) fn refuse_page<S: PageSite>(
    site: &'static S,
    status: StatusCode,
    version: Version,
    peer: &Peer,
) -> Response<Bytes> {
    let (mut head, ()) = Request::new(()).into_parts();
    head.version = version;
    let mut record = Record::open(site.pipeline().frontend(), &head, peer);
    record.is_logged = S::LOGGED;
    let time = record.time;
    let detail =
        if peer.lacks_tls() { TLS_EXPECTED } else { "The request is malformed, too large or too slow." };
    let page = site.error(status, detail);
    let (mut parts, mut body) = respond(site, page, record, &Method::GET, peer, None).into_parts();
    parts.headers.insert(header::DATE, date(time));
    if version < Version::HTTP_2 {
        // The transport writes it with the body.
        parts.headers.remove(header::CONTENT_LENGTH);
    }
    Response::from_parts(parts, body.take_bytes())
}

fn respond<S: PageSite>(
    site: &'static S,
    page: Page,
    mut record: Record,
    method: &Method,
    peer: &Peer,
    error: Option<&Error>,
) -> Response<ReplyBody> {
    let Page { status, media_type, body, headers: mut fields, route } = page;
    let frontend = site.pipeline().frontend();
    if let Some(route) = route {
        record.route = route;
    }
    site.add_fields(&mut fields);
    fields.insert(header::DATE, date(record.time));
    fields.entry(header::CACHE_CONTROL).or_insert(NO_STORE);
    fields.insert(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    if !matches!(status, StatusCode::NOT_MODIFIED | StatusCode::NO_CONTENT) {
        fields.insert(header::CONTENT_TYPE, media_type);
        let length = match &body {
            Body::Empty => Some(0),
            Body::Full(bytes) => Some(bytes.len()),
            Body::Stream(stream) => {
                stream.size_hint().exact().and_then(|length| usize::try_from(length).ok())
            }
        };
        if let Some(length) = length {
            fields.insert(header::CONTENT_LENGTH, content_length(length));
        }
    }
    if let Some(alt_svc) = frontend.alt_svc(peer, record.protocol) {
        fields.insert(header::ALT_SVC, alt_svc);
    }
    let malformed = status == StatusCode::BAD_REQUEST;
    frontend.close_if_last(&mut fields, record.protocol, malformed);
    record.respond(status, error);
    // Over HTTP/2 and HTTP/3 nothing else removes the body of a response to HEAD.
    let body = if *method == Method::HEAD { Body::Empty } else { body };
    let mut response = Response::new(ReplyBody::new(body, record, Places::default()));
    *response.status_mut() = status;
    *response.headers_mut() = fields;
    response
}
