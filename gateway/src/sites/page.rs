//! What sites of pages share: no credential, GET and HEAD, POST of forms where a path takes it, the checks of the
//! head, the response fields.

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body::Body as _;
use versions::{Body, Error, ErrorCode};

use super::form::{FORM_BYTES_MAX, Form, check_type};
use crate::http::{
    ClientAddress, ContentBounds, Fields, Places, Record, ReplyBody, RouteDurations, TLS_EXPECTED,
    check_head, client_address, content_length, date, declared_length, is_preflight, receive_content,
};
use crate::pipeline::Pipeline;
use crate::transport::{Peer, RequestBody};

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// The methods of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Methods {
    /// GET and HEAD.
    Read,
    /// These, and POST of a form.
    ReadAndPost,
    /// POST of a form alone.
    Post,
}

impl Methods {
    const fn allow(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Read => "GET, HEAD",
            Self::ReadAndPost => "GET, HEAD, POST",
            Self::Post => "POST",
        })
    }

    const fn refusal(self) -> &'static str {
        match self {
            Self::Read => "Only GET and HEAD are answered here.",
            Self::ReadAndPost => "Only GET, HEAD and POST are answered here.",
            Self::Post => "Only POST is answered here.",
        }
    }
}

/// A POST of a form whose head and content passed the checks. Whether a page of another origin made it is for the
/// site to check ([`crate::http::check_same_origin`]), where a cookie authenticates.
pub(super) struct Post<'r> {
    pub(super) head: &'r Parts,
    pub(super) form: Form,
    pub(super) source: Source,
}

/// From where a request comes, for limits and for the audit log.
#[derive(Clone)]
pub(super) struct Source {
    /// The client, as far as trusted proxies say.
    pub(super) client: ClientAddress,
    /// The request's id, as in the access log.
    pub(super) request_id: String,
}

impl Source {
    fn of(record: &Record) -> Self {
        Self { client: record.client, request_id: record.id().to_owned() }
    }
}

/// A site of pages.
pub(super) trait PageSite: Sync + 'static {
    /// Whether the access log has a line for each of its requests.
    const LOGGED: bool;

    /// The API's pipeline, whose limits apply to this site too.
    fn pipeline(&self) -> &'static Pipeline;

    /// The page for a request whose head passed the checks.
    fn page(&'static self, _: &Parts) -> impl Future<Output = Page> + Send {
        async move { self.error(StatusCode::NOT_FOUND, "There is no such page.") }
    }

    /// The same, for a site that needs to know from where it comes.
    fn page_for(&'static self, head: &Parts, _: &Source) -> impl Future<Output = Page> + Send {
        self.page(head)
    }

    /// The methods that the path of this request has.
    fn methods(&self, _: &Parts) -> Methods {
        Methods::Read
    }

    /// The page for a form, at a path whose methods include POST.
    fn post(&'static self, post: Post<'_>) -> impl Future<Output = Page> + Send {
        let methods = self.methods(post.head);
        async move { self.error(StatusCode::METHOD_NOT_ALLOWED, methods.refusal()) }
    }

    /// The response to a browser's preflight; none if the path is not open to other origins.
    fn preflight(&self, _: &Parts) -> Option<Page> {
        None
    }

    /// The page for an error.
    fn error(&self, status: StatusCode, detail: &str) -> Page;

    /// The page for an error of this request, where its path decides the form.
    fn error_of(&self, _: &Parts, error: &Error) -> Page {
        self.error(error.code.status(), &error.detail)
    }

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
    body: RequestBody,
    peer: &Peer,
) -> Response<ReplyBody> {
    let mut record = Record::open(site.pipeline().frontend(), head, peer);
    record.client = client_address(&head.headers, peer);
    record.is_logged = S::LOGGED;
    let methods = site.methods(head);
    let mut preflight = None;
    let checked =
        check_head(head, &site.pipeline().snapshot().limits, peer).and_then(|_| match head.method {
            Method::GET | Method::HEAD if methods != Methods::Post => Ok(()),
            Method::POST if methods != Methods::Read => Ok(()),
            Method::OPTIONS if is_preflight(head) => {
                preflight = site.preflight(head);
                preflight.is_some().then_some(()).ok_or_else(|| method_not_allowed(methods))
            }
            _ => Err(method_not_allowed(methods)),
        });
    // An unread form is not taken for the next request.
    let mut is_unread = false;
    let outcome = match (checked, preflight) {
        (Err(error), _) => Err(error),
        (Ok(()), Some(page)) => Ok(page),
        (Ok(()), None) if head.method == Method::POST => match receive(site, head, body, &mut record).await {
            Ok(form) => {
                let source = Source::of(&record);
                Ok(Box::pin(site.post(Post { head, form, source })).await)
            }
            Err(error) => {
                is_unread = true;
                Err(error)
            }
        },
        (Ok(()), None) => Ok(site.page_for(head, &Source::of(&record)).await),
    };
    match outcome {
        Ok(page) => respond(site, page, record, &head.method, peer, None, false),
        Err(error) => {
            let mut page = site.error_of(head, &error);
            if error.code == ErrorCode::MethodNotAllowed {
                page.headers.insert(header::ALLOW, methods.allow());
            }
            respond(site, page, record, &head.method, peer, Some(&error), is_unread)
        }
    }
}

fn method_not_allowed(methods: Methods) -> Error {
    Error::new(ErrorCode::MethodNotAllowed, methods.refusal())
}

/// Receives a form, within its bounds and a slot among all uploads.
async fn receive<S: PageSite>(
    site: &'static S,
    head: &Parts,
    body: RequestBody,
    record: &mut Record,
) -> Result<Form, Error> {
    check_type(&head.headers)?;
    let snapshot = site.pipeline().snapshot();
    let bytes_max = FORM_BYTES_MAX.min(snapshot.limits.body_bytes_max);
    let declared = declared_length(Fields::find(&head.headers).content_length)?;
    if let Some(length) = declared.filter(|length| *length > bytes_max as u64) {
        let detail = format!("The form has {length} bytes; at most {bytes_max} are taken.");
        return Err(Error::new(ErrorCode::ContentTooLarge, detail));
    }
    let _upload = site.pipeline().take_upload()?;
    let bounds = ContentBounds { bytes_max, chunk: snapshot.timeouts.body, total: snapshot.timeouts.request };
    let is_gone = &mut record.client_is_gone;
    let content = receive_content(body, &head.headers, bounds, is_gone, || Ok(())).await?;
    Form::parse(&content)
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
    let (mut parts, mut body) = respond(site, page, record, &Method::GET, peer, None, false).into_parts();
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
    is_unread: bool,
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
    frontend.close_if_last(&mut fields, record.protocol, malformed || is_unread);
    record.respond(status, error);
    // Over HTTP/2 and HTTP/3 nothing else removes the body of a response to HEAD.
    let body = if *method == Method::HEAD { Body::Empty } else { body };
    let mut response = Response::new(ReplyBody::new(body, record, Places::default()));
    *response.status_mut() = status;
    *response.headers_mut() = fields;
    response
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::BodyExt as _;
    use permissions::ServerSecret;
    use versions::{Catalog, RELEASES};

    use super::*;
    use crate::clock::SystemClock;
    use crate::config::{Config, Sources};
    use crate::http::Frontend;

    /// `/read` is read, `/both` is read and posted to, anything else is posted to.
    struct Echo(&'static Pipeline);

    impl PageSite for Echo {
        const LOGGED: bool = false;

        fn pipeline(&self) -> &'static Pipeline {
            self.0
        }

        fn methods(&self, head: &Parts) -> Methods {
            match head.uri.path() {
                "/read" => Methods::Read,
                "/both" => Methods::ReadAndPost,
                _ => Methods::Post,
            }
        }

        async fn page(&'static self, _: &Parts) -> Page {
            Page::new(StatusCode::OK, "text/plain", "read")
        }

        async fn post(&'static self, post: Post<'_>) -> Page {
            match post.form.one("a") {
                Ok(value) => Page::new(StatusCode::OK, "text/plain", value.unwrap_or_default().to_owned()),
                Err(error) => self.error_of(post.head, &error),
            }
        }

        fn error(&self, status: StatusCode, detail: &str) -> Page {
            Page::new(status, "text/plain", detail.to_owned())
        }
    }

    const FORM: &str = "application/x-www-form-urlencoded";

    fn echo() -> &'static Echo {
        let config = Config::load(&Sources::default()).unwrap();
        let frontend = Box::leak(Box::new(Frontend::new(Box::new(SystemClock), 1, false)));
        let catalog = Catalog::new(RELEASES).unwrap();
        let pipeline = Pipeline::new(&config, Vec::new(), catalog, ServerSecret::new([3; 32]), frontend);
        Box::leak(Box::new(Echo(Box::leak(Box::new(pipeline)))))
    }

    async fn send(
        site: &'static Echo,
        method: &str,
        path: &str,
        media_type: Option<&str>,
        body: Vec<u8>,
    ) -> (StatusCode, HeaderMap, String) {
        let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
        if let Some(media_type) = media_type {
            request = request.header("content-type", media_type);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let response = serve_page(site, &head, Bytes::from(body).into(), &Peer::numbered(1)).await;
        let (head, body) = response.into_parts();
        let body = body.collect().await.ok().unwrap().to_bytes();
        (head.status, head.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_path_takes_the_methods_that_the_site_says() {
        let site = echo();
        for (method, path, expected) in [
            ("GET", "/read", Ok("read")),
            ("POST", "/read", Err("GET, HEAD")),
            ("PUT", "/read", Err("GET, HEAD")),
            ("GET", "/both", Ok("read")),
            ("POST", "/both", Ok("x")),
            ("PUT", "/both", Err("GET, HEAD, POST")),
            ("OPTIONS", "/both", Err("GET, HEAD, POST")),
            ("POST", "/form", Ok("x")),
            ("GET", "/form", Err("POST")),
            ("HEAD", "/form", Err("POST")),
        ] {
            let (status, fields, body) = send(site, method, path, Some(FORM), b"a=x".to_vec()).await;
            match expected {
                Ok(text) => assert_eq!((status, &*body), (StatusCode::OK, text), "{method} {path}"),
                Err(allow) => {
                    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
                    assert_eq!(fields[header::ALLOW], allow, "{method} {path}");
                }
            }
        }
    }

    #[tokio::test]
    async fn what_is_no_small_form_is_refused() {
        let site = echo();
        let of = |length: usize| [b"a=".to_vec(), vec![b'x'; length - 2]].concat();
        for (media_type, body, expected) in [
            (Some(FORM), of(FORM_BYTES_MAX), StatusCode::OK),
            (Some(FORM), of(FORM_BYTES_MAX + 1), StatusCode::PAYLOAD_TOO_LARGE),
            (Some(FORM), b"a=1&a=2".to_vec(), StatusCode::BAD_REQUEST),
            (Some(FORM), b"a=%ff".to_vec(), StatusCode::BAD_REQUEST),
            (Some("application/json"), b"{}".to_vec(), StatusCode::UNSUPPORTED_MEDIA_TYPE),
            (None, b"a=1".to_vec(), StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ] {
            let length = body.len();
            let (status, ..) = send(site, "POST", "/form", media_type, body).await;
            assert_eq!(status, expected, "{media_type:?}, {length} bytes");
        }
    }
}
