//! Attacks over HTTP/3, sent by aioquic frame by frame; memory stays bounded and other clients are served.

use std::time::{Duration, Instant};

use serde_json::Value;
use tests::{Client, Key, KeySpec, PATIENCE, Protocol, TestGateway, client_script, eventually, tool};

use crate::contract::{PING, assert_problem_body};

const SHORT: &str = r#"
[timeouts]
handshake = "1s"
header = "1s"
idle = "2s"
body = "1s"
write = "1s"
[limits]
body_bytes_max = "256KiB"
"#;

/// The memory growth that a case may cause.
const GROWTH_MAX: u64 = 16 * 1024 * 1024;

async fn strict() -> (TestGateway, Key) {
    let gateway = TestGateway::start_with_test_endpoints(SHORT).await;
    let key = gateway.create_key(KeySpec::staging().option("--rate", "1000000/s")).await;
    // Memory that the first requests allocate permanently does not count.
    for protocol in [Protocol::H1, Protocol::H3] {
        let client = Client::over(&gateway, protocol).await;
        for _ in 0..20 {
            assert_eq!(client.ask(key.get(PING)).await.status, 200);
        }
    }
    (gateway, key)
}

/// Runs cases, each on a separate connection.
async fn run(gateway: &TestGateway, key: &Key, cases: &[&str]) -> Value {
    let mut arguments = vec![
        gateway.address(Protocol::H3).port().to_string(),
        gateway.ready().ca.display().to_string(),
        key.key.clone(),
    ];
    arguments.extend(cases.iter().map(|case| (*case).to_owned()));
    client_script(tool("py-aioquic/bin/python"), "hostile_h3.py", &arguments, Duration::from_secs(300)).await
}

/// Runs one case while a well-behaved client sends requests, and watches the server's memory.
async fn attacked(case: &str) -> Value {
    let _turn = tests::heavy().await;
    let (gateway, key) = strict().await;
    let before = gateway.memory_bytes();
    let mut most = before;
    let mut slowest = Duration::ZERO;
    let seen = {
        let names = [case];
        let mut attack = std::pin::pin!(run(&gateway, &key, &names));
        loop {
            tokio::select! {
                seen = &mut attack => break seen,
                () = tokio::time::sleep(Duration::from_millis(50)) => {}
            }
            most = most.max(gateway.memory_bytes());
            let asked = Instant::now();
            let client = Client::over(&gateway, Protocol::H3).await;
            assert_eq!(client.ask(key.get(PING)).await.status, 200, "{case}: another client is served");
            slowest = slowest.max(asked.elapsed());
        }
    };
    let grown = most - before;
    println!(
        "{case}: memory grew by {grown} bytes, the slowest answer to another client took {slowest:?}: {seen}"
    );
    assert!(grown < GROWTH_MAX, "{case}: memory grew by {grown} bytes");
    assert!(slowest < Duration::from_secs(2), "{case}: another client waited {slowest:?}");
    assert_alive(&gateway, &key, case).await;
    seen[case].clone()
}

/// Nothing panicked, and a new client is served.
async fn assert_alive(gateway: &TestGateway, key: &Key, what: &str) {
    assert!(gateway.status().is_none(), "{what}: the gateway ended: {}", gateway.log());
    assert!(!gateway.log().contains("panicked"), "{what}: {}", gateway.log());
    let client = Client::over(gateway, Protocol::H3).await;
    assert_eq!(client.ask(key.get(PING)).await.status, 200, "after {what}");
}

#[tokio::test]
async fn heads_that_declare_gigabytes_are_not_kept() {
    let seen = attacked("oversized_headers").await;
    assert_eq!(seen["closeCode"], 0x107, "H3_EXCESSIVE_LOAD: {seen}");
}

#[tokio::test]
async fn unknown_frames_that_declare_gigabytes_are_not_kept() {
    let seen = attacked("oversized_unknown").await;
    assert_eq!(seen["closeCode"], 0x107, "H3_EXCESSIVE_LOAD: {seen}");
}

#[tokio::test]
async fn content_without_end_on_many_streams_is_refused() {
    let seen = attacked("endless_data").await;
    let statuses = seen["statuses"].as_array().expect("a list");
    // Refused as too large, or as too slow if too many streams share the connection's window.
    assert!(statuses.iter().all(|status| status == 413 || status == 408), "{seen}");
}

#[tokio::test]
async fn tens_of_thousands_of_tiny_fields_do_no_harm() {
    let seen = attacked("many_fields").await;
    assert_eq!(seen["status"], 431, "{seen}");
    let body = seen["body"].as_str().expect("a text");
    assert_problem_body(body.as_bytes(), 431, seen["fields"]["x-request-id"].as_str(), "many fields");
}

#[tokio::test]
async fn fields_beyond_the_limit_get_a_problem() {
    let seen = attacked("large_fields").await;
    assert_eq!(seen["status"], 431, "{seen}");
    let body = seen["body"].as_str().expect("a text");
    assert_problem_body(body.as_bytes(), 431, seen["fields"]["x-request-id"].as_str(), "large fields");
}

#[tokio::test]
async fn incomplete_requests_time_out() {
    let seen = attacked("half_requests").await;
    let answers = seen["answers"].as_array().expect("a list");
    assert!(answers.iter().all(|answer| *answer != 200), "{seen}");
    let given_up = answers.iter().all(|answer| answer != "silent") || seen["closeCode"].is_u64();
    assert!(given_up, "neither the streams nor the connection ended: {seen}");
    assert!(seen["seconds"].as_f64().is_some_and(|seconds| seconds < 20.0), "{seen}");
}

#[tokio::test]
async fn a_flood_of_resets_is_bounded() {
    let seen = attacked("reset_flood").await;
    // The attack ran to its end, or the connection was closed for it.
    assert!(seen["sent"] == 5000 || seen["closeCode"].is_u64(), "{seen}");
}

#[tokio::test]
async fn silent_connections_are_closed_after_their_timeout() {
    let _turn = tests::heavy().await;
    let (gateway, key) = strict().await;
    let seen = run(&gateway, &key, &["silent", "idle"]).await;
    for case in ["silent", "idle"] {
        assert_eq!(seen[case]["closed"], true, "{case}: {seen}");
        assert_eq!(seen[case]["closeCode"], 0x100, "{case}: H3_NO_ERROR: {seen}");
        assert!(seen[case]["seconds"].as_f64().is_some_and(|seconds| seconds < 10.0), "{case}: {seen}");
    }
    assert_eq!(seen["idle"]["status"], 200);
}

#[tokio::test]
async fn forbidden_frames_and_streams_close_the_connection_with_the_rfcs_code() {
    let (gateway, key) = strict().await;
    const UNEXPECTED: u64 = 0x105;
    const FRAME_ERROR: u64 = 0x106;
    const ID_ERROR: u64 = 0x108;
    const SETTINGS_ERROR: u64 = 0x109;
    const MISSING_SETTINGS: u64 = 0x10a;
    let expected: &[(&str, &[u64])] = &[
        ("data_first", &[UNEXPECTED]),
        ("settings_on_request", &[UNEXPECTED]),
        ("push_promise_on_request", &[UNEXPECTED, 0x108]),
        ("push_promise_behind_head", &[UNEXPECTED]),
        ("push_promise_behind_content", &[UNEXPECTED]),
        ("http2_priority", &[UNEXPECTED]),
        ("http2_ping", &[UNEXPECTED]),
        ("http2_window_update", &[UNEXPECTED]),
        ("http2_continuation", &[UNEXPECTED]),
        ("settings_behind_head", &[UNEXPECTED]),
        ("qpack_bad_index", &[0x200]),
        ("qpack_dynamic", &[0x200]),
        ("qpack_cut", &[0x200]),
        ("data_behind_trailers", &[UNEXPECTED]),
        ("trailers_behind_trailers", &[UNEXPECTED]),
        ("goaway_behind_content", &[UNEXPECTED]),
        ("content_cut", &[0x106]),
        ("content_cut_in_ping", &[FRAME_ERROR]),
        ("content_cut_in_echo", &[FRAME_ERROR]),
        ("head_cut_behind_unknown", &[FRAME_ERROR]),
        ("unknown_frame_cut", &[FRAME_ERROR]),
        ("frame_cut", &[0x106]),
        ("trailers_undecodable", &[0x200]),
        ("second_settings", &[UNEXPECTED]),
        ("max_push_id_decreases", &[ID_ERROR]),
        ("max_push_id_decreases_in_pieces", &[ID_ERROR]),
        ("max_push_id_with_more", &[FRAME_ERROR]),
        ("max_push_id_empty", &[FRAME_ERROR]),
        ("max_push_id_cut", &[FRAME_ERROR]),
        ("goaway_with_more", &[FRAME_ERROR]),
        ("goaway_with_more_in_pieces", &[FRAME_ERROR]),
        ("goaway_empty", &[FRAME_ERROR]),
        ("goaway_increases", &[ID_ERROR]),
        ("cancel_push_unpromised", &[ID_ERROR]),
        ("cancel_push_beyond_maximum", &[ID_ERROR]),
        ("cancel_push_with_more", &[FRAME_ERROR]),
        ("push_promise_on_control", &[UNEXPECTED]),
        ("http2_ping_on_control", &[UNEXPECTED]),
        ("settings_missing", &[MISSING_SETTINGS]),
        ("settings_behind_unknown", &[MISSING_SETTINGS]),
        ("settings_of_http2", &[SETTINGS_ERROR]),
        ("settings_twice_the_same", &[SETTINGS_ERROR]),
        ("settings_cut", &[FRAME_ERROR]),
        ("oversized_on_control", &[0x107]),
        ("data_on_control", &[UNEXPECTED]),
        ("headers_on_control", &[UNEXPECTED]),
        ("control_closed", &[0x104]),
        ("second_control", &[0x103]),
        ("second_encoder", &[0x103]),
        ("second_decoder", &[0x103]),
        ("push_stream", &[0x103]),
        ("encoder_closed", &[0x104]),
        ("decoder_closed", &[0x104]),
        ("encoder_capacity", &[0x201]),
        ("encoder_insert", &[0x201]),
        ("decoder_acknowledges", &[0x202]),
        ("decoder_counts", &[0x202]),
    ];
    let names: Vec<_> = expected.iter().map(|(name, _)| *name).collect();
    let seen = run(&gateway, &key, &names).await;
    let wrong = expected.iter().filter(|(name, codes)| {
        let code = seen[name]["closeCode"].as_u64();
        seen[name]["status"] == 200 || !code.is_some_and(|code| codes.contains(&code))
    });
    let wrong: Vec<_> = wrong.map(|(name, codes)| (name, codes, &seen[name])).collect();
    assert!(wrong.is_empty(), "name, the codes allowed, what came: {wrong:#?}");
    assert_alive(&gateway, &key, "forbidden frames").await;
}

#[tokio::test]
async fn frames_and_streams_that_must_be_ignored_are() {
    let (gateway, key) = strict().await;
    let served = [
        "unknown_behind_head",
        "good",
        "trailers",
        "content_between_unknown",
        "encoder_says_zero",
        "decoder_cancels",
    ];
    let silent = ["unknown_stream", "unknown_on_control", "max_push_id_grows", "stream_without_type"];
    let seen = run(&gateway, &key, &[&served[..], &silent].concat()).await;
    for name in served {
        assert_eq!(seen[name]["status"], 200, "{name}: {seen}");
    }
    for name in silent {
        // The case waits for longer than the idle timeout, so it sees an orderly close.
        assert!(seen[name]["closeCode"] == 0x100 || seen[name]["closeCode"].is_null(), "{name}: {seen}");
    }
}

#[tokio::test]
async fn malformed_requests_get_a_problem() {
    // RFC 9114 §4.1.2, §4.2 and §4.3.
    let (gateway, key) = strict().await;
    let names = [
        "no_method",
        "no_path",
        "empty_path",
        "path_without_slash",
        "unknown_pseudo",
        "upper_case",
        "line_break_in_value",
        "nul_in_value",
        "line_break_in_path",
        "blank_in_method",
        "no_authority",
        "host_differs",
        "two_hosts",
        "authority_with_path",
        "authority_with_user",
        "connect",
        "two_paths",
        "two_methods",
        "two_schemes",
        "two_authorities",
        "protocol",
        "pseudo_behind_fields",
        "status",
        "fragment",
        "empty_fragment",
        "connection",
        "keep_alive",
        "proxy_connection",
        "transfer_encoding",
        "upgrade",
        "te_gzip",
        "length_without_content",
        "length_too_long",
        "length_too_short",
        "length_zero",
        "length_no_number",
        "two_lengths",
        "same_length_twice",
        "pseudo_in_trailers",
        "upper_case_in_trailers",
    ];
    let seen = run(&gateway, &key, &names).await;
    for name in names {
        assert_eq!(seen[name]["status"], 400, "{name}: {}", seen[name]);
        let body = seen[name]["body"].as_str().expect("a text");
        assert_problem_body(body.as_bytes(), 400, seen[name]["fields"]["x-request-id"].as_str(), name);
    }
    assert_alive(&gateway, &key, "malformed heads").await;
}

#[tokio::test]
async fn unusual_but_valid_requests_are_served() {
    let (gateway, key) = strict().await;
    let names = ["host_alone", "host_repeats", "te_trailers", "length_right"];
    let seen = run(&gateway, &key, &names).await;
    for name in names {
        assert_eq!(seen[name]["status"], 200, "{name}: {}", seen[name]);
    }
}

#[tokio::test]
async fn a_stream_without_a_head_is_never_served() {
    let (gateway, key) = strict().await;
    let seen = run(&gateway, &key, &["empty_headers", "empty_stream"]).await;
    // A field section without its prefix is not QPACK.
    assert_eq!(seen["empty_headers"]["closeCode"], 0x200, "{seen}");
    assert_eq!(seen["empty_stream"]["status"], "reset", "{seen}");
    assert_alive(&gateway, &key, "streams without heads").await;
}

/// The access log's lines of requests over HTTP/3 with this status.
fn logged(gateway: &TestGateway, status: u64) -> usize {
    let lines = gateway.log_lines();
    lines.iter().filter(|line| line["status"] == status && line["protocol"] == "HTTP3").count()
}

#[tokio::test]
async fn a_malformed_head_gets_a_response_and_its_connection_stays_open() {
    let (gateway, key) = strict().await;
    let seen = run(&gateway, &key, &["oversized_once", "longest_target", "late_head"]).await;
    for (name, status) in [("oversized_once", 431), ("longest_target", 414), ("late_head", 408)] {
        let seen = &seen[name];
        assert_eq!(seen["status"], status, "{name}: {seen}");
        let body = seen["body"].as_str().expect("a text");
        assert_problem_body(body.as_bytes(), status, seen["fields"]["x-request-id"].as_str(), name);
        assert_eq!(seen["statusAfter"], 200, "{name}: {seen}");
        // A line is written a moment after its response.
        let logged = eventually(PATIENCE, async || (logged(&gateway, status.into()) == 1).then_some(()));
        assert!(logged.await.is_some(), "{name}: {}", gateway.log());
    }
}

#[tokio::test]
async fn a_flood_of_incomplete_heads_closes_the_connection() {
    let seen = attacked("lost_heads").await;
    assert_eq!(seen["closeCode"], 0x107, "H3_EXCESSIVE_LOAD: {seen}");
    // Normal clients cancel requests now and then.
    assert!(seen["sent"].as_u64().is_some_and(|sent| sent >= 200), "{seen}");
}

#[tokio::test]
async fn a_client_that_sends_goaway_still_gets_its_responses() {
    let (gateway, key) = strict().await;
    for (name, answers) in [("goaway_with_request", 1), ("goaway_behind_request", 9)] {
        let seen = run(&gateway, &key, &[name]).await;
        let seen = &seen[name];
        assert_eq!(seen["answers"], serde_json::json!(vec![200; answers]), "{seen}");
        assert_eq!(seen["closeCode"], 0x100, "H3_NO_ERROR: {seen}");
    }
}

#[tokio::test]
async fn requests_up_to_the_goaway_are_served() {
    let (gateway, key) = strict().await;
    let seen = run(&gateway, &key, &["goaway_and_on"]).await;
    let seen = &seen["goaway_and_on"];
    let answers = seen["answers"].as_array().expect("a list");
    let refused_from = seen["refusedFrom"].as_u64().expect("GOAWAY was sent");
    let refused_from = usize::try_from(refused_from).expect("a small number");
    // Those that were in flight, and a few more.
    assert!((2..answers.len()).contains(&refused_from), "{seen}");
    let (answered, refused) = answers.split_at(refused_from);
    assert!(answered.iter().all(|status| *status == 200), "{seen}");
    assert!(refused.iter().all(|status| status == "reset"), "{seen}");
    assert_eq!(seen["resetCodes"], serde_json::json!([0x10b]), "H3_REQUEST_REJECTED: {seen}");
}

#[tokio::test]
async fn a_third_party_client_migrates() {
    let (gateway, key) = strict().await;
    let seen = run(&gateway, &key, &["migrating"]).await;
    let statuses = seen["migrating"]["statuses"].as_array().expect("a list");
    assert_eq!(statuses.len(), 16, "{seen}");
    assert!(statuses.iter().all(|status| *status == 200), "{seen}");
}
