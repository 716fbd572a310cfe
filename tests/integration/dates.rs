//! The lifecycle of dates: days in the configuration, announcements of an end, the end itself, and previews
//! of a newer date.

use std::time::Duration;

use http::{HeaderValue, Request};
use rustix::process::Signal;
use serde_json::{Value, json};
use tests::{Client, Family, Key, KeySpec, Protocol, Response, TestGateway, WAYS, eventually};

use crate::contract::{
    CONNECTION, PING, assert_ping_body, assert_problem, connect, published_on, versions_from,
};

/// Deprecated, with a sunset far in the future.
const DEPRECATED: &str = "[versions.2026-02-01]\ndeprecated = \"2026-03-01\"\nsunset = \"2199-01-01\"\n\
                          [versions.2026-11-01]\npublished = \"2026-03-01\"";
/// Retired.
const RETIRED: &str = "[versions.2026-02-01]\ndeprecated = \"2026-03-01\"\nsunset = \"2026-04-01\"\n\
                       [versions.2026-11-01]\npublished = \"2026-03-01\"";
/// Current.
const CURRENT: &str = "[versions.2026-11-01]\npublished = \"2026-03-01\"";

/// The headers that announce the end of a date.
fn deprecation_headers(answer: &Response) -> [Option<&str>; 3] {
    [answer.field("deprecation"), answer.field("sunset"), answer.field("link")]
}

/// The fields of a date that is deprecated since 2026-03-01; `successor` is the target of the last link.
fn expected_headers<'a>(sunset: &'a str, link: &'a str) -> [Option<&'a str>; 3] {
    [Some("@1772323200"), Some(sunset), Some(link)]
}

/// Where the gateway serves its documentation.
fn docs(gateway: &TestGateway) -> String {
    format!("http://{}", gateway.listener("docs", Family::V4).address)
}

fn link(docs: &str, successor: &str) -> String {
    format!(
        r#"<{docs}/2026-02-01>; rel="deprecation"; type="text/html", <{docs}/2026-02-01>; rel="sunset"; type="text/html", <{successor}>; rel="successor-version""#
    )
}

#[tokio::test]
async fn a_deprecated_date_responds_as_before_and_announces_its_end() {
    let gateway = TestGateway::start(DEPRECATED).await;
    let docs = docs(&gateway);
    let key = gateway.create_key(KeySpec::production()).await;
    for way in WAYS {
        let client = connect(&gateway, way).await;
        let sunset = "Tue, 01 Jan 2199 00:00:00 GMT";
        let answer = client.ask(key.get(PING)).await;
        assert_eq!(answer.status, 200, "{way}");
        assert_ping_body(&answer.text(), "production", way);
        assert_eq!(answer.field("api-version"), Some("2026-02-01"), "{way}");
        assert_eq!(
            deprecation_headers(&answer),
            expected_headers(sunset, &link(&docs, "/2026-11-01/ping.json")),
            "{way}"
        );
        // Without an endpoint, the link is to the page of the successor.
        let answer = client.ask(key.get("/2026-02-01/nowhere.json")).await;
        assert_problem(&answer, 404, way);
        assert_eq!(
            deprecation_headers(&answer),
            expected_headers(sunset, &link(&docs, &format!("{docs}/2026-11-01"))),
            "{way}"
        );
        let answer = client.ask(key.get("/2026-11-01/ping.json")).await;
        assert_eq!((answer.status.as_u16(), deprecation_headers(&answer)), (200, [None; 3]), "{way}");
    }
}

#[tokio::test]
async fn a_retired_date_is_gone_unless_the_key_is_forwarded() {
    let gateway = TestGateway::start(RETIRED).await;
    let docs = docs(&gateway);
    let key = gateway.create_key(KeySpec::production()).await;
    let forwarded = gateway.create_key(KeySpec::production().option("--on-retired", "forward")).await;
    for way in WAYS {
        let client = connect(&gateway, way).await;
        let answer = client.ask(key.get(CONNECTION)).await;
        let problem = assert_problem(&answer, 410, way);
        assert_eq!(problem["type"], format!("{docs}/errors/retired-version"), "{way}");
        assert_eq!(problem["detail"], "2026-02-01 is retired since 2026-04-01. Move to 2026-11-01.", "{way}");
        assert_eq!(problem["successorVersion"], "2026-11-01", "{way}");
        assert_eq!(problem["supportedVersions"], json!(versions_from("2026-11-01")), "{way}");
        assert_eq!(answer.field("api-version"), Some("2026-02-01"), "{way}");
        let [deprecation, sunset, _] = deprecation_headers(&answer);
        let expected = (Some("@1772323200"), Some("Wed, 01 Apr 2026 00:00:00 GMT"));
        assert_eq!((deprecation, sunset), expected, "{way}");

        let answer = client.ask(forwarded.get(CONNECTION)).await;
        assert_eq!(answer.status, 200, "{way}: {answer:?}");
        assert_eq!(answer.field("api-version"), Some("2026-11-01"), "{way}");
        assert_eq!(answer.field("api-version-requested"), Some("2026-02-01"), "{way}");
        assert_eq!(deprecation_headers(&answer), [None; 3], "{way}: the successor is not deprecated");
        let body = answer.json();
        assert_eq!(body["endpoint"]["apiVersion"], "2026-11-01", "{way}");
        assert!(body["roundTripTimeMs"].as_f64().is_some_and(|time| time > 0.0), "{way}: {body}");
        let direct = client.ask(forwarded.get("/2026-11-01/connection.json")).await;
        assert_eq!(direct.field("api-version-requested"), None, "{way}");
    }
}

#[tokio::test]
async fn days_are_applied_without_a_restart() {
    let mut gateway = TestGateway::start(CURRENT).await;
    let key = gateway.create_key(KeySpec::staging()).await;
    let client = Client::over(&gateway, Protocol::H2).await;
    let answer = client.ask(key.get(PING)).await;
    assert_eq!((answer.status.as_u16(), deprecation_headers(&answer)), (200, [None; 3]));
    for (overlay, status, sunset) in [
        (DEPRECATED, 200, Some("Tue, 01 Jan 2199 00:00:00 GMT")),
        (RETIRED, 410, Some("Wed, 01 Apr 2026 00:00:00 GMT")),
        (CURRENT, 200, None),
    ] {
        gateway.settings_mut().write_config(overlay);
        gateway.signal(Signal::HUP);
        let taken = eventually(Duration::from_secs(5), async || {
            let answer = client.ask(key.get(PING)).await;
            (answer.status.as_u16() == status && answer.field("sunset") == sunset).then_some(())
        });
        assert!(taken.await.is_some(), "{overlay}: {}", gateway.log());
    }
    // Days that contradict each other change nothing.
    gateway.settings_mut().write_config("[versions.2026-02-01]\nsunset = \"2026-04-01\"");
    gateway.signal(Signal::HUP);
    let logged = eventually(Duration::from_secs(5), async || gateway.log().contains("sunset").then_some(()));
    assert!(logged.await.is_some(), "{}", gateway.log());
    assert_eq!(client.ask(key.get(PING)).await.status, 200);
}

/// Sends a request with a preview of a newer date.
async fn preview(client: &Client, key: &Key, path: &str, wanted: &'static str) -> Response {
    let mut request: Request<_> = key.get(path);
    request.headers_mut().insert("api-version-preview", HeaderValue::from_static(wanted));
    client.ask(request).await
}

/// Removes the values that differ with every call.
fn without_times(mut body: Value) -> Value {
    let body = body.as_object_mut().expect("the body is an object");
    for member in ["roundTripTimeMs", "processingTimeMs"] {
        if let Some(time) = body.remove(member) {
            assert!(time.as_f64().is_some_and(|time| (0.0..5000.0).contains(&time)), "{member}: {time}");
        }
    }
    Value::Object(body.clone())
}

#[tokio::test]
async fn a_preview_patches_the_body_to_that_of_the_newer_date() {
    let gateway = TestGateway::start("").await;
    let key = gateway.create_key(KeySpec::staging()).await;
    for way in WAYS {
        let client = connect(&gateway, way).await;
        for resource in ["connection.json", "ping.json"] {
            let path = format!("/2026-02-01/{resource}");
            let plain = client.ask(key.get(&path)).await;
            let answer = preview(&client, &key, &path, "2026-11-01").await;
            assert_eq!(answer.status, 200, "{way}: {answer:?}");
            if resource == "ping.json" {
                assert_ping_body(&answer.text(), "staging", way);
            } else {
                assert_eq!(answer.text(), plain.text(), "{way}: the requested date's response is unchanged");
            }
            assert_eq!(answer.field("api-version"), Some("2026-02-01"), "{way}");
            assert_eq!(answer.field("api-version-preview"), Some("2026-11-01"), "{way}");
            assert_eq!(answer.field("api-version-preview-status"), Some("200"), "{way}");
            let patch = answer.field("api-version-preview-patch").expect("there is a patch");
            let patch: json_patch::Patch = serde_json::from_str(patch).expect("it is a JSON Patch");
            let mut body = answer.json();
            json_patch::patch(&mut body, &patch).expect("it applies to the body of the requested date");
            let newer = client.ask(key.get(&format!("/2026-11-01/{resource}"))).await.json();
            assert_eq!(without_times(body), without_times(newer), "{way} {resource}");
        }
        for wanted in ["2026-02-01", "2025-01-01", "tomorrow"] {
            // On a new connection: over HTTP/1.1, a 400 closes it.
            let client = connect(&gateway, way).await;
            let answer = preview(&client, &key, PING, wanted).await;
            let problem = assert_problem(&answer, 400, format!("{way}: {wanted}"));
            assert_eq!(problem["supportedVersions"], json!(versions_from("2026-11-01")), "{way}: {wanted}");
        }
    }
}

#[tokio::test]
async fn an_unknown_date_lists_those_that_the_key_may_use() {
    // Published far in the future: production keys do not see it.
    let gateway = TestGateway::start(&published_on("2199-01-01")).await;
    let staging = gateway.create_key(KeySpec::staging()).await;
    let production = gateway.create_key(KeySpec::production()).await;
    let (all, public) = (json!(versions_from("2026-02-01")), json!(["2026-02-01"]));
    for way in WAYS {
        let client = connect(&gateway, way).await;
        for path in ["/2020-01-01/ping.json", "/2026-02-30/ping.json", "/v1/ping.json", "/ping.json"] {
            for (key, dates) in [(&staging, &all), (&production, &public)] {
                let answer = client.ask(key.get(path)).await;
                let problem = assert_problem(&answer, 404, format!("{way} {path}"));
                assert_eq!(problem["supportedVersions"], *dates, "{way} {path}");
                assert_eq!(answer.field("api-version"), None, "{way} {path}");
            }
        }
        assert_eq!(client.ask(staging.get("/2026-11-01/ping.json")).await.status, 200, "{way}");
        let refused = client.ask(production.get("/2026-11-01/ping.json")).await;
        let problem = assert_problem(&refused, 404, way);
        assert_eq!(problem["supportedVersions"], public, "{way}");
    }
}
