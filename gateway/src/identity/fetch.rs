//! Requests to an identity provider: HTTP/1.1 over TLS, one connection for each, everything bounded.
//!
//! A provider is asked once an hour and at sign-ins, so nothing is pooled. What it answers is untrusted until its
//! callers have parsed it; what leaves here is bounded in size and time and comes from the origin that was asked.

#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::Scheme;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls_platform_verifier::Verifier;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::files::{self, FileError};
use crate::config::provider_url;

/// A discovery document or a key set is a few KiB.
pub(super) const RESPONSE_BYTES_MAX: usize = 256 << 10;
/// The response's head, which hyper buffers.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Redirects within one origin.
const REDIRECTS_MAX: usize = 3;
/// A file of certificate authorities.
const CA_FILE_BYTES_MAX: u64 = 4 << 20;

/// A request to a provider failed. No variant holds anything of its body.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FetchError {
    /// The address is neither https nor on this machine.
    #[error("{0} is not an https URL")]
    Url(String),
    /// No certificate authorities were found, so no provider can be trusted.
    #[error("TLS cannot be used: {0}")]
    Roots(String),
    /// There is no connection.
    #[error("cannot connect to {host}: {source}")]
    Connect {
        /// The provider's host.
        host: String,
        /// The system's or the TLS library's reason.
        source: Arc<io::Error>,
    },
    /// The provider took too long.
    #[error("{host} did not respond within {limit:?}")]
    Timeout {
        /// The provider's host.
        host: String,
        /// The limit.
        limit: Duration,
    },
    /// The response is no HTTP, or was cut off.
    #[error("the response of {host} cannot be read: {source}")]
    Http {
        /// The provider's host.
        host: String,
        /// hyper's reason.
        source: Arc<hyper::Error>,
    },
    /// The response is too large.
    #[error("the response of {0} is larger than {RESPONSE_BYTES_MAX} bytes")]
    TooLarge(String),
    /// The response is encoded although that was not asked for.
    #[error("the response of {0} is compressed")]
    Encoded(String),
    /// A redirect leads to another origin, or there are too many.
    #[error("{0} redirects to another origin or too often")]
    Redirect(String),
    /// The response has another status than 200.
    #[error("{host} responded with status {}", status.as_u16())]
    Status {
        /// The provider's host.
        host: String,
        /// The status.
        status: StatusCode,
    },
}

/// A response with its whole body.
pub(crate) struct Response {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

/// The form of a `POST`, and the credential that goes with it.
pub(crate) struct Form {
    pub(crate) body: String,
    pub(crate) authorization: Option<HeaderValue>,
}

/// Makes requests to one provider.
pub(crate) struct Fetcher {
    tls: Result<TlsConnector, String>,
    connect_timeout: Duration,
    request_timeout: Duration,
}

impl Fetcher {
    /// Reads the certificate authorities of the system and of `ca_file`, if that is not empty.
    ///
    /// Where there are none at all, only providers on this machine can be asked.
    pub(crate) fn new(
        ca_file: &Path,
        connect_timeout: Duration,
        request_timeout: Duration,
    ) -> Result<Self, FileError> {
        let extra = authorities(ca_file)?;
        let tls = client_config(extra).map(|config| TlsConnector::from(Arc::new(config)));
        let tls = tls.map_err(|error| error.to_string());
        Ok(Self { tls, connect_timeout, request_timeout })
    }

    /// Whether providers beyond this machine can be asked.
    pub(super) fn check_tls(&self) -> Result<(), FetchError> {
        self.connector().map(|_| ())
    }

    fn connector(&self) -> Result<&TlsConnector, FetchError> {
        self.tls.as_ref().map_err(|error| FetchError::Roots(error.clone()))
    }

    /// Gets a document, following redirects within its origin.
    pub(crate) async fn get(&self, url: &str) -> Result<Bytes, FetchError> {
        let mut uri = parse(url)?;
        let host = host_of(&uri);
        self.bounded(host.clone(), async {
            for _ in 0..=REDIRECTS_MAX {
                let (head, body) = self.send(&uri, Method::GET, None).await?;
                if head.status == StatusCode::OK {
                    return Ok(body);
                }
                if !head.status.is_redirection() {
                    return Err(FetchError::Status { host: host.clone(), status: head.status });
                }
                uri = redirected(&uri, &head.headers).ok_or_else(|| FetchError::Redirect(host.clone()))?;
            }
            Err(FetchError::Redirect(host.clone()))
        })
        .await
    }

    /// Posts a form. A redirect is not followed: it would take the credential along.
    pub(crate) async fn post(&self, url: &str, form: Form) -> Result<Response, FetchError> {
        let uri = parse(url)?;
        self.bounded(host_of(&uri), async {
            let (head, body) = self.send(&uri, Method::POST, Some(form)).await?;
            Ok(Response { status: head.status, body })
        })
        .await
    }

    async fn bounded<T>(
        &self,
        host: String,
        work: impl Future<Output = Result<T, FetchError>>,
    ) -> Result<T, FetchError> {
        let limit = self.request_timeout;
        timeout(limit, work).await.unwrap_or(Err(FetchError::Timeout { host, limit }))
    }

    async fn send(
        &self,
        uri: &Uri,
        method: Method,
        form: Option<Form>,
    ) -> Result<(http::response::Parts, Bytes), FetchError> {
        let host = host_of(uri);
        let request = request(uri, method, form).ok_or_else(|| FetchError::Url(uri.to_string()))?;
        let limit = self.connect_timeout;
        let Ok(stream) = timeout(limit, self.connect(uri, &host)).await else {
            return Err(FetchError::Timeout { host, limit });
        };
        exchange(stream?, request, &host).await
    }

    async fn connect(&self, uri: &Uri, host: &str) -> Result<Box<dyn Stream>, FetchError> {
        let refused = |source| FetchError::Connect { host: host.to_owned(), source: Arc::new(source) };
        let is_tls = uri.scheme() == Some(&Scheme::HTTPS);
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let name = host.trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((name, port)).await.map_err(refused)?;
        if !is_tls {
            return Ok(Box::new(stream));
        }
        let server = ServerName::try_from(name.to_owned()).map_err(|_| FetchError::Url(uri.to_string()))?;
        let stream = self.connector()?.connect(server, stream).await.map_err(refused)?;
        Ok(Box::new(stream))
    }
}

/// A connection, with or without TLS.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Sends the request and reads the response. The connection is driven here and not by a task of its own, so that it
/// ends with the caller.
async fn exchange(
    stream: Box<dyn Stream>,
    request: Request<Full<Bytes>>,
    host: &str,
) -> Result<(http::response::Parts, Bytes), FetchError> {
    let broken = |source| FetchError::Http { host: host.to_owned(), source: Arc::new(source) };
    let builder = hyper::client::conn::http1::Builder::new().max_buf_size(HEAD_BYTES_MAX).to_owned();
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let response = async move {
        let (head, body) = sender.send_request(request).await.map_err(broken)?.into_parts();
        if head.headers.contains_key(header::CONTENT_ENCODING) {
            return Err(FetchError::Encoded(host.to_owned()));
        }
        let body = Limited::new(body, RESPONSE_BYTES_MAX).collect().await;
        let body = body.map_err(|error| match error.downcast::<hyper::Error>() {
            Ok(source) => broken(*source),
            Err(error) => {
                debug_assert!(error.is::<LengthLimitError>(), "the limit is the only other error");
                FetchError::TooLarge(host.to_owned())
            }
        })?;
        Ok((head, body.to_bytes()))
    };
    let mut response = std::pin::pin!(response);
    tokio::select! {
        biased;
        response = &mut response => response,
        // The connection is over; what it read last is still to be taken.
        _ = connection => response.await,
    }
}

fn request(uri: &Uri, method: Method, form: Option<Form>) -> Option<Request<Full<Bytes>>> {
    let authority = uri.authority()?.as_str();
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let mut request = Request::builder()
        .method(method)
        .uri(target)
        .header(header::HOST, authority)
        .header(header::ACCEPT, "application/json")
        .header(header::USER_AGENT, concat!("partner-gateway/", env!("CARGO_PKG_VERSION")))
        .header(header::CONNECTION, "close");
    let body = form.map_or_else(Bytes::new, |form| {
        if let Some(fields) = request.headers_mut() {
            let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
            fields.insert(header::CONTENT_TYPE, form_type);
            if let Some(authorization) = form.authorization {
                fields.insert(header::AUTHORIZATION, authorization);
            }
        }
        form.body.into()
    });
    request.body(Full::new(body)).ok()
}

fn parse(url: &str) -> Result<Uri, FetchError> {
    provider_url(url).ok_or_else(|| FetchError::Url(url.to_owned()))
}

fn host_of(uri: &Uri) -> String {
    uri.host().unwrap_or_default().to_owned()
}

/// Where a redirect leads, if that is within the origin.
fn redirected(from: &Uri, fields: &HeaderMap) -> Option<Uri> {
    let location = fields.get(header::LOCATION)?.to_str().ok()?;
    let url = if location.starts_with('/') && !location.starts_with("//") {
        format!("{}://{}{location}", from.scheme_str()?, from.authority()?)
    } else {
        location.to_owned()
    };
    let to = provider_url(&url)?;
    (to.scheme() == from.scheme() && to.authority() == from.authority()).then_some(to)
}

fn authorities(file: &Path) -> Result<Vec<CertificateDer<'static>>, FileError> {
    if file.as_os_str().is_empty() {
        return Ok(Vec::new());
    }
    let text = files::read(file, CA_FILE_BYTES_MAX)?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| FileError::new(file, format!("the PEM is damaged: {error}")))?;
    if found.is_empty() {
        return Err(FileError::new(file, "it holds no certificate in PEM form"));
    }
    Ok(found)
}

fn client_config(extra: Vec<CertificateDer<'static>>) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Verifier::new_with_extra_roots(extra, provider.clone())?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
