//! The operations listener: probes, version, and metrics, whose number of series is bounded.

use std::collections::HashSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

use bytes::Bytes;
use http::{Method, Request};
use rand::Rng as _;
use tests::{
    Client, Family, KeySpec, Protocol, RawH2, TestGateway, Way, frame, get, kind, request_block, tool,
    with_method,
};

use crate::contract::{CONNECTION, ECHO, INVALID_TOKEN, PING};

#[tokio::test]
async fn probes_and_version_answer_without_a_credential() {
    let gateway = TestGateway::start("[listeners.operations]\nprotocols = [\"http1\", \"http2\"]").await;
    for protocol in [Protocol::H1, Protocol::H2c] {
        let way = Way { protocol, family: Family::V4 };
        let client =
            Client::open(&gateway, "operations", way).await.expect("the operations listener accepts");
        for path in ["/livez", "/readyz", "/version", "/metrics"] {
            let answer = client.ask(get(path)).await;
            assert_eq!(answer.status, 200, "{path}: {answer:?}");
            let length = answer.field("content-length").and_then(|length| length.parse().ok());
            assert_eq!(length, Some(answer.body.len()), "{path}");
            assert!(answer.field("date").is_some_and(|date| date.ends_with(" GMT")), "{path}: {answer:?}");
        }
    }
    let ready = gateway.operations("/readyz").await.json();
    assert_eq!(ready, serde_json::json!({ "status": "ready", "store": "ok" }), "nothing is missing");
    let version = gateway.operations("/version").await.json();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"), "{version}");
    for path in ["/", PING, "/livez/", "/LIVEZ", "/metrics/x"] {
        assert_eq!(gateway.operations(path).await.status, 404, "{path}");
    }
    for path in ["/livez", "/readyz", "/metrics"] {
        // The API's listeners do not serve them.
        let answer = Client::over(&gateway, Protocol::H1).await.ask(get(path)).await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (401, INVALID_TOKEN), "{path}");
    }
}

/// Asserts that promtool accepts the metrics without remarks, and that each family has one type; returns the metrics.
async fn check_metrics(gateway: &TestGateway, after: &str) -> String {
    let metrics = gateway.operations("/metrics").await;
    let kind = metrics.field("content-type").expect("it has a type").to_owned();
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    let mut promtool = Command::new(tool("prometheus/usr/bin/promtool"))
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool can be started");
    promtool.stdin.take().expect("it is piped").write_all(&metrics.body).expect("promtool reads");
    let output = promtool.wait_with_output().expect("promtool ends");
    let remarks =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "after {after}: {remarks}");
    assert_eq!(remarks.trim(), "", "promtool has remarks after {after}");
    let text = metrics.text();
    let mut families = HashSet::new();
    for name in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()) {
        assert!(families.insert(name), "after {after}: {name} has two types");
    }
    for name in [
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_virtual_memory_bytes",
        "process_open_fds",
        "process_max_fds",
        "process_start_time_seconds",
        "process_threads",
    ] {
        assert_eq!(samples(&text, name).len(), 1, "after {after}: {name}");
    }
    let expected = "# TYPE http_server_request_duration_seconds histogram";
    assert!(text.contains(expected), "after {after}");
    assert!(!text.contains("quantile="), "after {after}: a summary");
    text
}

#[tokio::test]
async fn promtool_accepts_the_metrics_after_any_kind_of_traffic() {
    let overlay = "[listeners.operations]\nprotocols = [\"http1\", \"http2\"]\n\
                   [listeners.pages]\naddresses = [\"127.0.0.1:0\"]\ncertificate = \"local\"\n\
                   protocols = [\"http1\", \"http2\", \"http3\"]\nserves = [\"docs\"]";
    let gateway = TestGateway::start_with_test_endpoints(overlay).await;
    let key = gateway.create_key(KeySpec::staging()).await;
    check_metrics(&gateway, "the start").await;
    for protocol in Protocol::ALL {
        let client = Client::over(&gateway, protocol).await;
        for request in [key.get(PING), key.get(CONNECTION), key.request(&Method::OPTIONS, PING)] {
            client.ask(request).await;
        }
        check_metrics(&gateway, &format!("the API over {protocol:?}")).await;
        for request in [key.get("/x"), get(PING), key.request(&Method::DELETE, PING)] {
            assert!(client.ask(request).await.status.is_client_error());
        }
        check_metrics(&gateway, &format!("errors over {protocol:?}")).await;
        let streamed = client.ask(key.get("/test/download.bin?bytes=4096&piece=512")).await;
        assert_eq!(streamed.status, 200, "{streamed:?}");
        check_metrics(&gateway, &format!("a stream over {protocol:?}")).await;
        let broken = client.send(key.get("/test/download.bin?bytes=4096&piece=512&break_after=1024")).await;
        assert!(broken.is_err(), "{broken:?}");
        check_metrics(&gateway, &format!("a broken stream over {protocol:?}")).await;
    }
    let pages = [
        ("docs", Protocol::H1),
        ("docs", Protocol::H2c),
        ("pages", Protocol::H1Tls),
        ("pages", Protocol::H2),
        ("pages", Protocol::H3),
    ];
    for (listener, protocol) in pages {
        let way = Way { protocol, family: Family::V4 };
        let client = Client::open(&gateway, listener, way).await.expect("the documentation is served");
        for path in ["/", "/llms.txt", "/openapi/2026-02-01.json"] {
            assert_eq!(client.ask(get(path)).await.status, 200, "{path}");
        }
        check_metrics(&gateway, &format!("documentation over {protocol:?}")).await;
        for request in
            [get("/nothing"), with_method(&Method::POST, "/"), get(&format!("/{}", "x".repeat(9000)))]
        {
            assert!(client.ask(request).await.status.is_client_error());
        }
        check_metrics(&gateway, &format!("documentation refusals over {protocol:?}")).await;
    }
    for protocol in [Protocol::H1, Protocol::H2c] {
        let way = Way { protocol, family: Family::V4 };
        let client = Client::open(&gateway, "operations", way).await.expect("operations are served");
        for path in ["/livez", "/readyz", "/version", "/nothing"] {
            client.ask(get(path)).await;
        }
        client.ask(with_method(&Method::POST, "/livez")).await;
        check_metrics(&gateway, &format!("operations over {protocol:?}")).await;
    }
    for listener in ["http", "docs", "operations"] {
        let mut raw = tests::Raw::connect(gateway.listener(listener, Family::V4).address).await;
        assert!(raw.write(b"no HTTP at all\r\n\r\n").await);
        raw.read_to_end(tests::PATIENCE).await;
        check_metrics(&gateway, &format!("what is no HTTP on {listener}")).await;
    }
}

/// The sample lines of a metric, by name.
fn samples<'m>(metrics: &'m str, name: &str) -> Vec<&'m str> {
    let of_metric = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
    metrics.lines().filter(of_metric).collect()
}

#[tokio::test]
async fn requests_are_counted_by_method_route_status_and_protocol() {
    let gateway = TestGateway::start("").await;
    let key = gateway.create_key(KeySpec::staging()).await;
    for protocol in Protocol::ALL {
        let client = Client::over(&gateway, protocol).await;
        for _ in 0..3 {
            assert_eq!(client.ask(key.get(PING)).await.status, 200);
        }
        assert_eq!(client.ask(get(PING)).await.status, 401);
        assert_eq!(client.ask(key.get("/2026-02-01/nothing.json")).await.status, 404);
    }
    let metrics = gateway.operations("/metrics").await.text();
    let counts = samples(&metrics, "http_server_request_duration_seconds_count");
    let count = |labels: &[&str]| {
        let matching = counts.iter().filter(|line| labels.iter().all(|label| line.contains(label)));
        let values = matching.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        values.sum::<f64>()
    };
    for (version, ways) in [("1.1", 2.0), ("2", 2.0), ("3", 1.0)] {
        let version = format!("network_protocol_version=\"{version}\"");
        let served =
            count(&[&version, "http_response_status_code=\"200\"", &format!("http_route=\"{PING}\"")]);
        assert_eq!(served, 3.0 * ways, "{version}: {counts:#?}");
        assert_eq!(count(&[&version, "http_response_status_code=\"401\""]), ways, "{version}: {counts:#?}");
        assert_eq!(count(&[&version, "http_response_status_code=\"404\""]), ways, "{version}: {counts:#?}");
        assert_eq!(count(&[&version, "http_request_method=\"GET\""]), 5.0 * ways, "{version}: {counts:#?}");
    }
    assert!(!samples(&metrics, "gateway_build_info").is_empty(), "the build is named");
}

#[tokio::test]
async fn an_unsupported_method_is_counted_under_its_path() {
    let gateway = TestGateway::start("").await;
    let key = gateway.create_key(KeySpec::staging()).await;
    let client = Client::over(&gateway, Protocol::H1).await;
    for (method, path, expected) in [
        ("POST", PING, 405),
        ("PROPFIND", PING, 405),
        ("OPTIONS", PING, 204),
        ("OPTIONS", CONNECTION, 204),
        ("POST", "/2026-02-01/nothing.json", 404),
    ] {
        let answer = client.ask(key.request(&method.parse().unwrap(), path)).await;
        assert_eq!(answer.status, expected, "{method} {path}");
    }
    let metrics = gateway.operations("/metrics").await.text();
    let counts = samples(&metrics, "http_server_request_duration_seconds_count");
    for (method, route, status) in [
        ("POST", PING, 405),
        ("_OTHER", PING, 405),
        ("OPTIONS", PING, 204),
        ("OPTIONS", CONNECTION, 204),
        ("POST", "none", 404),
    ] {
        let labels = [
            format!("http_request_method=\"{method}\""),
            format!("http_route=\"{route}\""),
            format!("http_response_status_code=\"{status}\""),
        ];
        let found = counts.iter().filter(|line| labels.iter().all(|label| line.contains(label)));
        assert_eq!(found.count(), 1, "{method} {route} {status}: {counts:#?}");
    }
    let routes = counts.iter().filter(|line| line.contains("\"405\"") && line.contains("\"none\""));
    assert_eq!(routes.count(), 0, "{counts:#?}");
}

#[tokio::test]
async fn a_thousand_random_paths_and_methods_add_no_series() {
    let gateway = TestGateway::start("").await;
    let key = gateway.create_key(KeySpec::staging().option("--rate", "1000000/s")).await;
    let client = Client::over(&gateway, Protocol::H1).await;
    let mut random = rand::rng();
    let mut word = || (0..12).map(|_| char::from(random.random_range(b'a'..=b'z'))).collect::<String>();
    let words: Vec<_> = (0..1000).map(|_| word()).collect();
    let ask = async |word: &str, number: usize| {
        let request: Request<Bytes> = match number % 4 {
            0 => key.get(&format!("/2026-02-01/{word}.json")),
            1 => key.get(&format!("/{word}/{word}")),
            2 => key.request(&word.to_ascii_uppercase().parse().unwrap(), PING),
            _ => with_method(&Method::GET, &format!("/{word}?{word}={word}")),
        };
        client.ask(request).await;
    };
    for (number, word) in words[..40].iter().enumerate() {
        ask(word, number).await;
    }
    let series = async || {
        let metrics = gateway.operations("/metrics").await.text();
        let lines = metrics.lines().filter(|line| !line.starts_with('#'));
        let names =
            lines.filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned())).collect::<HashSet<_>>();
        (metrics, names)
    };
    // Read twice, because the first read is a request too.
    series().await;
    let (_, before) = series().await;
    for (number, word) in words.iter().enumerate() {
        ask(word, number).await;
    }
    let (metrics, after) = series().await;
    let added: Vec<_> = after.difference(&before).collect();
    assert!(added.len() <= 5, "series were added: {added:#?}");
    let lower = metrics.to_ascii_lowercase();
    for word in &words {
        assert!(!lower.contains(word.as_str()), "{word} became a label");
    }
    for secret in [key.key.as_str(), key.id.as_str()] {
        assert!(!metrics.contains(secret), "a key or its id became a label");
    }
}

#[tokio::test]
async fn the_access_log_has_the_fields_that_operators_need() {
    let gateway = TestGateway::start("").await;
    let key = gateway.create_key(KeySpec::staging()).await;
    for protocol in Protocol::ALL {
        let client = Client::over(&gateway, protocol).await;
        let answer = client.ask(key.get(PING)).await;
        let id = answer.field("x-request-id").expect("every answer has one").to_owned();
        let line = tests::eventually(tests::PATIENCE, async || {
            gateway.log().lines().find(|line| line.contains(&id)).map(str::to_owned)
        });
        let line = line.await.unwrap_or_else(|| panic!("{protocol:?}: {id} is not in the log"));
        for part in [key.id.as_str(), PING, "200"] {
            assert!(line.contains(part), "{protocol:?}: no {part} in {line}");
        }
        let json: serde_json::Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(json["timestamp"].as_str().is_some_and(|time| time.ends_with('Z')), "{line}");
        assert!(json["level"].is_string(), "{line}");
    }
}

#[tokio::test]
async fn a_client_that_disconnects_is_recorded_too() {
    let gateway = TestGateway::start_with_test_endpoints("").await;
    let key = gateway.create_key(KeySpec::staging()).await;
    let mut raw = tests::Raw::connect(gateway.address(Protocol::H1)).await;
    let head = format!(
        "POST {ECHO} HTTP/1.1\r\nhost: localhost\r\nauthorization: {}\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{{",
        key.bearer()
    );
    assert!(raw.write(head.as_bytes()).await);
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    drop(raw);
    assert_recorded_as_gone(&gateway, "1.1").await;

    // Over HTTP/2 by a reset within the content, with the code CANCEL.
    let mut raw = RawH2::connect(gateway.address(Protocol::H2c)).await;
    let block = request_block("POST", ECHO, &[("authorization", &key.bearer())]);
    let (end_headers, cancel) = (4, 8_u32);
    assert!(raw.write(&frame(kind::HEADERS, end_headers, 1, &block)).await);
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert!(raw.write(&frame(kind::RST_STREAM, 0, 1, &cancel.to_be_bytes())).await);
    assert_recorded_as_gone(&gateway, "2").await;
}

async fn assert_recorded_as_gone(gateway: &TestGateway, version: &str) {
    let recorded = tests::eventually(tests::PATIENCE, async || {
        let metrics = gateway.operations("/metrics").await.text();
        let counts = samples(&metrics, "http_server_request_duration_seconds_count");
        let version = format!("network_protocol_version=\"{version}\"");
        counts.iter().any(|line| line.contains("\"499\"") && line.contains(&version)).then_some(())
    });
    let metrics = gateway.operations("/metrics").await.text();
    assert!(recorded.await.is_some(), "no 499 over {version}: {metrics}");
}
