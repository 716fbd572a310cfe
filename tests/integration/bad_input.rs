//! Every error of the contract, over every protocol that can produce it.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request};
use tests::{
    Client, Content, Family, Key, KeySpec, PATIENCE, Protocol, Raw, RawH2, Response, TestGateway, Way,
    eventually, frame, kind, request_block,
};

use crate::contract::{CONNECTION, ECHO, PING, assert_problem, assert_problem_body};

/// A gateway with small limits and short timeouts, and a key with a high rate.
async fn strict(overlay: &str) -> (TestGateway, Key) {
    let gateway = TestGateway::start(overlay).await;
    let key = gateway.create_key(KeySpec::staging().option("--rate", "1000000/s")).await;
    (gateway, key)
}

/// The same, with an endpoint that accepts content.
async fn strict_with_echo(overlay: &str) -> (TestGateway, Key) {
    let gateway = TestGateway::start_with_test_endpoints(overlay).await;
    let key = gateway.create_key(KeySpec::staging().option("--rate", "1000000/s")).await;
    (gateway, key)
}

/// A request whose content is JSON, which is sent separately.
fn echo(key: &Key) -> Request<Bytes> {
    with_fields(key.request(&Method::POST, ECHO), &[("content-type", "application/json")])
}

/// Content of this size, which the endpoint accepts.
fn text_of(bytes: usize) -> Bytes {
    let frame = r#"{"text":""}"#.len();
    format!(r#"{{"text":"{}"}}"#, "x".repeat(bytes - frame)).into()
}

fn with_fields(mut request: Request<Bytes>, fields: &[(&str, &str)]) -> Request<Bytes> {
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("the test's field has a name");
        request.headers_mut().append(name, HeaderValue::from_str(value).expect("and a value"));
    }
    request
}

#[tokio::test]
async fn an_accept_field_that_excludes_json_is_406() {
    let (gateway, key) = strict("").await;
    for protocol in Protocol::ALL {
        let client = Client::over(&gateway, protocol).await;
        for (accept, expected) in [
            ("text/html", 406),
            ("application/xml, text/*", 406),
            ("application/json;q=0", 406),
            ("application/json;q=0, */*", 406),
            ("image/png;q=0.9", 406),
            ("*/*", 200),
            ("application/json", 200),
            ("Application/JSON", 200),
            ("application/*;q=0.1", 200),
            ("text/html, application/json;q=0.5", 200),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", 200),
            ("application/json; charset=utf-8", 200),
        ] {
            let context = format!("{protocol:?} {accept}");
            let answer = client.ask(with_fields(key.get(PING), &[("accept", accept)])).await;
            match expected {
                406 => drop(assert_problem(&answer, 406, context)),
                _ => assert_eq!(answer.status, expected, "{context}: {answer:?}"),
            }
        }
    }
}

#[tokio::test]
async fn content_of_another_type_or_coding_is_415() {
    let (gateway, key) = strict_with_echo("").await;
    for protocol in Protocol::ALL {
        for (kind, coding, expected) in [
            (Some("text/plain"), None, 415),
            (Some("application/x-www-form-urlencoded"), None, 415),
            (Some("application/jsonx"), None, 415),
            (Some("application/json"), Some("gzip"), 415),
            (Some("application/json"), Some("br, identity"), 415),
            (Some("application/json"), None, 200),
            (Some("application/json"), Some("identity"), 200),
            (Some("Application/JSON; charset=utf-8"), None, 200),
        ] {
            let context = format!("{protocol:?} {kind:?} {coding:?}");
            let client = Client::over(&gateway, protocol).await;
            let mut request = key.request(&Method::POST, ECHO);
            *request.body_mut() = text_of(20);
            request = with_fields(request, &kind.map(|kind| [("content-type", kind)]).unwrap_or_default());
            if let Some(coding) = coding {
                request = with_fields(request, &[("content-encoding", coding)]);
            }
            let answer = client.ask(request).await;
            match expected {
                415 => drop(assert_problem(&answer, 415, context)),
                _ => assert_eq!(answer.status, expected, "{context}: {answer:?}"),
            }
        }
    }
}

#[tokio::test]
async fn content_beyond_the_limit_is_413_declared_or_not() {
    let (gateway, key) = strict_with_echo("[limits]\nbody_bytes_max = 1024").await;
    for protocol in Protocol::ALL {
        let client = Client::over(&gateway, protocol).await;
        let declared = echo(&key).map(|_| text_of(2048));
        assert_problem(&client.ask(declared).await, 413, format!("{protocol:?} declared"));

        let client = Client::over(&gateway, protocol).await;
        let (pieces, content) = Content::pieces();
        let streamed = echo(&key).map(|_| content);
        let feed = tokio::spawn(async move {
            for _ in 0..100 {
                if pieces.send(Bytes::from_static(&[b' '; 256])).await.is_err() {
                    return;
                }
            }
        });
        let answer = client.send_content(streamed).await;
        let answer = answer.unwrap_or_else(|error| panic!("{protocol:?} streamed: {error:#}"));
        assert_problem(&answer, 413, format!("{protocol:?} streamed"));
        feed.abort();

        let client = Client::over(&gateway, protocol).await;
        let answer = client.ask(echo(&key).map(|_| text_of(1024))).await;
        assert_eq!(answer.status, 200, "{protocol:?}: exactly the limit is taken: {answer:?}");
    }
}

#[tokio::test]
async fn a_target_beyond_the_limit_is_414() {
    let (gateway, key) = strict("[limits]\nuri_bytes_max = 256").await;
    for protocol in Protocol::ALL {
        let client = Client::over(&gateway, protocol).await;
        let long = format!("{PING}?{}", "a".repeat(300));
        assert_problem(&client.ask(key.get(&long)).await, 414, format!("{protocol:?}"));
        let longest = format!("{PING}?{}", "a".repeat(256 - PING.len() - 1));
        assert_eq!(
            client.ask(key.get(&longest)).await.status,
            200,
            "{protocol:?}: exactly the limit is taken"
        );
    }
}

#[tokio::test]
async fn fields_beyond_the_limits_are_431_by_number_and_by_size() {
    let (gateway, key) =
        strict("[limits]\nheader_bytes_max = \"4KiB\"\nuri_bytes_max = \"2KiB\"\nheader_fields_max = 40")
            .await;
    for protocol in Protocol::ALL {
        let client = Client::over(&gateway, protocol).await;
        let names: Vec<_> = (0..60).map(|number| format!("x-{number}")).collect();
        let many: Vec<_> = names.iter().map(|name| (name.as_str(), "1")).collect();
        let answer = client.ask(with_fields(key.get(PING), &many)).await;
        assert_problem(&answer, 431, format!("{protocol:?} by number"));

        let client = Client::over(&gateway, protocol).await;
        let long = "a".repeat(6 * 1024);
        let answer = client.ask(with_fields(key.get(PING), &[("x-long", &long)])).await;
        assert_problem(&answer, 431, format!("{protocol:?} by size"));

        // Each field counts 32 bytes more than its text, as HTTP/2 and HTTP/3 count.
        let client = Client::over(&gateway, protocol).await;
        let values: Vec<_> = names[..30].iter().map(|name| (name.as_str(), &long[..100])).collect();
        let answer = client.ask(with_fields(key.get(PING), &values)).await;
        assert_problem(&answer, 431, format!("{protocol:?} by sum"));

        let client = Client::over(&gateway, protocol).await;
        let answer = client.ask(with_fields(key.get(PING), &many[..25])).await;
        assert_eq!(answer.status, 200, "{protocol:?}: below the limits: {answer:?}");
    }
}

#[tokio::test]
async fn a_host_that_the_listener_does_not_serve_is_421() {
    let overlay = "[listeners.http]\nhosts = [\"api.example\"]\n[listeners.https]\nhosts = [\"api.example\"]";
    let (gateway, key) = strict(overlay).await;
    for protocol in Protocol::ALL {
        for (host, expected) in [
            ("other.example", 421),
            ("api.example.other", 421),
            ("xapi.example", 421),
            ("localhost", 421),
            ("api.example", 200),
            ("api.example:8443", 200),
            ("API.Example", 200),
        ] {
            let client = Client::over(&gateway, protocol).await;
            let context = format!("{protocol:?} {host}");
            let answer = client.ask(with_fields(key.get(PING), &[("host", host)])).await;
            match expected {
                421 => drop(assert_problem(&answer, 421, context)),
                _ => assert_eq!(answer.status, expected, "{context}: {answer:?}"),
            }
        }
    }
}

#[tokio::test]
async fn http_1_0_without_a_host_is_for_none_of_a_listeners_hosts() {
    for (hosts, fields, expected) in [
        ("[]", "", 200),
        ("[\"api.example\"]", "", 421),
        ("[\"api.example\"]", "host: localhost\r\n", 421),
        ("[\"api.example\"]", "host: api.example\r\n", 200),
    ] {
        let (gateway, key) = strict(&format!("[listeners.http]\nhosts = {hosts}")).await;
        let request = format!("GET {PING} HTTP/1.0\r\nauthorization: {}\r\n{fields}\r\n", key.bearer());
        let [answer] = &gateway.exchange(request.as_bytes()).await[..] else { panic!("one answer") };
        assert_eq!(answer.status, expected, "{hosts} {fields:?}: {answer:?}");
    }
}

#[tokio::test]
async fn a_request_that_came_as_early_data_is_425() {
    let (gateway, key) = strict("").await;
    for protocol in Protocol::ALL {
        let client = Client::over(&gateway, protocol).await;
        for path in [PING, CONNECTION] {
            let answer = client.ask(with_fields(key.get(path), &[("early-data", "1")])).await;
            assert_problem(&answer, 425, format!("{protocol:?} {path}"));
        }
        assert_eq!(client.ask(key.get(PING)).await.status, 200, "{protocol:?}: the same, later");
    }
}

#[tokio::test]
async fn content_that_stops_coming_is_408() {
    let (gateway, key) = strict_with_echo("[timeouts]\nbody = \"500ms\"").await;
    for protocol in Protocol::ALL {
        let client = Client::over(&gateway, protocol).await;
        let (pieces, content) = Content::pieces();
        let request = echo(&key).map(|_| content);
        pieces.send(Bytes::from_static(b"{")).await.expect("the request has not been sent yet");
        let answer =
            client.send_content(request).await.unwrap_or_else(|error| panic!("{protocol:?}: {error:#}"));
        assert_problem(&answer, 408, format!("{protocol:?}"));
        drop(pieces);
    }
}

#[tokio::test]
async fn content_that_comes_slowly_but_steadily_is_taken() {
    let (gateway, key) = strict_with_echo("[timeouts]\nbody = \"1s\"").await;
    for protocol in Protocol::ALL {
        let client = Client::over(&gateway, protocol).await;
        let (pieces, content) = Content::pieces();
        let request = echo(&key).map(|_| content);
        let feed = tokio::spawn(async move {
            for piece in [r#"{"#, r#""te"#, r#"xt""#, ":", r#"""#, "a", r#"""#, "}"] {
                tokio::time::sleep(Duration::from_millis(200)).await;
                if pieces.send(Bytes::from_static(piece.as_bytes())).await.is_err() {
                    return false;
                }
            }
            true
        });
        let answer =
            client.send_content(request).await.unwrap_or_else(|error| panic!("{protocol:?}: {error:#}"));
        assert_eq!(answer.status, 200, "{protocol:?}: {answer:?}");
        assert!(feed.await.expect("the feed does not panic"), "{protocol:?}: all of it was taken");
    }
}

#[tokio::test]
async fn a_head_that_stops_coming_is_408_on_http_1() {
    let (gateway, key) = strict("[timeouts]\nheader = \"500ms\"").await;
    for protocol in [Protocol::H1, Protocol::H1Tls] {
        let address = gateway.address(protocol);
        let mut raw = match protocol {
            Protocol::H1 => Raw::connect(address).await,
            _ => Raw::connect_tls(address, &gateway.ready().ca, "http/1.1").await,
        };
        raw.write(
            format!("GET {PING} HTTP/1.1\r\nhost: localhost\r\nauthorization: {}\r\n", key.bearer())
                .as_bytes(),
        )
        .await;
        let [answer] = &tests::answers(&raw.read_to_end(PATIENCE).await)[..] else { panic!("one answer") };
        assert_eq!(answer.status, 408, "{protocol:?}");
        assert_eq!(answer.field("connection"), Some("close"), "{protocol:?}");
        assert_problem_body(&answer.body, 408, answer.field("x-request-id"), format!("{protocol:?}"));
    }
}

/// Waits until a gauge has this value.
async fn gauge(gateway: &TestGateway, name: &str, value: usize) {
    let wanted = format!("{name} {value}");
    let reached = eventually(PATIENCE, async || {
        let metrics = gateway.operations("/metrics").await.text();
        metrics.lines().any(|line| line == wanted).then_some(())
    });
    assert!(reached.await.is_some(), "{wanted}");
}

/// Asserts a 503 with `Retry-After`.
fn assert_busy(answer: &Response, context: &str) {
    let problem = assert_problem(answer, 503, context);
    let retry_after: u64 = answer.field("retry-after").expect("503 has retry-after").parse().unwrap();
    assert!(retry_after >= 1, "{context}");
    assert_eq!(problem["retryAfterSeconds"].as_u64(), Some(retry_after), "{context}");
}

/// Starts this many requests that take a while, each on a separate connection.
async fn hold(gateway: &TestGateway, key: &Key, count: usize) -> Vec<tokio::task::JoinHandle<Response>> {
    let mut held = Vec::new();
    for _ in 0..count {
        let client = Client::over(gateway, Protocol::H2).await;
        let request = key.get("/test/wait.json?ms=3000");
        held.push(tokio::spawn(async move { client.ask(request).await }));
    }
    gauge(gateway, "gateway_requests_in_flight", count).await;
    held
}

#[tokio::test]
async fn a_request_beyond_the_limit_in_flight_gets_503_with_retry_after() {
    let (gateway, key) = strict_with_echo("[limits]\nrequests_in_flight_max = 4").await;
    let held = hold(&gateway, &key, 4).await;
    for protocol in Protocol::ALL {
        let client = Client::over(&gateway, protocol).await;
        assert_busy(&client.ask(key.get(PING)).await, &format!("{protocol:?}"));
    }
    assert_eq!(gateway.operations("/readyz").await.status, 503, "a load balancer sends nothing more");
    for path in ["/livez", "/metrics", "/version"] {
        assert_eq!(gateway.operations(path).await.status, 200, "{path}");
    }
    for held in held {
        assert_eq!(held.await.expect("no task panics").status, 200, "requests that were admitted are served");
    }
    let client = Client::over(&gateway, Protocol::H1).await;
    assert_eq!(client.ask(key.get(PING)).await.status, 200, "the places are free again");
    assert_eq!(gateway.operations("/readyz").await.status, 200);
}

#[tokio::test]
async fn no_caller_has_more_than_its_share_of_slots_while_they_are_scarce() {
    let overlay = "[limits]\nrequests_in_flight_max = 8\nrequests_in_flight_per_caller_max = 5";
    let (gateway, greedy) = strict_with_echo(overlay).await;
    let other = gateway.create_key(KeySpec::production()).await;
    let held = hold(&gateway, &greedy, 5).await;
    for protocol in Protocol::ALL {
        let client = Client::over(&gateway, protocol).await;
        assert_busy(&client.ask(greedy.get(PING)).await, &format!("{protocol:?}"));
        assert_eq!(client.ask(other.get(PING)).await.status, 200, "{protocol:?}: others are served");
    }
    for held in held {
        assert_eq!(held.await.expect("no task panics").status, 200);
    }
    // While fewer than half of the slots are taken, there is no share.
    let (gateway, greedy) = strict_with_echo("[limits]\nrequests_in_flight_per_caller_max = 2").await;
    for held in hold(&gateway, &greedy, 5).await {
        assert_eq!(held.await.expect("no task panics").status, 200);
    }
}

#[tokio::test]
async fn a_request_whose_content_is_still_arriving_takes_no_slot_of_a_request_in_flight() {
    let overlay =
        "[limits]\nrequests_in_flight_max = 2\nuploads_in_flight_max = 3\n[timeouts]\nbody = \"30s\"";
    let (gateway, key) = strict_with_echo(overlay).await;
    let head = format!(
        "POST {ECHO} HTTP/1.1\r\nhost: localhost\r\nauthorization: {}\r\ncontent-type: application/json\r\ncontent-length: 12\r\n\r\n{{",
        key.bearer()
    );
    let mut slow = Vec::new();
    for _ in 0..3 {
        let mut raw = Raw::connect(gateway.address(Protocol::H1)).await;
        assert!(raw.write(head.as_bytes()).await);
        slow.push(raw);
    }
    gauge(&gateway, "gateway_uploads_in_flight", 3).await;
    for protocol in Protocol::ALL {
        let client = Client::over(&gateway, protocol).await;
        assert_eq!(client.ask(key.get(PING)).await.status, 200, "{protocol:?}");
        assert_busy(&client.ask(echo(&key).map(|_| text_of(20))).await, &format!("{protocol:?}"));
    }
    for raw in &mut slow {
        assert!(raw.write(br#""text":"a"}"#).await);
        assert_eq!(raw.answer(PATIENCE).await.status, 200, "uploads that were admitted are served");
    }
}

#[tokio::test]
async fn content_of_a_method_without_content_is_not_waited_for() {
    let (gateway, key) = strict("[timeouts]\nbody = \"30s\"").await;
    for protocol in Protocol::ALL {
        let client = Client::over(&gateway, protocol).await;
        let (pieces, content) = Content::pieces();
        let started = tokio::time::Instant::now();
        let answer = client.send_content(key.get(PING).map(|_| content)).await;
        let answer = answer.unwrap_or_else(|error| panic!("{protocol:?}: {error:#}"));
        assert_eq!(answer.status, 200, "{protocol:?}");
        assert!(started.elapsed() < Duration::from_secs(5), "{protocol:?}: {:?}", started.elapsed());
        drop(pieces);
    }
    // On HTTP/1.1 the rest could hide a request, so the response closes the connection.
    let head = format!(
        "GET {PING} HTTP/1.1\r\nhost: localhost\r\nauthorization: {}\r\ncontent-length: 5\r\n\r\n",
        key.bearer()
    );
    let mut raw = Raw::connect(gateway.address(Protocol::H1)).await;
    assert!(raw.write(head.as_bytes()).await);
    let [answer] = &tests::answers(&raw.read_to_end(PATIENCE).await)[..] else { panic!("one answer") };
    assert_eq!((answer.status, answer.field("connection")), (200, Some("close")));
    // Content that has arrived is discarded, and the connection stays open.
    let both = format!("{head}12345{head}12345");
    let mut raw = Raw::connect(gateway.address(Protocol::H1)).await;
    assert!(raw.write(both.as_bytes()).await);
    for _ in 0..2 {
        let answer = raw.answer(PATIENCE).await;
        assert_eq!((answer.status, answer.field("connection")), (200, None));
    }
}

#[tokio::test]
async fn an_address_that_fails_too_often_gets_429_and_its_valid_keys_are_served() {
    let (gateway, key) = strict("[limits]\nfailures_per_address = \"1/s+5\"").await;
    let strange = tests::never_issued(permissions::Environment::Staging);
    for protocol in Protocol::ALL {
        let client = Client::over(&gateway, protocol).await;
        let mut statuses = Vec::new();
        for _ in 0..20 {
            let mut request = tests::get(PING);
            request.headers_mut().insert("authorization", format!("Bearer {strange}").parse().unwrap());
            let answer = client.ask(request).await;
            statuses.push(answer.status.as_u16());
            if answer.status == 429 {
                let problem = assert_problem(&answer, 429, format!("{protocol:?}"));
                let retry_after = answer.field("retry-after").expect("429 has retry-after");
                assert_eq!(problem["retryAfterSeconds"].to_string(), retry_after, "{protocol:?}");
            }
        }
        assert_eq!(statuses.last(), Some(&429), "{protocol:?}: {statuses:?}");
        assert!(statuses.iter().all(|status| [401, 429].contains(status)), "{protocol:?}: {statuses:?}");
        assert_eq!(
            client.ask(key.get(PING)).await.status,
            200,
            "{protocol:?}: a good key is never locked out"
        );
    }
    // The other family is another address, whose failures are counted separately.
    let client = Client::connect(&gateway, Way { protocol: Protocol::H1, family: Family::V6 }).await.unwrap();
    assert_eq!(client.ask(tests::get(PING)).await.status, 401);
}

#[tokio::test]
async fn an_http_2_request_with_a_bad_authority_is_400() {
    let (gateway, key) = strict("").await;
    let bearer = key.bearer();
    let address = gateway.address(Protocol::H2c);
    for (what, pseudo, fields) in [
        ("none", &[][..], &[][..]),
        ("two that differ", &[(":authority", "localhost")], &[("host", "other.example")]),
        ("two hosts", &[], &[("host", "localhost"), ("host", "localhost")]),
        ("a path in it", &[(":authority", "local/host")], &[]),
        ("user and password", &[(":authority", "user:pass@localhost")], &[]),
    ] {
        let mut block = vec![0x86];
        let mut all = vec![(":method", "GET"), (":path", PING)];
        all.extend(pseudo);
        all.extend([("authorization", bearer.as_str())]);
        all.extend(fields);
        for (name, value) in all {
            tests::literal(&mut block, name, value);
        }
        let mut connection = RawH2::connect(address).await;
        connection.write(&frame(kind::HEADERS, 5, 1, &block)).await;
        let end = |frame: &tests::Frame| frame.stream == 1 || frame.kind == kind::GOAWAY;
        let first = connection.find(PATIENCE, end).await.unwrap_or_else(|| panic!("{what}: no answer"));
        // Refused by the library as a malformed request, or by the gateway with a 400.
        let refused = [kind::RST_STREAM, kind::GOAWAY].contains(&first.kind) || first.status() == Some(400);
        assert!(refused, "{what}: {first:?}");
    }
    let mut connection = RawH2::connect(address).await;
    let block = request_block("GET", PING, &[("authorization", &bearer), ("host", "localhost")]);
    connection.write(&frame(kind::HEADERS, 5, 1, &block)).await;
    assert_eq!(connection.status(1, PATIENCE).await, Some(200), "host may repeat the authority");
}
