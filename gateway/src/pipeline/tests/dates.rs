//! The life of dates on the path, at the second before and after each boundary.

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

struct World {
    pipeline: &'static Pipeline,
    clock: Arc<ManualClock>,
    staging: String,
    production: String,
    forwarding: String,
    /// All requests come by one connection.
    connection: Connection,
}

fn world(releases: &[Release]) -> World {
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
    World { pipeline, clock, staging, production, forwarding, connection: connection() }
}

impl World {
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
    let world = world(&[OLD, NEW]);
    let calls = [
        ("/2026-01-01/client.json", &*world.production, 200),
        ("/2026-01-01/nowhere.json", &*world.production, 404),
    ];
    for (path, key, status) in calls {
        let (head, _) = world.at("2026-05-31T23:59:59.999Z").get(path, key);
        assert_eq!((head.status().as_u16(), deprecation(&head)), (status, [None; 3]), "{path}");
    }
    for (path, key, status) in calls {
        let (head, _) = world.at("2026-06-01T00:00:00Z").get(path, key);
        let links = r#"</docs/2026-01-01>; rel="deprecation"; type="text/html", </docs/2026-01-01>; rel="sunset"; type="text/html", </docs/2026-06-01>; rel="successor-version""#;
        let told = [Some("@1780272000"), Some("Tue, 01 Dec 2026 00:00:00 GMT"), Some(links)];
        assert_eq!((head.status().as_u16(), deprecation(&head)), (status, told), "{path}");
        assert_eq!(field(&head, "api-version"), Some("2026-01-01"));
    }
    // Without a key, nobody learns which dates there are.
    let (head, _) = world.get("/2026-01-01/client.json", "Bearer nobody");
    assert_eq!(
        (head.status().as_u16(), deprecation(&head), field(&head, "api-version")),
        (401, [None; 3], None)
    );
    // The same path at the successor, where it answers there.
    let (head, _) = world.get("/2026-01-01/writes.json", &world.production);
    assert!(field(&head, "link").unwrap().ends_with(r#"</2026-06-01/writes.json>; rel="successor-version""#));
    let (head, _) = world.get("/2026-06-01/renamed.json", &world.production);
    assert_eq!((head.status(), deprecation(&head)), (StatusCode::OK, [None; 3]), "the newer one goes on");
}

#[test]
fn from_its_sunset_on_a_date_is_gone_and_says_where_to_go() {
    let world = world(&[OLD, NEW]);
    let (head, _) = world.at("2026-11-30T23:59:59.999Z").get("/2026-01-01/client.json", &world.production);
    assert_eq!(head.status(), StatusCode::OK);
    let (head, body) = world.at("2026-12-01T00:00:00Z").get("/2026-01-01/client.json", &world.production);
    assert_eq!(head.status(), StatusCode::GONE);
    assert_eq!(field(&head, "sunset"), Some("Tue, 01 Dec 2026 00:00:00 GMT"));
    let problem: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(problem["type"], "/docs/errors/retired-version");
    assert_eq!(problem["detail"], "2026-01-01 is retired since 2026-12-01. Move to 2026-06-01.");
    assert_eq!(problem["successorVersion"], "2026-06-01");
    assert_eq!(problem["supportedVersions"], serde_json::json!(["2026-06-01"]));
    // Nobody learns that without a key.
    let (head, _) = world.get("/2026-01-01/client.json", "Bearer nobody");
    assert_eq!(head.status(), StatusCode::UNAUTHORIZED);
}

#[test]
fn dates_are_judged_anew_with_each_request_of_a_connection() {
    let world = world(&[OLD, NEW]);
    let (before, after) = ("2026-11-30T23:59:59Z", "2026-12-01T00:00:00Z");
    for (moment, key, status) in [
        (before, &world.forwarding, 200),
        (before, &world.forwarding, 200),
        (after, &world.forwarding, 404),
        (after, &world.production, 410),
        (before, &world.production, 200),
    ] {
        let (head, _) = world.at(moment).get("/2026-01-01/client.json", key);
        assert_eq!(head.status().as_u16(), status, "{moment}");
    }
}

#[test]
fn only_a_key_that_chose_so_is_answered_by_the_successor() {
    let world = world(&[OLD, NEW]);
    let path = "/2026-01-01/writes.json";
    let (head, _) = world.at("2026-11-30T23:59:59Z").get(path, &world.forwarding);
    assert_eq!(
        (field(&head, "api-version"), field(&head, "api-version-requested")),
        (Some("2026-01-01"), None)
    );
    let (head, body) = world.at("2026-12-01T00:00:00Z").get(path, &world.forwarding);
    assert_eq!((head.status(), body.as_str()), (StatusCode::OK, r#""written""#));
    assert_eq!(field(&head, "api-version"), Some("2026-06-01"));
    assert_eq!(field(&head, "api-version-requested"), Some("2026-01-01"));
    assert_eq!(deprecation(&head), [None; 3], "what is said is said of the version that answers");
    // What the successor does not have, is not there.
    let (head, _) = world.get("/2026-01-01/client.json", &world.forwarding);
    assert_eq!(head.status(), StatusCode::NOT_FOUND);
    assert_eq!(field(&head, "api-version-requested"), Some("2026-01-01"));
    assert_eq!(world.get(path, &world.production).0.status(), StatusCode::GONE);
}

#[test]
fn a_preview_answers_keys_of_staging_only() {
    let world = world(&[OLD, NEW, NEXT]);
    let (head, _) = world.get("/2027-01-01/renamed.json", &world.staging);
    assert_eq!(head.status(), StatusCode::OK);
    let (head, body) = world.at("2026-06-01T00:00:00Z").get("/2027-01-01/renamed.json", &world.production);
    assert_eq!(head.status(), StatusCode::NOT_FOUND);
    let problem: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(problem["supportedVersions"], serde_json::json!(["2026-01-01", "2026-06-01"]));
    assert_eq!(field(&head, "api-version"), None, "it is not said that there is one");
    // Published on its day, for everybody.
    let (head, _) = world.at("2026-05-31T23:59:59Z").get("/2026-06-01/renamed.json", &world.production);
    assert_eq!(head.status(), StatusCode::NOT_FOUND);
    let (head, _) = world.at("2026-06-01T00:00:00Z").get("/2026-06-01/renamed.json", &world.production);
    assert_eq!(head.status(), StatusCode::OK);
}

#[test]
fn a_clock_that_is_set_back_brings_the_date_back() {
    let world = world(&[OLD, NEW]);
    let status = |moment| world.at(moment).get("/2026-01-01/client.json", &world.production).0.status();
    assert_eq!(status("2026-12-01T00:00:00Z"), StatusCode::GONE);
    assert_eq!(status("2026-11-30T23:59:59Z"), StatusCode::OK);
    world.clock.advance(Duration::from_secs(1));
    let (head, _) = world.get("/2026-01-01/client.json", &world.production);
    assert_eq!(head.status(), StatusCode::GONE);
}

#[test]
fn a_label_answers_beside_the_dates() {
    const LABEL: Release = Release {
        added: &[ANSWERS],
        ..Release::new(Version::label("v1"), "Older than dates.", Lifecycle::published(2020, 1, 1))
    };
    let world = world(&[LABEL, OLD]);
    let (head, body) = world.get("/v1/client.json", &world.production);
    assert_eq!((head.status(), body.as_str()), (StatusCode::OK, r#""127.0.0.1""#));
    assert_eq!(field(&head, "api-version"), Some("v1"));
    let (head, body) = world.get("/v2/client.json", &world.production);
    assert_eq!(head.status(), StatusCode::NOT_FOUND);
    let problem: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(problem["supportedVersions"], serde_json::json!(["v1", "2026-01-01"]));
    let (head, _) = world.get("/v1/client.json", "Bearer nobody");
    assert_eq!(head.status(), StatusCode::UNAUTHORIZED);
}

#[test]
fn an_unknown_date_lists_the_dates_of_the_key() {
    let world = world(&[OLD, NEW, NEXT]);
    for path in ["/2026-1-1/client.json", "/2026-02-30/client.json", "/２０２６-01-01/client.json", "/v1/x"]
    {
        let Ok(uri) = path.parse::<http::Uri>() else { continue };
        for (key, dates) in [
            (&world.production, &["2026-01-01"][..]),
            (&world.staging, &["2026-01-01", "2026-06-01", "2027-01-01"]),
        ] {
            let (head, body) = world.get(uri.path(), key);
            assert_eq!(head.status(), StatusCode::NOT_FOUND, "{path}");
            let problem: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(problem["supportedVersions"], serde_json::json!(dates), "{path}");
        }
    }
}

#[test]
fn a_newer_date_is_previewed_beside_the_own_answer() {
    let pipeline = world(RELEASES);
    pipeline.at("2026-11-22T12:00:00Z");
    let path = "/2026-02-01/connection.json";
    let (plain, body) = pipeline.get(path, &pipeline.production);
    assert_eq!(field(&plain, "api-version-preview"), None);
    let (head, previewed) = pipeline.preview(path, &pipeline.production, "2026-11-01");
    assert_eq!((head.status(), &previewed), (StatusCode::OK, &body), "the own answer is unchanged");
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
fn a_preview_says_why_there_is_no_patch() {
    let world = world(&[OLD, NEW, NEXT]);
    world.at("2026-06-01T00:00:00Z");
    let preview = |path: &str, key: &str, wanted: &str| {
        let (head, body) = world.preview(path, key, wanted);
        let told = ["-status", "-omitted", "-patch"]
            .map(|name| field(&head, &format!("api-version-preview{name}")).map(str::to_owned));
        (head.status().as_u16(), told, body)
    };
    let (status, told, _) = preview("/2026-01-01/writes.json", &world.production, "2026-06-01");
    assert_eq!((status, told), (200, [None, Some("not-safe".to_owned()), None]));
    let (status, told, _) = preview("/2026-01-01/client.json", &world.production, "2026-06-01");
    assert_eq!((status, told), (200, [Some("404".to_owned()), None, None]));
    for (key, wanted) in [
        (&world.production, "2026-01-01"),
        (&world.production, "2025-01-01"),
        (&world.production, "2027-01-01"),
        (&world.production, "tomorrow"),
        (&world.staging, ""),
    ] {
        let (status, told, body) = preview("/2026-01-01/client.json", key, wanted);
        assert_eq!((status, told), (400, [None, None, None]), "{wanted}");
        assert!(body.contains("`api-version-preview` names one version"), "{body}");
    }
    let (status, _, _) = preview("/2026-01-01/client.json", &world.staging, "2027-01-01");
    assert_eq!(status, 200, "a preview may be previewed by keys of staging");
}
