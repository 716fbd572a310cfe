//! One listener with several sites, chosen by host, and a certificate for each.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::HeaderValue;
use rustix::process::Signal;
use tests::{Authority, Client, Family, KeySpec, Protocol, Start, TestGateway, Way, eventually, get};

use crate::contract::PING;

const API: &str = "api.example.com";
const DOCS: &str = "docs.example.com";
const SECURE: [Protocol; 3] = [Protocol::H1Tls, Protocol::H2, Protocol::H3];

/// A gateway that serves the API and its documentation on one port.
struct Shared {
    gateway: TestGateway,
    first: Authority,
    second: Authority,
    folder: PathBuf,
}

impl Shared {
    async fn start() -> Self {
        let mut start = Start::with("");
        let folder = start.folder().to_owned();
        let authority = |name: &str| {
            let own = folder.join(name);
            std::fs::create_dir(&own).expect("the folder is the test's own");
            Authority::new(&own, name)
        };
        let (first, second) = (authority("first"), authority("second"));
        let [(api_chain, api_key), (docs_chain, docs_key)] = ["api", "docs"].map(|name| files(&folder, name));
        first.issue_for(&[API, "127.0.0.1"], &api_chain, &api_key);
        first.issue_for(&["*.example.com"], &docs_chain, &docs_key);
        start.write_config(&config(&folder, DOCS));
        Self { gateway: start.launch().await, first, second, folder }
    }

    async fn client(&self, protocol: Protocol, authority: &Authority, host: &str) -> anyhow::Result<Client> {
        let way = Way { protocol, family: Family::V4 };
        let address = self.gateway.address(protocol);
        Client::to_host(address, way, &authority.certificate(), host).await
    }

    /// A connection that asked for this host.
    async fn at(&self, protocol: Protocol, host: &str) -> Client {
        let client = self.client(protocol, &self.first, host).await;
        client.unwrap_or_else(|error| panic!("{protocol:?} {host}: {error:#}"))
    }
}

fn files(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
    (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")))
}

fn config(folder: &Path, docs: &str) -> String {
    let certificate = |name: &str| {
        let (chain, key) = files(folder, name);
        format!("[certificates.{name}]\nchain_file = {chain:?}\nkey_file = {key:?}\n")
    };
    format!(
        "[listeners.docs]\nenabled = false\n[listeners.https]\naddresses = [\"127.0.0.1:0\"]\n\
         certificate = [\"api\", \"docs\"]\nserves.api.hosts = [{API:?}]\nserves.docs.hosts = [{docs:?}]\n{}{}",
        certificate("api"),
        certificate("docs"),
    )
}

/// A request to another host than that of its connection.
fn to<B>(host: &str, mut request: http::Request<B>) -> http::Request<B> {
    let host = HeaderValue::from_str(host).expect("a host is a field value");
    request.headers_mut().insert(http::header::HOST, host);
    request
}

#[tokio::test]
async fn each_host_has_its_site_and_its_certificate() {
    let shared = Shared::start().await;
    let key = shared.gateway.create_key(KeySpec::staging()).await;
    for protocol in SECURE {
        // Each handshake succeeds with the certificate of its host only.
        let api = shared.at(protocol, API).await;
        assert_eq!(api.ask(key.get(PING)).await.status, 200, "{protocol:?}");
        assert_eq!(api.ask(get("/")).await.status, 401, "{protocol:?}: the API shows nothing without a key");
        let docs = shared.at(protocol, DOCS).await;
        let page = docs.ask(get("/")).await;
        assert_eq!(page.status, 200, "{protocol:?}");
        assert!(page.field("content-type").is_some_and(|found| found.starts_with("text/html")), "{page:?}");
        assert_eq!(docs.ask(key.get(PING)).await.status, 404, "{protocol:?}: the documentation has no API");
        let port = shared.gateway.address(protocol).port();
        let alt_svc = format!("h3=\":{port}\"; ma=86400");
        let expected = (protocol != Protocol::H3).then_some(alt_svc.as_str());
        assert_eq!(page.field("alt-svc"), expected, "{protocol:?}");

        // Who asks for no name, or for one that no certificate has, gets the first one.
        let unnamed = shared.at(protocol, "127.0.0.1").await;
        assert_eq!(unnamed.ask(to(API, key.get(PING))).await.status, 200, "{protocol:?}");
        let error = shared.client(protocol, &shared.first, "elsewhere.example").await.unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains("elsewhere.example") && error.contains(API), "{protocol:?}: {error}");
    }
}

#[tokio::test]
async fn a_request_is_answered_by_its_own_host_whatever_its_connection_asked_for() {
    let shared = Shared::start().await;
    let key = shared.gateway.create_key(KeySpec::staging()).await;
    for protocol in SECURE {
        for asked in [API, DOCS] {
            let client = shared.at(protocol, asked).await;
            for _ in 0..2 {
                let page = client.ask(to(DOCS, get("/"))).await;
                let media_type = page.field("content-type");
                assert!(page.status == 200 && media_type == Some("text/html; charset=utf-8"), "{page:?}");
                assert_eq!(client.ask(to("API.example.com:443", key.get(PING))).await.status, 200, "{asked}");
            }
            for foreign in ["portal.example.com", "example.com", "127.0.0.1", "docs.example.com.evil.example"]
            {
                let refused = client.ask(to(foreign, key.get(PING))).await;
                assert_eq!(refused.status, 421, "{protocol:?} {asked} {foreign}: {refused:?}");
                assert_eq!(refused.field("content-type"), Some("application/problem+json"), "{foreign}");
            }
            let again = client.ask(to(DOCS, get("/"))).await;
            assert_eq!(again.status, 200, "{protocol:?}: the connection goes on");
        }
    }
}

#[tokio::test]
async fn each_site_refuses_in_its_own_form() {
    let shared = Shared::start().await;
    let long = format!("/{}", "x".repeat(9 * 1024));
    for protocol in SECURE {
        for (host, form) in [(API, "application/problem+json"), (DOCS, "text/html; charset=utf-8")] {
            let client = shared.at(protocol, host).await;
            let mut large = get("/");
            large.headers_mut().insert("x-large", HeaderValue::from_str(&"y".repeat(17 * 1024)).unwrap());
            for (request, status) in [(get(&long), 414), (large, 431)] {
                let refused = client.ask(request).await;
                assert_eq!(refused.status, status, "{protocol:?} {host}: {refused:?}");
                assert_eq!(refused.field("content-type"), Some(form), "{protocol:?} {host}");
            }
        }
    }
}

#[tokio::test]
async fn a_reload_replaces_the_certificate_of_one_host() {
    let mut shared = Shared::start().await;
    let (chain, key) = files(&shared.folder, "docs");
    shared.second.issue_for(&[DOCS], &chain, &key);
    let changed = config(&shared.folder, "help.example.com");
    shared.gateway.settings_mut().write_config(&changed);
    shared.gateway.signal(Signal::HUP);
    for protocol in SECURE {
        let shown = eventually(Duration::from_secs(5), async || {
            shared.client(protocol, &shared.second, DOCS).await.ok()
        });
        let client = shown.await.unwrap_or_else(|| panic!("{protocol:?}: {}", shared.gateway.log()));
        assert_eq!(client.ask(get("/")).await.status, 200, "{protocol:?}: hosts take a restart");
        assert_eq!(client.ask(to("help.example.com", get("/"))).await.status, 421, "{protocol:?}");
        assert!(shared.client(protocol, &shared.first, DOCS).await.is_err(), "{protocol:?}");
        shared.at(protocol, API).await;
    }
    let log = shared.gateway.log();
    assert!(log.contains("`listeners.https.serves.docs.hosts` has changed; this needs a restart"), "{log}");
}

#[tokio::test]
async fn a_start_prints_where_each_site_is_and_pages_link_to_the_hosts() {
    let shared = Shared::start().await;
    let port = shared.gateway.address(Protocol::H2).port();
    let printed = shared.gateway.stdout();
    let url = format!("https://127.0.0.1:{port}");
    for (service, host) in [("api", API), ("docs", DOCS)] {
        let line = format!("  {url:<30} {service:<12} http1, http2, http3   {host}\n");
        assert!(printed.contains(&line), "{line}{printed}");
    }
    assert!(
        printed.ends_with(&format!("Read the documentation:\n\n  https://{DOCS}:{port}/\n\n")),
        "{printed}"
    );
    let listener = shared.gateway.listener("https", Family::V4);
    assert_eq!(listener.serves, ["api", "docs"]);
    let health = shared.gateway.cli(&["health"]).await;
    assert!(health.status.success(), "{}", String::from_utf8_lossy(&health.stderr));

    let docs = shared.at(Protocol::H2, DOCS).await;
    let document = docs.ask(get("/openapi/2026-02-01.json")).await.json();
    let servers = document["servers"].as_array().expect("servers are a list");
    assert!(servers.iter().any(|server| server["url"] == format!("https://{API}:{port}")), "{servers:?}");
    let api = shared.at(Protocol::H2, API).await;
    let key = shared.gateway.create_key(KeySpec::staging()).await;
    let problem = api.ask(key.get("/2026-02-01/missing.json")).await.json();
    let link = problem["type"].as_str().expect("a problem has a type");
    assert!(link.starts_with(&format!("https://{DOCS}:{port}/errors/")), "{link}");
}
