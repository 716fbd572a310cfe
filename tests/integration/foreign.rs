//! The contract with third-party clients: curl, aioquic, niquests, curl's HTTP/3, Chromium.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use permissions::Environment;
use serde_json::Value;
use tests::{Key, KeySpec, Protocol, TestGateway, client_script, eventually, never_issued, repository, tool};

use crate::contract::{CONNECTION, INVALID_TOKEN, PING, assert_ping_body, assert_problem_body};

/// One family, so that a client that tries both uses the listener's.
const IPV4: &str =
    "[listeners.https]\naddresses = [\"127.0.0.1:0\"]\n[listeners.http]\naddresses = [\"127.0.0.1:0\"]";

const PATIENCE: Duration = Duration::from_secs(120);

async fn served() -> (TestGateway, Key) {
    let gateway = TestGateway::start(IPV4).await;
    let key = gateway.create_key(KeySpec::production()).await;
    (gateway, key)
}

/// The arguments of every script: port, CA, key, and a key that was never issued.
fn arguments(gateway: &TestGateway, protocol: Protocol, key: &Key) -> Vec<String> {
    vec![
        gateway.address(protocol).port().to_string(),
        gateway.ready().ca.display().to_string(),
        key.key.clone(),
        never_issued(Environment::Production),
    ]
}

/// One response in the form that `cases.py` prints.
struct Answer<'a>(&'a Value);

impl<'a> Answer<'a> {
    fn field(&self, name: &str) -> Option<&'a str> {
        let fields = self.0["headers"].as_array().expect("fields are a list");
        let mut values = fields.iter().filter(|field| field[0] == name).filter_map(|field| field[1].as_str());
        let first = values.next();
        assert!(values.next().is_none(), "{name} comes twice: {}", self.0);
        first
    }

    fn body(&self) -> &'a str {
        self.0["body"].as_str().expect("a body is text")
    }
}

/// The contract, asserted on what a client printed. `protocol_name` is the protocol's name in
/// `connection.json`.
fn assert_contract(printed: &Value, version: &str, protocol_name: &str, alt_svc: Option<&str>) {
    let client = printed["client"].as_str().expect("a client has a name");
    let answer = |case: &str| {
        let answers = printed["answers"].as_array().expect("answers are a list");
        let found = answers.iter().find(|answer| answer["case"] == case);
        Answer(found.unwrap_or_else(|| panic!("{client}: no answer to {case}: {printed}")))
    };
    for (case, status) in [
        ("ping", 200),
        ("connection", 200),
        ("head", 200),
        ("options", 204),
        ("post", 405),
        ("missing", 404),
        ("no_key", 401),
        ("unknown_key", 401),
        ("again", 200),
    ] {
        let answer = answer(case);
        let context = format!("{client} {case}: {}", answer.0);
        assert_eq!(answer.0["status"], status, "{context}");
        assert_eq!(answer.0["version"], version, "{context}");
        assert!(answer.field("date").is_some_and(|date| date.ends_with(" GMT")), "{context}");
        assert_eq!(answer.field("cache-control"), Some("no-store"), "{context}");
        assert_eq!(answer.field("x-content-type-options"), Some("nosniff"), "{context}");
        let version = if status == 401 { None } else { Some("2026-02-01") };
        assert_eq!(answer.field("api-version"), version, "{context}");
        assert_eq!(answer.field("alt-svc"), alt_svc, "{context}");
        let request_id = answer.field("x-request-id").unwrap_or_else(|| panic!("no id: {context}"));
        assert_eq!(request_id.len(), 36, "{context}");
        if !["head", "options"].contains(&case) {
            assert_eq!(
                answer.field("content-length"),
                Some(answer.body().len().to_string().as_str()),
                "{context}"
            );
        }
        if ["post", "missing"].contains(&case) {
            assert_problem_body(answer.body().as_bytes(), status, Some(request_id), &context);
        }
        if status == 401 {
            assert_eq!(answer.body(), INVALID_TOKEN, "{context}");
        } else {
            assert!(answer.field("ratelimit").is_some_and(|limit| limit.starts_with('"')), "{context}");
        }
    }
    assert_ping_body(answer("ping").body(), "production", client);
    assert_ping_body(answer("again").body(), "production", client);
    assert_eq!(answer("head").body(), "", "{client}");
    assert_eq!(
        answer("head").field("content-length"),
        answer("connection").field("content-length"),
        "{client}"
    );
    assert_eq!(answer("options").field("allow"), answer("post").field("allow"), "{client}");
    let connection: Value = serde_json::from_str(answer("connection").body()).expect("it is JSON");
    assert_eq!(connection["client"]["ips"], serde_json::json!({"ipv4": "127.0.0.1"}), "{client}");
    assert_eq!(
        connection["endpoint"],
        serde_json::json!({"apiVersion": "2026-02-01", "env": "production", "protocol": protocol_name}),
        "{client}"
    );
}

async fn assert_http3_contract(python: &str, script: &str) {
    let (gateway, key) = served().await;
    let arguments = arguments(&gateway, Protocol::H3, &key);
    let printed = client_script(tool(&format!("{python}/bin/python")), script, &arguments, PATIENCE).await;
    assert_contract(&printed, "HTTP/3", "HTTP3", None);
}

#[tokio::test]
async fn aioquic_gets_what_the_contract_says_over_http_3() {
    assert_http3_contract("py-aioquic", "aioquic_client.py").await;
}

#[tokio::test]
async fn niquests_gets_what_the_contract_says_over_http_3() {
    assert_http3_contract("py-niquests", "niquests_client.py").await;
}

#[tokio::test]
async fn curl_gets_what_the_contract_says_over_http_3() {
    assert_http3_contract("py-curl", "curl_cffi_client.py").await;
}

#[tokio::test]
async fn a_client_finds_http_3_by_alt_svc() {
    let (gateway, key) = served().await;
    let arguments = arguments(&gateway, Protocol::H2, &key);
    let python = tool("py-niquests/bin/python");
    let printed = client_script(python, "niquests_follow.py", &arguments, PATIENCE).await;
    let versions = printed["versions"].as_array().expect("a list");
    assert_ne!(versions.first(), Some(&Value::from(30)), "it began without HTTP/3: {printed}");
    assert_eq!(versions.last(), Some(&Value::from(30)), "{printed}");
}

#[tokio::test]
async fn chromium_loads_connection_json_over_http_3() {
    let _turn = tests::heavy().await;
    let (gateway, key) = served().await;
    let arguments = arguments(&gateway, Protocol::H3, &key);
    let seen = client_script(PathBuf::from("node"), "chromium.mjs", &arguments, PATIENCE).await;
    assert_eq!(seen["status"], 200, "{seen}");
    assert_eq!(seen["protocol"], "h3", "{seen}");
    assert_eq!(seen["headers"]["content-type"], "application/json", "{seen}");
    assert_eq!(seen["headers"]["cache-control"], "no-store", "{seen}");
    let body: Value =
        serde_json::from_str(seen["body"].as_str().expect("a body is text")).expect("it is JSON");
    assert_eq!(body["endpoint"]["protocol"], "HTTP3", "{seen}");
    let agent = body["client"]["userAgent"].as_str().expect("a browser names itself");
    assert!(agent.starts_with("Mozilla/5.0") && agent.contains("Chrome/"), "{agent}");
    assert_eq!(seen["fetched"]["status"], 200, "{seen}");
    assert_eq!(seen["fetched"]["protocol"], "h3", "{seen}");
    assert_ping_body(
        seen["fetched"]["body"].as_str().expect("a body is text"),
        "production",
        "a page's fetch",
    );
    assert_eq!(seen["stranger"]["status"], 401, "{seen}");
    assert_eq!(seen["stranger"]["body"], INVALID_TOKEN, "{seen}");
}

/// Runs one case with curl; the result has the form of `cases.py`.
fn curl(gateway: &TestGateway, way: &[&str], url: &str, case: (&str, &str, &str, Option<&str>)) -> Value {
    let (name, method, path, credential) = case;
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let (head, body) = (folder.path().join("head"), folder.path().join("body"));
    let mut command = Command::new("curl");
    command.env_remove("CURL_CA_BUNDLE").env_remove("SSL_CERT_FILE").env_remove("SSL_CERT_DIR");
    command.args(["--silent", "--show-error", "--max-time", "20", "--noproxy", "*", "--cacert"]);
    command.arg(&gateway.ready().ca).args(way).arg("--dump-header").arg(&head).arg("--output").arg(&body);
    match method {
        "HEAD" => command.arg("--head"),
        _ => command.args(["--request", method]),
    };
    if let Some(credential) = credential {
        command.args(["--header", &format!("Authorization: Bearer {credential}")]);
    }
    command.args(["--write-out", "%{http_code} %{http_version}"]).arg(format!("{url}{path}"));
    let output = command.output().expect("curl can be started");
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    let (status, version) =
        std::str::from_utf8(&output.stdout).ok().and_then(|text| text.split_once(' ')).unwrap();
    let head = std::fs::read_to_string(head).expect("curl wrote it");
    let fields = head.lines().filter_map(|line| line.split_once(": "));
    let fields: Vec<_> = fields.map(|(name, value)| [name.to_lowercase(), value.to_owned()]).collect();
    let body =
        if method == "HEAD" { String::new() } else { std::fs::read_to_string(body).unwrap_or_default() };
    serde_json::json!({
        "case": name,
        "status": status.parse::<u16>().expect("a status is a number"),
        "version": format!("HTTP/{version}"),
        "headers": fields,
        "body": body,
    })
}

#[tokio::test]
async fn curl_gets_what_the_contract_says_over_http_1_and_http_2() {
    let (gateway, key) = served().await;
    let unknown = never_issued(Environment::Production);
    let clear = format!("http://{}", gateway.address(Protocol::H1));
    let secure = format!("https://{}", gateway.address(Protocol::H2));
    let alt_svc = format!("h3=\":{}\"; ma=86400", gateway.address(Protocol::H3).port());
    for (way, url, version, protocol_name) in [
        (&["--http1.1"][..], &clear, "HTTP/1.1", "HTTP1.1"),
        (&["--http2-prior-knowledge"], &clear, "HTTP/2", "HTTP2"),
        (&["--http1.1"], &secure, "HTTP/1.1", "HTTP1.1"),
        (&["--http2"], &secure, "HTTP/2", "HTTP2"),
        (&["--http2", "--tlsv1.2", "--tls-max", "1.2"], &secure, "HTTP/2", "HTTP2"),
        (&["--http2", "--tlsv1.3"], &secure, "HTTP/2", "HTTP2"),
    ] {
        let good = Some(key.key.as_str());
        let answers: Vec<_> = [
            ("ping", "GET", PING, good),
            ("connection", "GET", CONNECTION, good),
            ("head", "HEAD", CONNECTION, good),
            ("options", "OPTIONS", PING, good),
            ("post", "POST", PING, good),
            ("missing", "GET", "/2026-02-01/nothing.json", good),
            ("no_key", "GET", PING, None),
            ("unknown_key", "GET", PING, Some(unknown.as_str())),
            ("again", "GET", PING, good),
        ]
        .map(|case| curl(&gateway, way, url, case))
        .to_vec();
        let printed = serde_json::json!({"client": format!("curl {way:?} {url}"), "answers": answers});
        assert_contract(&printed, version, protocol_name, Some(&alt_svc));
    }
}

#[tokio::test]
async fn curl_is_refused_below_tls_1_2_and_where_only_1_3_is_allowed() {
    let (gateway, key) = served().await;
    let url = format!("https://{}{PING}", gateway.address(Protocol::H2));
    let strict = TestGateway::start("[tls]\nminimum_version = \"1.3\"").await;
    let strict_url = format!("https://{}{PING}", strict.address(Protocol::H2));
    for (gateway, url, most, allowed) in [
        (&gateway, &url, "1.1", false),
        (&gateway, &url, "1.2", true),
        (&strict, &strict_url, "1.2", false),
        (&strict, &strict_url, "1.3", true),
    ] {
        let output = Command::new("curl")
            .env_remove("CURL_CA_BUNDLE")
            .args([
                "--silent",
                "--max-time",
                "20",
                "--noproxy",
                "*",
                "--output",
                "/dev/null",
                "--tls-max",
                most,
            ])
            .args([
                "--ciphers",
                "DEFAULT@SECLEVEL=0",
                "--header",
                &format!("Authorization: {}", key.bearer()),
            ])
            .args(["--write-out", "%{http_code}", "--cacert"])
            .arg(&gateway.ready().ca)
            .arg(url)
            .output()
            .expect("curl can be started");
        let status = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.success(), allowed, "TLS {most} at most: {status}");
    }
}

#[test]
fn every_script_is_run_by_a_test() {
    let mut run = String::new();
    let folder = |name: &str| std::fs::read_dir(repository().join(name)).expect("the folder is there");
    for entry in folder("tests/integration").chain(folder("tests/src")) {
        let path = entry.expect("an entry can be read").path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            run.push_str(&std::fs::read_to_string(path).expect("it is text"));
        }
    }
    for entry in std::fs::read_dir(repository().join("tests/clients")).expect("the folder is there") {
        let name = entry.expect("an entry can be read").file_name().to_string_lossy().into_owned();
        let is_library =
            ["browser.mjs", "cases.py", "h3.py", "requirements", "typed_values.py", "__pycache__"]
                .contains(&name.as_str());
        assert!(is_library || run.contains(&format!("\"{name}\"")), "{name} is run by no test");
    }
}

#[tokio::test]
async fn a_crashed_servers_successor_resets_its_http_3_connections() {
    for (client, python) in [("curl", "py-curl"), ("niquests", "py-niquests"), ("aioquic", "py-aioquic")] {
        let (gateway, key) = served().await;
        let port = gateway.address(Protocol::H3).port();
        let folder = gateway.settings().folder().to_owned();
        let mut arguments = arguments(&gateway, Protocol::H3, &key);
        arguments.truncate(3);
        arguments.insert(0, client.to_owned());
        arguments.push(folder.display().to_string());
        let script = client_script(tool(&format!("{python}/bin/python")), "crash.py", &arguments, PATIENCE);
        let restart = async {
            let asked = eventually(PATIENCE, async || folder.join("asked").exists().then_some(())).await;
            asked.expect("the client gets its first reply");
            gateway.signal(rustix::process::Signal::KILL);
            gateway.ended(PATIENCE).await.expect("SIGKILL ends it");
            let mut start = gateway.settings().clone();
            let address = format!("127.0.0.1:{port}");
            start.write_config(&format!("[listeners.https]\naddresses = [\"{address}\"]"));
            let gateway = start.launch().await;
            std::fs::write(folder.join("restarted"), "").expect("the test's folder is writable");
            gateway
        };
        let (seen, _gateway) = tokio::join!(script, restart);
        println!("{client}: {seen}");
        assert!(seen["seconds"].as_f64().is_some_and(|seconds| seconds < 1.0), "{client}: {seen}");
        assert_eq!(seen["statusAfter"], 200, "{client}: {seen}");
    }
}
