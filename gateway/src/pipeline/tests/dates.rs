//! Tests of the lifecycle of dates, at the second before and after each boundary.

use jiff::civil::date;
use permissions::OnRetired;
use versions::{Change, RELEASES};

use super::*;

const ANSWERS: Route = Route::native::<Client>();

endpoint!(Writes, "/writes.json", _context => Ok("written".to_owned()));
endpoint!(Renamed, "/renamed.json", context => Ok(format!("\u{e9} {}", context.version)));

impl Change for Renamed {
    type Before = Client;
    const NOTE: &'static str = "`client.json` became `renamed.json`.";

    fn up(request: Empty) -> Result<Empty, Error> {
        Ok(request)
    }

    fn down(_: &Context<'_>, response: String) -> String {
        response
    }
}

const OLD: Release = Release {
    added: &[ANSWERS, Route::native::<Writes>()],
    ..Release::new(
        Version::new(2026, 1, 1),
        "Tests.",
        Lifecycle {
            published: Some(date(2026, 1, 1)),
            deprecated: Some(date(2026, 6, 1)),
            sunset: Some(date(2026, 12, 1)),
        },
    )
};
const NEW: Release = Release {
    changed: &[Route::changed::<Renamed>()],
    ..Release::new(Version::new(2026, 6, 1), "Tests.", Lifecycle::published(2026, 6, 1))
};
const NEXT: Release = Release::new(Version::new(2027, 1, 1), "Tests.", Lifecycle::preview());

struct Fixture {
    pipeline: &'static Pipeline,
    clock: Arc<ManualClock>,
    staging: String,
    production: String,
    forwarding: String,
    /// The connection of all requests.
    connection: CachedConnection,
}

fn fixture(releases: &[Release]) -> Fixture {
    let mut config = Config::load(&Sources::default()).unwrap();
    config.api.docs_url = "/docs".to_owned();
    let secret = ServerSecret::new([3; 32]);
    let catalog = Catalog::new(releases).unwrap();
    let clock = Arc::new(ManualClock::new("2026-05-31T23:59:59Z".parse().unwrap()));
    let frontend = frontend(Box::new(Arc::clone(&clock)));
    let pipeline = Pipeline::new(&config, Vec::new(), catalog, secret.clone(), frontend);
    let add = |environment, on_retired| {
        let (mut key, text) = key(&secret, &config.api.brand, environment, Timestamp::UNIX_EPOCH);
        key.record.on_retired = on_retired;
        pipeline.keys().apply(&key, Timestamp::UNIX_EPOCH);
        text
    };
    let staging = add(Environment::Staging, OnRetired::Refuse);
    let production = add(Environment::Production, OnRetired::Refuse);
    let forwarding = add(Environment::Production, OnRetired::Forward);
    let pipeline = Box::leak(Box::new(pipeline));
    Fixture { pipeline, clock, staging, production, forwarding, connection: connection() }
}

impl Fixture {
    fn at(&self, moment: &str) -> &Self {
        self.clock.set(moment.parse().unwrap());
        self
    }

    fn get(&self, path: &str, key: &str) -> (Response<()>, String) {
        let request = Request::get(path).header(header::AUTHORIZATION, key);
        ask(self.pipeline, &self.connection, request)
    }

    fn preview(&self, path: &str, key: &str, wanted: &str) -> (Response<()>, String) {
        let request = Request::get(path).header(header::AUTHORIZATION, key);
        ask(self.pipeline, &self.connection, request.header("api-version-preview", wanted))
    }
}

fn field<'a>(head: &'a Response<()>, name: &str) -> Option<&'a str> {
    head.headers().get(name).map(|value| value.to_str().unwrap())
}

fn deprecation(head: &Response<()>) -> [Option<&str>; 3] {
    [field(head, "deprecation"), field(head, "sunset"), field(head, "link")]
}

#[test]
fn every_response_announces_the_end_from_the_deprecation_on() {
    let fixture = fixture(&[OLD, NEW]);
    let calls = [
        ("/2026-01-01/client.json", &*fixture.production, 200),
        ("/2026-01-01/nowhere.json", &*fixture.production, 404),
    ];
    for (path, key, status) in calls {
        let (head, _) = fixture.at("2026-05-31T23:59:59.999Z").get(path, key);
        assert_eq!((head.status().as_u16(), deprecation(&head)), (status, [None; 3]), "{path}");
    }
    for (path, key, status) in calls {
        let (head, _) = fixture.at("2026-06-01T00:00:00Z").get(path, key);
        let links = r#"</docs/2026-01-01>; rel="deprecation"; type="text/html", </docs/2026-01-01>; rel="sunset"; type="text/html", </docs/2026-06-01>; rel="successor-version""#;
        let reported = [Some("@1780272000"), Some("Tue, 01 Dec 2026 00:00:00 GMT"), Some(links)];
        assert_eq!((head.status().as_u16(), deprecation(&head)), (status, reported), "{path}");
        assert_eq!(field(&head, "api-version"), Some("2026-01-01"));
    }
    // Without a key, nothing reveals which dates exist.
    let (head, _) = fixture.get("/2026-01-01/client.json", "Bearer nobody");
    assert_eq!(
        (head.status().as_u16(), deprecation(&head), field(&head, "api-version")),
        (401, [None; 3], None)
    );
    // The same path at the successor, if it exists there.
    let (head, _) = fixture.get("/2026-01-01/writes.json", &fixture.production);
    assert!(field(&head, "link").unwrap().ends_with(r#"</2026-06-01/writes.json>; rel="successor-version""#));
    let (head, _) = fixture.get("/2026-06-01/renamed.json", &fixture.production);
    assert_eq!((head.status(), deprecation(&head)), (StatusCode::OK, [None; 3]), "the newer one goes on");
}

#[test]
fn from_its_sunset_on_a_date_is_gone_and_names_its_successor() {
    let fixture = fixture(&[OLD, NEW]);
    let (head, _) =
        fixture.at("2026-11-30T23:59:59.999Z").get("/2026-01-01/client.json", &fixture.production);
    assert_eq!(head.status(), StatusCode::OK);
    let (head, body) = fixture.at("2026-12-01T00:00:00Z").get("/2026-01-01/client.json", &fixture.production);
    assert_eq!(head.status(), StatusCode::GONE);
    assert_eq!(field(&head, "sunset"), Some("Tue, 01 Dec 2026 00:00:00 GMT"));
    let problem: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(problem["type"], "/docs/errors/retired-version");
    assert_eq!(problem["detail"], "2026-01-01 is retired since 2026-12-01. Move to 2026-06-01.");
    assert_eq!(problem["successorVersion"], "2026-06-01");
    assert_eq!(problem["supportedVersions"], serde_json::json!(["2026-06-01"]));
    // Not without a key.
    let (head, _) = fixture.get("/2026-01-01/client.json", "Bearer nobody");
    assert_eq!(head.status(), StatusCode::UNAUTHORIZED);
}

#[test]
fn states_are_checked_with_each_request_of_a_connection() {
    let fixture = fixture(&[OLD, NEW]);
    let (before, after) = ("2026-11-30T23:59:59Z", "2026-12-01T00:00:00Z");
    for (moment, key, status) in [
        (before, &fixture.forwarding, 200),
        (before, &fixture.forwarding, 200),
        (after, &fixture.forwarding, 404),
        (after, &fixture.production, 410),
        (before, &fixture.production, 200),
    ] {
        let (head, _) = fixture.at(moment).get("/2026-01-01/client.json", key);
        assert_eq!(head.status().as_u16(), status, "{moment}");
    }
}

#[test]
fn only_a_key_with_on_retired_forward_is_served_by_the_successor() {
    let fixture = fixture(&[OLD, NEW]);
    let path = "/2026-01-01/writes.json";
    let (head, _) = fixture.at("2026-11-30T23:59:59Z").get(path, &fixture.forwarding);
    assert_eq!(
        (field(&head, "api-version"), field(&head, "api-version-requested")),
        (Some("2026-01-01"), None)
    );
    let (head, body) = fixture.at("2026-12-01T00:00:00Z").get(path, &fixture.forwarding);
    assert_eq!((head.status(), body.as_str()), (StatusCode::OK, r#""written""#));
    assert_eq!(field(&head, "api-version"), Some("2026-06-01"));
    assert_eq!(field(&head, "api-version-requested"), Some("2026-01-01"));
    assert_eq!(deprecation(&head), [None; 3], "what is said is said of the version that answers");
    // An endpoint that the successor does not have is a 404.
    let (head, _) = fixture.get("/2026-01-01/client.json", &fixture.forwarding);
    assert_eq!(head.status(), StatusCode::NOT_FOUND);
    assert_eq!(field(&head, "api-version-requested"), Some("2026-01-01"));
    assert_eq!(fixture.get(path, &fixture.production).0.status(), StatusCode::GONE);
}

#[test]
fn a_preview_version_is_open_to_staging_keys_only() {
    let fixture = fixture(&[OLD, NEW, NEXT]);
    let (head, _) = fixture.get("/2027-01-01/renamed.json", &fixture.staging);
    assert_eq!(head.status(), StatusCode::OK);
    let (head, body) =
        fixture.at("2026-06-01T00:00:00Z").get("/2027-01-01/renamed.json", &fixture.production);
    assert_eq!(head.status(), StatusCode::NOT_FOUND);
    let problem: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(problem["supportedVersions"], serde_json::json!(["2026-01-01", "2026-06-01"]));
    assert_eq!(field(&head, "api-version"), None, "it is not said that there is one");
    // Open to every key from its publication.
    let (head, _) = fixture.at("2026-05-31T23:59:59Z").get("/2026-06-01/renamed.json", &fixture.production);
    assert_eq!(head.status(), StatusCode::NOT_FOUND);
    let (head, _) = fixture.at("2026-06-01T00:00:00Z").get("/2026-06-01/renamed.json", &fixture.production);
    assert_eq!(head.status(), StatusCode::OK);
}

#[test]
fn a_clock_that_is_set_back_revives_a_retired_date() {
    let fixture = fixture(&[OLD, NEW]);
    let status = |moment| fixture.at(moment).get("/2026-01-01/client.json", &fixture.production).0.status();
    assert_eq!(status("2026-12-01T00:00:00Z"), StatusCode::GONE);
    assert_eq!(status("2026-11-30T23:59:59Z"), StatusCode::OK);
    fixture.clock.advance(Duration::from_secs(1));
    let (head, _) = fixture.get("/2026-01-01/client.json", &fixture.production);
    assert_eq!(head.status(), StatusCode::GONE);
}

#[test]
fn a_label_is_served_beside_the_dates() {
    const LABEL: Release = Release {
        added: &[ANSWERS],
        ..Release::new(Version::label("v1"), "Older than dates.", Lifecycle::published(2020, 1, 1))
    };
    let fixture = fixture(&[LABEL, OLD]);
    let (head, body) = fixture.get("/v1/client.json", &fixture.production);
    assert_eq!((head.status(), body.as_str()), (StatusCode::OK, r#""127.0.0.1""#));
    assert_eq!(field(&head, "api-version"), Some("v1"));
    let (head, body) = fixture.get("/v2/client.json", &fixture.production);
    assert_eq!(head.status(), StatusCode::NOT_FOUND);
    let problem: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(problem["supportedVersions"], serde_json::json!(["v1", "2026-01-01"]));
    let (head, _) = fixture.get("/v1/client.json", "Bearer nobody");
    assert_eq!(head.status(), StatusCode::UNAUTHORIZED);
}

#[test]
fn an_unknown_date_lists_the_dates_of_the_key() {
    let fixture = fixture(&[OLD, NEW, NEXT]);
    for path in ["/2026-1-1/client.json", "/2026-02-30/client.json", "/２０２６-01-01/client.json", "/v1/x"]
    {
        let Ok(uri) = path.parse::<http::Uri>() else { continue };
        for (key, dates) in [
            (&fixture.production, &["2026-01-01"][..]),
            (&fixture.staging, &["2026-01-01", "2026-06-01", "2027-01-01"]),
        ] {
            let (head, body) = fixture.get(uri.path(), key);
            assert_eq!(head.status(), StatusCode::NOT_FOUND, "{path}");
            let problem: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(problem["supportedVersions"], serde_json::json!(dates), "{path}");
        }
    }
}

#[test]
fn a_newer_date_is_previewed_with_the_response_of_the_requested_one() {
    let pipeline = fixture(RELEASES);
    pipeline.at("2026-11-22T12:00:00Z");
    let path = "/2026-02-01/connection.json";
    let (plain, body) = pipeline.get(path, &pipeline.production);
    assert_eq!(field(&plain, "api-version-preview"), None);
    let (head, previewed) = pipeline.preview(path, &pipeline.production, "2026-11-01");
    assert_eq!(
        (head.status(), &previewed),
        (StatusCode::OK, &body),
        "the requested date's response is unchanged"
    );
    assert_eq!(field(&head, "api-version"), Some("2026-02-01"));
    assert_eq!(field(&head, "api-version-preview"), Some("2026-11-01"));
    assert_eq!(field(&head, "api-version-preview-status"), Some("200"));
    let patch: json_patch::Patch =
        serde_json::from_str(field(&head, "api-version-preview-patch").unwrap()).unwrap();
    let mut document: Value = serde_json::from_str(&body).unwrap();
    json_patch::patch(&mut document, &patch).unwrap();
    let (_, newer) = pipeline.get("/2026-11-01/connection.json", &pipeline.production);
    assert_eq!(document, serde_json::from_str::<Value>(&newer).unwrap());
}

#[test]
fn a_preview_without_a_patch_has_the_reason() {
    let fixture = fixture(&[OLD, NEW, NEXT]);
    fixture.at("2026-06-01T00:00:00Z");
    let preview = |path: &str, key: &str, wanted: &str| {
        let (head, body) = fixture.preview(path, key, wanted);
        let reported = ["-status", "-omitted", "-patch"]
            .map(|name| field(&head, &format!("api-version-preview{name}")).map(str::to_owned));
        (head.status().as_u16(), reported, body)
    };
    let (status, reported, _) = preview("/2026-01-01/writes.json", &fixture.production, "2026-06-01");
    assert_eq!((status, reported), (200, [None, Some("not-safe".to_owned()), None]));
    let (status, reported, _) = preview("/2026-01-01/client.json", &fixture.production, "2026-06-01");
    assert_eq!((status, reported), (200, [Some("404".to_owned()), None, None]));
    for (key, wanted) in [
        (&fixture.production, "2026-01-01"),
        (&fixture.production, "2025-01-01"),
        (&fixture.production, "2027-01-01"),
        (&fixture.production, "tomorrow"),
        (&fixture.staging, ""),
    ] {
        let (status, reported, body) = preview("/2026-01-01/client.json", key, wanted);
        assert_eq!((status, reported), (400, [None, None, None]), "{wanted}");
        assert!(body.contains("`api-version-preview` names one version"), "{body}");
    }
    let (status, _, _) = preview("/2026-01-01/client.json", &fixture.staging, "2027-01-01");
    assert_eq!(status, 200, "a preview may be previewed by keys of staging");
}
