//! The documentation for people and programs: response fields, links, Markdown versions, samples that run,
//! and accessibility.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use flate2::read::GzDecoder;
use http::{Method, Request, StatusCode};
use rustix::process::Signal;
use serde_json::{Value, json};
use tests::{
    Client, Family, Key, KeySpec, PATIENCE, Protocol, Response, Start, TestGateway, Way, client_script,
    eventually, get, tool, with_method,
};
use versions::{Catalog, ErrorCode, RELEASES};

use crate::routes::{NOWHERE, routes, target};

/// How long an external program may take.
const FOREIGN_PATIENCE: Duration = Duration::from_secs(240);

/// One address, also over TLS, for all three protocols.
const EVERYWHERE: &str = "\
[listeners.docs]
addresses = [\"127.0.0.1:0\"]
[listeners.pages]
addresses = [\"127.0.0.1:0\"]
protocols = [\"http1\", \"http2\", \"http3\"]
certificate = \"local\"
serves = [\"docs\"]
";
/// The listener of [`EVERYWHERE`] for each protocol.
const LISTENERS: [(&str, Protocol); 5] = [
    ("docs", Protocol::H1),
    ("docs", Protocol::H2c),
    ("pages", Protocol::H1Tls),
    ("pages", Protocol::H2),
    ("pages", Protocol::H3),
];

fn base(gateway: &TestGateway) -> String {
    format!("http://{}", gateway.listener("docs", Family::V4).address)
}

pub(crate) async fn reader(gateway: &TestGateway) -> Client {
    let way = Way { protocol: Protocol::H1, family: Family::V4 };
    Client::open(gateway, "docs", way).await.expect("the documentation is served")
}

/// Every URL that a text links to with `href="…"` or `](…)`.
fn links(text: &str, open: &str, close: char) -> Vec<String> {
    let pieces = text.split(open).skip(1);
    pieces.filter_map(|piece| piece.split(close).next().map(str::to_owned)).collect()
}

/// Every page that can be reached from the overview, by its path, as HTML.
async fn crawl(client: &Client) -> BTreeMap<String, Response> {
    let mut pages = BTreeMap::new();
    let mut open = vec!["/".to_owned()];
    while let Some(path) = open.pop() {
        if pages.contains_key(&path) {
            continue;
        }
        let answer = client.ask(get(&path)).await;
        assert_eq!(answer.status, 200, "{path}");
        if answer.field("content-type") == Some("text/html; charset=utf-8") {
            let found = links(&answer.text(), "href=\"", '"').into_iter();
            let found = found.map(|link| link.split('#').next().unwrap_or_default().to_owned());
            open.extend(found.filter(|link| link.starts_with('/')));
        }
        pages.insert(path, answer);
    }
    pages
}

#[tokio::test]
async fn no_link_is_broken_and_every_page_has_a_markdown_version() {
    let gateway = TestGateway::start("").await;
    let client = reader(&gateway).await;
    let found = crawl(&client).await;
    let catalog = Catalog::new(RELEASES).unwrap();
    for entry in catalog.entries() {
        let path = format!("/{}/{}", entry.version, entry.route.name);
        assert!(found.contains_key(&path), "{path} is linked from nowhere");
    }
    for code in ErrorCode::ALL {
        assert!(found.contains_key(&format!("/errors/{}", code.name())), "{code:?}");
    }
    let mut pages = 0;
    for (path, answer) in &found {
        let text = answer.text();
        if !text.starts_with("<!doctype html>") {
            continue;
        }
        pages += 1;
        let ids = links(&text, " id=\"", '"');
        let unique: BTreeSet<&String> = ids.iter().collect();
        assert_eq!(ids.len(), unique.len(), "{path}: an id comes twice: {ids:?}");
        for link in links(&text, "href=\"", '"') {
            let (page, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if page.is_empty() { answer } else { &found[page] };
            let there = anchor.is_empty() || target.text().contains(&format!("id=\"{anchor}\""));
            assert!(there, "{path}: {link} leads to nothing");
        }
        // The Markdown version is linked twice, has the same heading, and links to Markdown versions and
        // files only.
        let twin = if path == "/" { "/index.md".to_owned() } else { format!("{path}.md") };
        assert!(
            text.contains(&format!("rel=\"alternate\" type=\"text/markdown\" href=\"{twin}\"")),
            "{path}"
        );
        assert!(text.contains(&format!("<a href=\"{twin}\">View as Markdown</a>")), "{path}");
        let markdown = &found[&twin];
        assert_eq!(markdown.field("content-type"), Some("text/markdown; charset=utf-8"), "{path}");
        let heading = markdown.text().lines().next().unwrap_or_default().replace('\\', "");
        let heading = heading.trim_start_matches("# ");
        assert!(text.replace("&#39;", "'").contains(&format!("<h1>{heading}</h1>")), "{path}: {heading}");
        for link in links(&markdown.text(), "](", ')').iter().filter(|link| link.starts_with('/')) {
            let page = link.split('#').next().unwrap_or_default();
            assert!(found.contains_key(page) && page.contains('.'), "{twin}: {link}");
        }
        assert!(!text.contains("<script") && !text.contains("style=\""), "{path} keeps to its policy");
    }
    // 2 dates of 2 and 3 endpoints, 19 errors, and 4 more.
    assert!(pages >= 30, "{pages} pages");
}

fn unzipped(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut text).expect("it is gzip");
    text
}

fn accepting(mut request: Request<Bytes>, codings: &str) -> Request<Bytes> {
    request.headers_mut().insert("accept-encoding", codings.parse().unwrap());
    request
}

#[tokio::test]
async fn documents_are_compressed_for_those_who_ask() {
    let gateway = TestGateway::start(EVERYWHERE).await;
    let plain = reader(&gateway).await;
    let (mut bytes, mut compressed) = (0, 0);
    for (path, page) in crawl(&plain).await {
        let zipped = plain.ask(accepting(get(&path), "gzip")).await;
        if zipped.field("content-encoding").is_some() {
            assert!(zipped.body.len() < page.body.len(), "{path}: only what gets smaller");
            assert_eq!(unzipped(&zipped.body), page.body, "{path}");
            assert_eq!(page.field("vary"), Some("accept-encoding"), "{path}");
            assert_ne!(page.field("etag"), zipped.field("etag"), "{path}");
        } else {
            assert_eq!((page.field("vary"), &page.body), (None, &zipped.body), "{path}");
        }
        (bytes, compressed) = (bytes + unzipped_length(&zipped), compressed + zipped.body.len());
    }
    println!("{compressed} bytes compressed of {bytes}");
    assert!(compressed * 2 < bytes, "{compressed} of {bytes}");

    for protocol in Protocol::ALL {
        let listener = if protocol.is_secure() { "pages" } else { "docs" };
        let way = Way { protocol, family: Family::V4 };
        let client = Client::open(&gateway, listener, way).await.expect("the documentation is served");
        for path in ["/", "/2026-02-01/ping.md", "/openapi/2026-11-01.json", "/llms.txt", "/llms-full.txt"] {
            let context = format!("{path} over {protocol:?}");
            let page = client.ask(get(path)).await;
            assert_eq!(page.field("content-encoding"), None, "{context}");
            for codings in ["identity", "gzip;q=0", "br", "gzip;q=0, *", "gzip;q=0.5, identity"] {
                let same = client.ask(accepting(get(path), codings)).await;
                assert_eq!(same.field("content-encoding"), None, "{context}: {codings}");
                assert_eq!(same.body, page.body, "{context}: {codings}");
                assert_eq!(same.field("etag"), page.field("etag"), "{context}: {codings}");
            }
            let zipped = client.ask(accepting(get(path), "gzip, deflate, br")).await;
            assert_eq!(zipped.field("content-encoding"), Some("gzip"), "{context}");
            assert_eq!(unzipped(&zipped.body), page.body, "{context}");
            assert_eq!(zipped.field("content-type"), page.field("content-type"), "{context}");
            for response in [&page, &zipped] {
                assert_eq!(response.field("vary"), Some("accept-encoding"), "{context}");
                let length = response.body.len().to_string();
                assert_eq!(response.field("content-length"), Some(length.as_str()), "{context}");
            }
            let tags = [&page, &zipped].map(|response| response.field("etag").unwrap().to_owned());
            assert!(tags[0] != tags[1] && tags.iter().all(|tag| tag.starts_with('"')), "{context}: {tags:?}");

            let head = client.ask(accepting(with_method(&Method::HEAD, path), "gzip")).await;
            assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0), "{context}");
            for name in ["content-encoding", "content-length", "content-type", "etag", "vary"] {
                assert_eq!(head.field(name), zipped.field(name), "{context}: {name} of HEAD");
            }
            // A tag is that of one coding.
            for (codings, tag, status) in
                [("gzip", &tags[1], 304), ("gzip", &tags[0], 200), ("", &tags[0], 304), ("", &tags[1], 200)]
            {
                let mut request = accepting(get(path), codings);
                request.headers_mut().insert("if-none-match", tag.parse().unwrap());
                let response = client.ask(request).await;
                assert_eq!(response.status, status, "{context}: {codings} {tag}");
                assert_eq!(response.field("vary"), Some("accept-encoding"), "{context}");
                if status == 304 {
                    assert_eq!(response.field("content-encoding"), None, "{context}");
                    assert_eq!(response.field("etag"), Some(tag.as_str()), "{context}");
                }
            }
        }
    }
    // Answers of the API are frozen: they come as they are.
    let key = gateway.create_key(KeySpec::staging()).await;
    let client = Client::over(&gateway, Protocol::H2).await;
    let answer = client.ask(accepting(key.get("/2026-11-01/versions.json"), "gzip")).await;
    assert_eq!((answer.field("content-encoding"), answer.field("vary")), (None, None));
    assert_eq!(answer.status, 200);
    assert!(answer.json().is_object());
}

fn unzipped_length(response: &Response) -> usize {
    match response.field("content-encoding") {
        Some(_) => unzipped(&response.body).len(),
        None => response.body.len(),
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_other_than_get_and_head_are_refused() {
    let gateway = TestGateway::start("[log]\naccess = true").await;
    let client = reader(&gateway).await;
    for path in
        ["/nothing", "/2026-02-01/", "//", "/index.html", "/%2e%2e/style.css", "/STYLE.css", "/errors/"]
    {
        let answer = client.ask(get(path)).await;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.field("content-type"), Some("text/html; charset=utf-8"), "{path}");
        assert!(answer.text().contains("<h1>Page not found</h1>"), "{path}");
    }
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::TRACE] {
        let answer = client.ask(with_method(&method, "/")).await;
        assert_eq!((answer.status.as_u16(), answer.field("allow")), (405, Some("GET, HEAD")), "{method}");
    }
    // Labels come from the list of pages: neither metrics nor the log repeat a path.
    let metrics = gateway.operations("/metrics").await.text();
    assert!(metrics.contains("http_route=\"none\",http_response_status_code=\"404\""), "{metrics}");
    for text in [metrics, gateway.log()] {
        assert!(!text.contains("/nothing") && !text.contains("STYLE"), "{text}");
    }
}

#[tokio::test]
async fn every_protocol_gives_the_same_page_with_the_same_fields() {
    let gateway = TestGateway::start(EVERYWHERE).await;
    let mut seen = BTreeSet::new();
    for (listener, protocol) in LISTENERS {
        let way = Way { protocol, family: Family::V4 };
        let client = Client::open(&gateway, listener, way).await.expect("it is served");
        let page = client.ask(get("/2026-11-01/ping")).await;
        assert_eq!(page.status, 200, "{way}");
        let port = gateway.listener("pages", Family::V4).address.port();
        // In cleartext, `alt-svc` names the other listener of the documentation, as with the API.
        let alt_svc = (protocol != Protocol::H3).then(|| format!("h3=\":{port}\"; ma=86400"));
        assert_eq!(page.field("alt-svc"), alt_svc.as_deref(), "{way}");
        for (name, value) in [
            ("content-type", "text/html; charset=utf-8"),
            ("cache-control", "public, max-age=300, must-revalidate"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
        ] {
            assert_eq!(page.field(name), Some(value), "{way}");
        }
        let policy = page.field("content-security-policy").expect("there is a policy");
        assert!(policy.starts_with("default-src 'none'; style-src 'self';"), "{way}: {policy}");
        assert!(page.field("date").is_some_and(|date| date.ends_with(" GMT")), "{way}");
        let length = page.body.len().to_string();
        assert_eq!(page.field("content-length"), Some(length.as_str()), "{way}");

        let head = client.ask(with_method(&Method::HEAD, "/2026-11-01/ping")).await;
        assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0), "{way}");
        assert_eq!(head.field("content-length"), Some(length.as_str()), "{way}");

        let tag = page.field("etag").expect("a page has a tag").to_owned();
        assert!(tag.starts_with('"'), "{way}: {tag} is strong");
        let mut again = get("/2026-11-01/ping");
        again.headers_mut().insert("if-none-match", tag.parse().unwrap());
        let again = client.ask(again).await;
        assert_eq!((again.status, again.body.len()), (StatusCode::NOT_MODIFIED, 0), "{way}");
        assert_eq!(again.field("etag"), Some(tag.as_str()), "{way}");
        seen.insert((tag, page.text()));
    }
    assert_eq!(seen.len(), 1, "the page differs between protocols");
}

#[tokio::test]
async fn the_type_of_a_problem_is_the_url_of_its_page() {
    let gateway = TestGateway::start("").await;
    let key = gateway.create_key(KeySpec::staging()).await;
    let client = Client::over(&gateway, Protocol::H2).await;
    let reader = reader(&gateway).await;
    for (path, code) in [
        ("/2026-02-01/nothing.json", ErrorCode::UnknownResource),
        ("/1999-01-01/ping.json", ErrorCode::UnknownVersion),
        ("/2026-11-01/versions.json?state=no", ErrorCode::MalformedRequest),
    ] {
        let problem = client.ask(key.get(path)).await.json();
        let kind = problem["type"].as_str().expect("a problem has a type").to_owned();
        let page = kind.strip_prefix(&base(&gateway)).unwrap_or_else(|| panic!("{kind} leads elsewhere"));
        assert_eq!(page, format!("/errors/{}", code.name()));
        let page = reader.ask(get(page)).await;
        assert_eq!(page.status, 200, "{kind}");
        assert!(page.text().contains(&format!("<h1>{}</h1>", code.title().replace('\'', "&#39;"))), "{kind}");
    }
}

#[tokio::test]
async fn a_configured_url_wins_and_without_a_listener_types_are_relative() {
    let kind = async |overlay: &str| {
        let gateway = TestGateway::start(overlay).await;
        let key = gateway.create_key(KeySpec::staging()).await;
        let client = Client::over(&gateway, Protocol::H1).await;
        let problem = client.ask(key.get("/2026-02-01/nothing.json")).await.json();
        problem["type"].as_str().expect("a problem has a type").to_owned()
    };
    let set = kind("[api]\ndocs_url = \"https://docs.example.com/api/\"").await;
    assert_eq!(set, "https://docs.example.com/api/errors/unknown-resource");
    let none = kind("[listeners.docs]\nenabled = false").await;
    assert_eq!(none, "/errors/unknown-resource");
    let hosts = kind("[listeners.docs]\nhosts = [\"docs.example.com\"]").await;
    assert!(hosts.starts_with("http://docs.example.com:"), "{hosts}");
}

#[tokio::test]
async fn a_reload_and_a_new_day_change_the_pages() {
    let mut gateway = TestGateway::start("[api]\npublic_url = \"https://first.example\"").await;
    let client = reader(&gateway).await;
    let page = client.ask(get("/2026-02-01/ping")).await;
    assert!(page.text().contains("https://first.example/2026-02-01/ping.json"));
    assert!(!page.text().contains("Deprecated"), "{}", page.text());
    let days = "[versions.2026-02-01]\ndeprecated = \"2026-02-02\"\nsunset = \"2999-06-01\"\n";
    gateway.settings_mut().write_config(&format!("[api]\npublic_url = \"https://second.example\"\n{days}"));
    gateway.signal(Signal::HUP);
    let changed = eventually(PATIENCE, async || {
        let text = client.ask(get("/2026-02-01/ping")).await.text();
        text.contains("https://second.example/2026-02-01/ping.json").then_some(text)
    });
    let text = changed.await.expect("the reload changes the pages");
    assert!(text.contains("<strong>Deprecated.</strong> 2026-02-01 will be retired on 2999-06-01"), "{text}");
    assert!(text.contains("<a href=\"/2026-11-01/ping\"><code>ping</code> in 2026-11-01</a>"), "{text}");
    let tag = page.field("etag").expect("a page has a tag");
    let mut again = get("/2026-02-01/ping");
    again.headers_mut().insert("if-none-match", tag.parse().unwrap());
    assert_eq!(client.ask(again).await.status, 200, "another page has another tag");
}

/// The first code sample in a language in a page's Markdown.
fn sample(markdown: &str, language: &str) -> String {
    let (_, rest) = markdown
        .split_once("## Code samples")
        .and_then(|(_, rest)| rest.split_once(&format!("```{language}\n")))
        .unwrap_or_else(|| panic!("no {language} in {markdown}"));
    rest.split("\n```").next().unwrap_or_default().to_owned()
}

/// Runs a sample as a reader does: the key in its variable, and nothing but the sample to say whom to trust.
pub(crate) async fn run(mut command: Command, key: &Key) -> String {
    for name in
        ["SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"]
    {
        command.env_remove(name);
    }
    command.env("PARTNER_API_KEY", &key.key);
    let command_line = format!("{command:?}");
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("it is waited for");
    let output = output.unwrap_or_else(|error| panic!("{command_line}: {error}"));
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command_line} ended with {}: {complaint}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn the_samples_run_as_they_are_printed() {
    let gateway = TestGateway::start("[limits]\nkey_rate = \"100000/s\"").await;
    // A person who may do everything, and a thing for each sample that names one.
    let mut people = gateway.people();
    let acme = people.organization("acme", permissions::ApiAccessPermission::grantable());
    // It lacks something to ask for.
    let staging = permissions::Environment::Staging;
    people.grant(acme.id, staging, permissions::ApiAccessPermission::PING_READ);
    let person = people.token(acme.owner, permissions::Environment::Production);
    let reviewer = people.reviewer();
    people.applied().await;
    let client = reader(&gateway).await;
    for (entry, route) in Catalog::new(RELEASES).unwrap().entries().iter().zip(routes()) {
        let path = format!("/{}/{}.md", entry.version, entry.route.name);
        let page = client.ask(get(&path)).await.text();
        let example = (entry.route.example)().unwrap();
        let example: Option<Value> =
            (!example.is_empty()).then(|| serde_json::from_slice(&example).expect("an example is JSON"));
        let members = example.as_ref().map(|example| example.as_object().expect("answers are objects"));
        let members: Vec<&String> = members.into_iter().flat_map(|members| members.keys()).collect();
        let key = if route.is_review() { &reviewer } else { &person };
        let mut runs = 0;
        let mut sample = |language| {
            runs += 1;
            // Names are unique.
            let text = sample(&page, language).replace("monitoring", &format!("{}{runs}", route.name));
            assert_eq!(text.contains(NOWHERE), route.names_one(), "{text}");
            match route.names_one() {
                true => text.replace(NOWHERE, &target(&mut people, &route, acme, acme.owner)),
                false => text,
            }
        };

        let mut curl = Command::new("sh");
        curl.args(["-euc", &sample("sh")]);
        let answer = run(curl, key).await;
        if example.is_some() {
            let answer: Value =
                serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"));
            assert!(answer.as_object().unwrap().keys().eq(members.iter().copied()), "{path}: {answer}");
        } else {
            assert_eq!(answer, "", "{path}");
        }

        let script = sample("js");
        let (trust, _) = script.split_once('\n').expect("a sample has lines");
        let trust = trust.strip_prefix("// Start Node with ").expect("the sample says whom to trust");
        let mut node = Command::new("sh");
        node.args(["-euc", &format!("{trust} exec node --input-type=module --eval \"$0\""), &script]);
        let mut python = Command::new(tool("py-docs/bin/python"));
        python.args(["-c", &sample("python")]);
        for (command, language) in [(node, "JavaScript"), (python, "Python")] {
            let printed = run(command, key).await;
            assert!(
                example.is_some() || printed.trim() == route.status.as_str(),
                "{path} {language}: {printed}"
            );
            // Each language prints objects differently, but with the fields' names.
            for member in &members {
                assert!(printed.contains(member.as_str()), "{path} {language}: {printed}");
            }
        }
    }
}

#[tokio::test]
async fn documented_errors_equal_the_real_ones() {
    let gateway = TestGateway::start("").await;
    let key =
        gateway.create_key(KeySpec::with_permissions(permissions::Environment::Staging, &["ping:read"]));
    let key = key.await;
    let slow = gateway.create_key(KeySpec::staging().option("--rate", "1/s")).await;
    let client = Client::over(&gateway, Protocol::H2).await;
    let reader = reader(&gateway).await;
    let path = "/2026-11-01/connection.json";
    let page = reader.ask(get("/2026-11-01/connection.md")).await.text();
    let mut not_acceptable = slow.get(path);
    not_acceptable.headers_mut().insert("accept", "text/html".parse().unwrap());
    let mut early = slow.get(path);
    early.headers_mut().insert("early-data", "1".parse().unwrap());
    // The slow key has one call, which is also spent by a request that is refused.
    let full = gateway.create_key(KeySpec::staging()).await;
    *not_acceptable.headers_mut().get_mut("authorization").unwrap() = full.bearer().parse().unwrap();
    *early.headers_mut().get_mut("authorization").unwrap() = full.bearer().parse().unwrap();
    let _ = client.ask(slow.get(path)).await;
    for (request, code) in [
        (get(path), ErrorCode::InvalidToken),
        (key.get(path), ErrorCode::PermissionMissing),
        (full.request(&Method::DELETE, path), ErrorCode::MethodNotAllowed),
        (not_acceptable, ErrorCode::NotAcceptable),
        (early, ErrorCode::TooEarly),
        (slow.get(path), ErrorCode::RateLimited),
    ] {
        let answer = client.ask(request).await;
        assert_eq!(answer.status, code.status(), "{code:?}: {answer:?}");
        let heading = format!("### {} {}\n", code.status().as_u16(), code.title());
        let (_, documented) = page.split_once(&heading).unwrap_or_else(|| panic!("{heading} is missing"));
        let documented = documented
            .split("```json\n")
            .nth(1)
            .and_then(|rest| rest.split("\n```").next())
            .unwrap_or_default();
        let mut documented: Value =
            serde_json::from_str(documented).unwrap_or_else(|error| panic!("{error}: {documented}"));
        let mut real = answer.json();
        for body in [&mut documented, &mut real] {
            if let Some(id) = body.get_mut("requestId") {
                *id = json!("an id");
            }
        }
        assert_eq!(documented, real, "{code:?}");
        assert!(
            documented.as_object().unwrap().keys().eq(real.as_object().unwrap().keys()),
            "{code:?}: the order"
        );
    }
}

#[tokio::test]
async fn pages_are_well_formed_and_powershell_is_powershell() {
    let gateway = TestGateway::start("").await;
    let client = reader(&gateway).await;
    let (mut html, mut powershell) = (BTreeMap::new(), BTreeMap::new());
    for (path, answer) in crawl(&client).await {
        let text = answer.text();
        if text.starts_with("<!doctype html>") {
            html.insert(path, text);
        } else if path.ends_with(".md") {
            for (number, code) in text.split("```powershell\n").skip(1).enumerate() {
                let code = code.split("\n```").next().unwrap_or_default();
                powershell.insert(format!("{path} {number}"), code.to_owned());
            }
        }
    }
    html.insert("404".to_owned(), client.ask(get("/nothing")).await.text());
    let endpoints = Catalog::new(RELEASES).unwrap().entries().len();
    assert!(powershell.len() >= 2 * endpoints, "a sample and an export for each endpoint");
    let file = gateway.settings().folder().join("documents.json");
    std::fs::write(&file, json!({ "html": html, "powershell": powershell }).to_string()).unwrap();
    let arguments = [file.display().to_string()];
    let printed =
        client_script(tool("py-docs/bin/python"), "documents.py", &arguments, FOREIGN_PATIENCE).await;
    assert_eq!(printed["guards"], true, "{printed}");
    assert_eq!(printed["html"], html.len(), "{printed}");
    assert_eq!(printed["faults"], json!([]), "{printed:#}");
}

#[tokio::test]
async fn pages_are_accessible() {
    let _turn = tests::heavy().await;
    let days = "[versions.2026-02-01]\ndeprecated = \"2026-02-02\"\nsunset = \"2999-06-01\"\n";
    let gateway = TestGateway::start(days).await;
    tool("node/node_modules/axe-core");
    let mut arguments = vec![base(&gateway)];
    // One page of each kind; of endpoints one with parameters, and one that is deprecated.
    let kinds = [
        "/",
        "/versions",
        "/changelog",
        "/errors",
        "/errors/permission-missing",
        "/2026-11-01",
        "/2026-11-01/versions",
        "/2026-02-01/connection",
    ];
    arguments.extend(kinds.map(str::to_owned));
    let printed = client_script("node".into(), "pages.mjs", &arguments, FOREIGN_PATIENCE).await;
    assert_eq!(printed["looks"].as_array().map(Vec::len), Some(6 * kinds.len()), "{printed}");
    assert_eq!(printed["faults"], json!([]), "{printed:#}");
    assert_eq!(
        printed["keyboard"],
        json!({ "first": "#content", "outline": "solid", "target": "content" }),
        "{printed}"
    );
}

#[tokio::test]
async fn the_list_for_programs_names_every_page_once() {
    let gateway = Start::with("").launch().await;
    let client = reader(&gateway).await;
    let list = client.ask(get("/llms.txt")).await;
    assert_eq!(list.field("content-type"), Some("text/plain; charset=utf-8"));
    let text = list.text();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("# Partner API"));
    assert!(text.lines().nth(2).is_some_and(|line| line.starts_with("> ")), "{text}");
    assert!(text.contains("\n## Optional\n"), "{text}");
    let base = base(&gateway);
    let listed = links(&text, "](", ')');
    let unique: BTreeSet<&String> = listed.iter().collect();
    assert_eq!(listed.len(), unique.len(), "{text}");
    for link in &listed {
        let path = link.strip_prefix(&base).unwrap_or_else(|| panic!("{link} leads elsewhere"));
        assert_eq!(client.ask(get(path)).await.status, 200, "{link}");
    }
    let pages = crawl(&client).await.into_keys().filter(|path| path.ends_with(".md"));
    for path in pages {
        assert!(listed.contains(&format!("{base}{path}")), "{path} is not listed");
    }
    let full = client.ask(get("/llms-full.txt")).await.text();
    assert!(full.contains("# Overview\n") && full.contains("# ping\n"), "{full}");
    for release in RELEASES {
        let document = client.ask(get(&format!("/openapi/{}.json", release.version))).await;
        assert_eq!(document.field("content-type"), Some("application/json"));
        let document = document.json();
        assert_eq!(document["openapi"], "3.1.1");
        let server = document["servers"][0]["url"].as_str().expect("it names a server").to_owned();
        let api = gateway.address(Protocol::H1Tls);
        assert_eq!(server, format!("https://{api}"));
    }
}

#[tokio::test]
async fn security_txt_says_where_vulnerabilities_are_reported_and_is_missing_without_a_contact() {
    const SECURITY: &str = "/.well-known/security.txt";
    let mut gateway = TestGateway::start(EVERYWHERE).await;
    assert_eq!(reader(&gateway).await.ask(get(SECURITY)).await.status, 404);
    let api = Client::over(&gateway, Protocol::H1).await;
    let contact = "[docs]\nsecurity_contacts = [\"mailto:security@example.com\"]\n";
    gateway.settings_mut().write_config(&format!(
        "{EVERYWHERE}{contact}security_policy = \"https://example.com/policy\"\n[api]\ndocs_url = \"https://docs.example.com\"\n"
    ));
    gateway.signal(Signal::HUP);
    let served = eventually(PATIENCE, async || {
        (reader(&gateway).await.ask(get(SECURITY)).await.status == 200).then_some(())
    });
    assert!(served.await.is_some(), "a reload serves it");
    for (listener, protocol) in LISTENERS {
        let way = Way { protocol, family: Family::V4 };
        let client = Client::open(&gateway, listener, way).await.expect("it is served");
        let answer = client.ask(get(SECURITY)).await;
        assert_eq!(
            (answer.status, answer.field("content-type")),
            (StatusCode::OK, Some("text/plain; charset=utf-8"))
        );
        let text = answer.text();
        let field = |name: &str| {
            let mut values = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            let value = values.next().unwrap_or_else(|| panic!("{way}: no {name} in {text}"));
            assert_eq!(values.next(), None, "{way}: {text}");
            value
        };
        assert_eq!(field("Contact"), "mailto:security@example.com");
        assert_eq!(field("Canonical"), "https://docs.example.com/.well-known/security.txt");
        assert_eq!(field("Policy"), "https://example.com/policy");
        assert_eq!(field("Preferred-Languages"), "en");
        let left =
            field("Expires").parse::<jiff::Timestamp>().expect("RFC 3339").duration_since(tests::now());
        assert!((24 * 89..24 * 365).contains(&left.as_hours()), "{way}: {text}");
    }
    let key = gateway.create_key(KeySpec::staging()).await;
    assert_eq!(api.ask(key.get(SECURITY)).await.status, 404, "the API has no such file");
    // A mistake is refused with what is expected, and the running server goes on.
    gateway.settings_mut().write_config("[docs]\nsecurity_contacts = [\"security@example.com\"]");
    let output = gateway.cli(&["check-config"]).await;
    let complaint = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert_eq!(output.status.code(), Some(78), "{complaint}");
    assert!(complaint.contains("a URI such as `mailto:security@example.com`"), "{complaint}");
}
