//! A client for every transport: HTTP/1.1, HTTP/2 and HTTP/3, in cleartext and over TLS.
//!
//! A client keeps its one connection, so that a test can check what happens to it.

mod content;
mod quic;
mod tcp;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, Version, header};
use rustls::SupportedProtocolVersion;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::sync::watch;

pub use content::Content;

use crate::{PATIENCE, TestGateway};

/// The address family of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Whether an address is of this family.
    pub fn holds(self, address: SocketAddr) -> bool {
        address.is_ipv4() == (self == Self::V4)
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(if *self == Self::V4 { "IPv4" } else { "IPv6" })
    }
}

/// A protocol, in cleartext or over TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1 in cleartext.
    H1,
    /// HTTP/1.1 over TLS.
    H1Tls,
    /// HTTP/2 in cleartext, by prior knowledge.
    H2c,
    /// HTTP/2 over TLS.
    H2,
    /// HTTP/3.
    H3,
}

impl Protocol {
    /// All protocols.
    pub const ALL: [Self; 5] = [Self::H1, Self::H1Tls, Self::H2c, Self::H2, Self::H3];

    /// The tests' listener that serves it.
    pub fn listener(self) -> &'static str {
        if self.is_secure() { "https" } else { "http" }
    }

    /// Whether it is encrypted.
    pub fn is_secure(self) -> bool {
        !matches!(self, Self::H1 | Self::H2c)
    }

    /// Its HTTP version.
    pub fn version(self) -> Version {
        match self {
            Self::H1 | Self::H1Tls => Version::HTTP_11,
            Self::H2c | Self::H2 => Version::HTTP_2,
            Self::H3 => Version::HTTP_3,
        }
    }

    /// Its name in ALPN; `None` in cleartext.
    pub fn alpn(self) -> Option<&'static [u8]> {
        match self {
            Self::H1 | Self::H2c => None,
            Self::H1Tls => Some(b"http/1.1"),
            Self::H2 => Some(b"h2"),
            Self::H3 => Some(b"h3"),
        }
    }

    /// Its name in `connection.json` of 2026-02-01.
    pub fn protocol_name(self) -> &'static str {
        match self {
            Self::H1 | Self::H1Tls => "HTTP1.1",
            Self::H2c | Self::H2 => "HTTP2",
            Self::H3 => "HTTP3",
        }
    }
}

/// A protocol and an address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// The protocol.
    pub protocol: Protocol,
    /// The family.
    pub family: Family,
}

/// Every combination of protocol and family.
pub const WAYS: [Way; 10] = {
    let mut ways = [Way { protocol: Protocol::H1, family: Family::V4 }; 10];
    let mut position = 0;
    while position < ways.len() {
        ways[position].protocol = Protocol::ALL[position / 2];
        if position % 2 == 1 {
            ways[position].family = Family::V6;
        }
        position += 1;
    }
    ways
};

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} over {}", self.protocol, self.family)
    }
}

/// A complete response.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The HTTP version.
    pub version: Version,
}

impl Response {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is not JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// `name=value` of a cookie that it sets.
    ///
    /// # Panics
    /// When it sets none of this name.
    pub fn cookie(&self, name: &str) -> String {
        let fields = self.headers.get_all(header::SET_COOKIE);
        let mut fields = fields.iter().map(|field| field.to_str().expect("it is text"));
        let field = fields.find(|field| field.starts_with(&format!("{name}=")));
        let field = field.unwrap_or_else(|| panic!("no {name}: {self:?}"));
        field.split(';').next().expect("one part").to_owned()
    }

    /// The one value of a field; `None` where it is missing.
    ///
    /// # Panics
    /// When the field is repeated or not text.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let first = values.next()?;
        assert!(values.next().is_none(), "{name} comes twice in {:?}", self.headers);
        Some(first.to_str().expect("a field's value is text"))
    }
}

/// A response whose body was streamed to the test.
#[derive(Debug)]
pub struct Download {
    /// The status.
    pub status: StatusCode,
    /// The fields.
    pub headers: HeaderMap,
    /// The version it came by.
    pub version: Version,
    /// How the body ended.
    pub end: anyhow::Result<()>,
}

/// Takes the pieces of a body.
type Sink<'s> = &'s mut (dyn FnMut(Bytes) + Send);

/// How a connection ended.
#[derive(Clone, Debug)]
pub struct Closed {
    /// The code of the other side's CONNECTION_CLOSE (HTTP/3 only).
    pub code: Option<u64>,
    /// The library's error; empty for an orderly end.
    pub error: String,
}

/// The host that is asked for where a test names none.
const LOCALHOST: &str = "localhost";

/// One connection.
#[derive(Debug)]
pub struct Client {
    way: Way,
    authority: String,
    sender: Sender,
    closed: watch::Receiver<Option<Closed>>,
}

#[derive(Debug)]
enum Sender {
    Tcp(tcp::Sender),
    Quic(quic::Sender),
}

impl Client {
    /// Connects to the gateway's listener for this transport.
    ///
    /// # Errors
    /// When the connection or the handshake is refused or takes too long.
    pub async fn connect(gateway: &TestGateway, way: Way) -> anyhow::Result<Self> {
        Self::open(gateway, way.protocol.listener(), way).await
    }

    /// Connects over IPv4.
    ///
    /// # Panics
    /// When the connection or the handshake is refused or takes too long.
    pub async fn over(gateway: &TestGateway, protocol: Protocol) -> Self {
        let way = Way { protocol, family: Family::V4 };
        Self::connect(gateway, way).await.unwrap_or_else(|error| panic!("{way}: {error:#}"))
    }

    /// Connects to the portal.
    ///
    /// # Panics
    /// When it does not accept.
    pub async fn of_portal(gateway: &TestGateway, protocol: Protocol) -> Self {
        let way = Way { protocol, family: Family::V4 };
        Self::open(gateway, "portal", way).await.expect("the portal accepts")
    }

    /// Connects to the listener of this name.
    ///
    /// # Errors
    /// When the connection or the handshake is refused or takes too long.
    pub async fn open(gateway: &TestGateway, listener: &str, way: Way) -> anyhow::Result<Self> {
        let address = gateway.listener(listener, way.family).address;
        Self::to(address, way, &gateway.ready().ca).await
    }

    /// Connects to any address, trusting the certificates of one PEM file.
    ///
    /// # Errors
    /// When the connection or the handshake is refused or takes too long.
    pub async fn to(address: SocketAddr, way: Way, ca: &Path) -> anyhow::Result<Self> {
        Self::to_host(address, way, ca, LOCALHOST).await
    }

    /// The same, asking for a host of this name, which the certificate has to be valid for.
    ///
    /// # Errors
    /// When the connection or the handshake is refused or takes too long.
    pub async fn to_host(address: SocketAddr, way: Way, ca: &Path, host: &str) -> anyhow::Result<Self> {
        let tls = way.protocol.alpn().map(|alpn| tls(ca, alpn)).transpose()?;
        Self::open_connection(address, way, tls, host).await
    }

    /// Connects with this TLS configuration, which keeps its session tickets.
    ///
    /// # Errors
    /// When the connection or the handshake is refused or takes too long.
    pub async fn with(
        address: SocketAddr,
        way: Way,
        tls: Option<rustls::ClientConfig>,
    ) -> anyhow::Result<Self> {
        Self::open_connection(address, way, tls, LOCALHOST).await
    }

    async fn open_connection(
        address: SocketAddr,
        way: Way,
        tls: Option<rustls::ClientConfig>,
        host: &str,
    ) -> anyhow::Result<Self> {
        let (closed_sender, closed) = watch::channel(None);
        let connect = async {
            Ok::<_, anyhow::Error>(match way.protocol {
                Protocol::H3 => {
                    let tls = tls.context("QUIC is always encrypted")?;
                    Sender::Quic(quic::connect(address, host, tls, closed_sender).await?)
                }
                _ => Sender::Tcp(tcp::connect(address, host, way, tls, closed_sender).await?),
            })
        };
        let sender = tokio::time::timeout(PATIENCE, connect).await.context("connecting took too long")??;
        Ok(Self { way, authority: format!("{host}:{}", address.port()), sender, closed })
    }

    /// The transport of this client.
    pub fn way(&self) -> Way {
        self.way
    }

    /// Sends a request and reads the complete response.
    ///
    /// The target is a path; a `host` field becomes the authority.
    ///
    /// # Errors
    /// When no complete response comes in time.
    pub async fn send(&self, request: Request<Bytes>) -> anyhow::Result<Response> {
        self.send_content(request.map(Content::Whole)).await
    }

    /// [`Self::send`] with a body that is under the test's control.
    ///
    /// # Errors
    /// When no complete response comes in time.
    pub async fn send_content(&self, request: Request<Content>) -> anyhow::Result<Response> {
        let mut body = BytesMut::new();
        let mut sink = |piece: Bytes| body.extend_from_slice(&piece);
        let read = self.exchange(request, &mut sink);
        let Download { status, headers, version, end } =
            tokio::time::timeout(PATIENCE, read).await.context("no complete answer in time")??;
        end?;
        Ok(Response { status, headers, body: body.freeze(), version })
    }

    /// Sends a request and passes the pieces of the body to `sink` as they arrive.
    ///
    /// # Errors
    /// When the response has no complete head.
    pub async fn download(
        &self,
        request: Request<Bytes>,
        mut sink: impl FnMut(Bytes) + Send,
    ) -> anyhow::Result<Download> {
        self.exchange(request.map(Content::Whole), &mut sink).await
    }

    async fn exchange(&self, mut request: Request<Content>, sink: Sink<'_>) -> anyhow::Result<Download> {
        let headers = request.headers_mut();
        let host = headers.remove(header::HOST);
        let authority = host.as_ref().map_or(Ok(self.authority.as_str()), |host| host.to_str())?.to_owned();
        if self.way.protocol.version() == Version::HTTP_11 {
            request.headers_mut().insert(header::HOST, authority.parse()?);
            if matches!(request.body(), Content::Pieces(_)) {
                // hyper sends no content with a GET unless there is a framing field.
                request.headers_mut().insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            }
        } else {
            let scheme = if self.way.protocol.is_secure() { "https" } else { "http" };
            let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
            *request.uri_mut() =
                Uri::builder().scheme(scheme).authority(authority).path_and_query(path).build()?;
        }
        match &self.sender {
            Sender::Tcp(sender) => sender.send(request, sink).await,
            Sender::Quic(sender) => sender.send(request, sink).await,
        }
    }

    /// [`Self::send`] that must get a response.
    ///
    /// # Panics
    /// When none comes.
    pub async fn ask(&self, request: Request<Bytes>) -> Response {
        let request_line = format!("{} {} {}", self.way, request.method(), request.uri());
        self.send(request).await.unwrap_or_else(|error| panic!("{request_line}: {error:#}"))
    }

    /// How the connection ended, if it does within this time.
    pub async fn closed(&self, within: Duration) -> Option<Closed> {
        let mut closed = self.closed.clone();
        let ended = tokio::time::timeout(within, closed.wait_for(Option::is_some)).await.ok()?;
        ended.ok().and_then(|closed| closed.clone())
    }

    /// Whether the connection is open as far as this side knows.
    pub fn is_open(&self) -> bool {
        self.closed.borrow().is_none()
    }

    /// Continues from a new port of `address`, as a client that changes networks (HTTP/3 only).
    ///
    /// # Panics
    /// When the connection is not QUIC, or nothing can be bound there.
    pub fn move_to(&self, address: impl Into<IpAddr>) -> SocketAddr {
        let Sender::Quic(sender) = &self.sender else { panic!("{} does not migrate", self.way) };
        sender.move_to(address.into()).expect("a free port on loopback")
    }

    /// The initial address of this side of the connection.
    pub fn local_address(&self) -> IpAddr {
        match self.way.family {
            Family::V4 => IpAddr::from([127, 0, 0, 1]),
            Family::V6 => IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1_u16]),
        }
    }
}

/// A `GET` of a path.
///
/// # Panics
/// When the path is not a request target.
pub fn get(path: &str) -> Request<Bytes> {
    with_method(&Method::GET, path)
}

/// A form, as a page sends it.
///
/// # Panics
/// When the path is not a request target.
pub fn form(path: &str, pairs: &[(&str, &str)]) -> Request<Bytes> {
    let encode = |text: &str| -> String { text.bytes().map(|byte| format!("%{byte:02X}")).collect() };
    let fields: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    Request::builder()
        .method(Method::POST)
        .uri(path)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(fields.join("&").into())
        .expect("the test's target is valid")
}

/// A form, as a browser sends it from a page of the same site.
///
/// # Panics
/// When the path is not a request target.
pub fn own_form(path: &str, pairs: &[(&str, &str)]) -> Request<Bytes> {
    let mut request = form(path, pairs);
    request.headers_mut().insert("sec-fetch-site", HeaderValue::from_static("same-origin"));
    request
}

/// What is between two texts.
///
/// # Panics
/// When one of them is missing.
pub fn between<'t>(text: &'t str, start: &str, end: &str) -> &'t str {
    let rest = text.split_once(start).unwrap_or_else(|| panic!("no {start} in {text}")).1;
    rest.split_once(end).unwrap_or_else(|| panic!("no {end} in {text}")).0
}

/// A request without content.
///
/// # Panics
/// When the path is not a request target.
pub fn with_method(method: &Method, path: &str) -> Request<Bytes> {
    Request::builder().method(method).uri(path).body(Bytes::new()).expect("the test's target is valid")
}

/// A client's TLS, trusting the certificates of one PEM file and offering one protocol.
///
/// # Errors
/// When the file holds no certificate.
pub fn tls(ca: &Path, protocol: &[u8]) -> anyhow::Result<rustls::ClientConfig> {
    tls_of(rustls::crypto::aws_lc_rs::default_provider(), rustls::DEFAULT_VERSIONS, ca, protocol)
}

/// [`tls`] with these suites and groups, in these versions.
///
/// # Errors
/// When the file holds no certificate, or the versions have no suite.
pub fn tls_of(
    provider: CryptoProvider,
    versions: &[&'static SupportedProtocolVersion],
    ca: &Path,
    protocol: &[u8],
) -> anyhow::Result<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).with_context(|| ca.display().to_string())? {
        roots.add(certificate?)?;
    }
    let mut tls = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![protocol.to_vec()];
    Ok(tls)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transports_are_every_protocol_over_both_families() {
        for protocol in Protocol::ALL {
            for family in [Family::V4, Family::V6] {
                assert!(WAYS.contains(&Way { protocol, family }), "{protocol:?} {family}");
            }
        }
    }
}
