//! Upgrades: a data folder of an older build opens with this one, and each of its keys is accepted or refused
//! as before. `fixtures/migration-2` was created by a build whose last migration was number 2.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use tests::{Client, Key, Protocol, Start, TestGateway, repository};

use crate::contract::{CONNECTION, PING};

/// The keys of the fixture: their purpose, ids and texts.
const KEYS: [(&str, &str, &str); 14] = [
    (
        "elsewhere",
        "01a21e71-89ac-796f-8332-d6485cb85226",
        "pgw_stg_ZoHqkUHKsAMAe7Upp0lpHPEllHjycbBY8Z19Vi7BmkJ2uW4ui",
    ),
    (
        "expired",
        "01a21e71-8950-73ba-8129-abd706ff481a",
        "pgw_stg_c9dYXh6LDctUL178EslCBJ1KODx8Drq5e8ZVXHpL0hV2fCYE2",
    ),
    (
        "forward",
        "01a21e71-8a39-74b9-84b5-d58cc31b7e06",
        "pgw_stg_XGEYNa84z9dsC0KWWcX10fQZsJafSE8UHqTGtcRjksG2tblgk",
    ),
    (
        "here",
        "01a21e71-89de-7cbb-845f-e1fbb6415e35",
        "pgw_stg_vwMXjggWwJZlDfSCuIdMHRZdWtBNmvKljUumYHy1odD47ceHP",
    ),
    (
        "not_yet_valid",
        "01a21e71-8984-7210-8119-ca120136819c",
        "pgw_stg_MMEfNCAtY571D7Kv0FVeUMYRCpdbfqP1tjvfxfQdbfY1BMuVF",
    ),
    (
        "overlapping",
        "01a21e71-8ce1-7ded-8d2a-4ff594e20f38",
        "pgw_stg_7V0PAfccBuahAs2R8TH64qyrVKOOCrHYWGROGQgzeF53yKAQ3",
    ),
    (
        "ping_only",
        "01a21e71-87f5-72c5-ad3c-d54625c0c7ea",
        "pgw_stg_lPidPFDQghgZVAhuXrCkla1GdUN1n4NAQuQOHZMdRxf1aCdom",
    ),
    (
        "plain",
        "01a21e71-87a0-7095-83f4-b4c4fd784f11",
        "pgw_stg_Wvf56um6nkEtdJIb70Dng3RgKVJc403Sw01bBq5Fjh30xGqQK",
    ),
    (
        "production",
        "01a21e71-87c8-7091-9d56-cfcee59b0d56",
        "pgw_live_uGouv3qEyorHUzeddPZwcvV5Db5X0Ftml9V3oN4RAzO03ou69",
    ),
    (
        "revoked",
        "01a21e71-881c-7ef6-bd3a-22b43dafb773",
        "pgw_stg_yCS0lygVB6asrJKt2zBa4wXuryHw3M4ej5YcCi3H55V00sloo",
    ),
    (
        "rotated_at_once",
        "01a21e71-8a61-74a5-a4bb-29c127ce153c",
        "pgw_stg_TrcQMn2HDBoMaOZUmUSb9ul9Eud9OgTa9FZjvEMNozW3bAjNZ",
    ),
    (
        "rotated_with_overlap",
        "01a21e71-8b9c-7fdc-b4ae-e1ab0d9c2641",
        "pgw_stg_ynX3HY4WzI5Ta8UhQHKqBwt8nvq7ADGNeDGgZlulqQf2PA8Z2",
    ),
    (
        "slow",
        "01a21e71-8a06-71d3-95d0-db9bca713edd",
        "pgw_stg_bOYpzhUvdTBkEhIPKO8WuCZHf6Z4OwZr3AoFi48348Q1hHS2O",
    ),
    (
        "successor",
        "01a21e71-8b69-7c9d-a807-b66189c63a03",
        "pgw_stg_8dCemMV6cZwGZ0GrzLgth4XPHBOasMSPV61frMoq1y82lu909",
    ),
];

fn key(what: &str) -> Key {
    let (_, id, text) = KEYS.iter().find(|(name, ..)| *name == what).expect("it is one of the fixture's");
    let environment = if what == "production" { "production" } else { "staging" };
    Key {
        id: (*id).to_owned(),
        key: (*text).to_owned(),
        environment: environment.to_owned(),
        permissions: Vec::new(),
    }
}

/// A server on a copy of the fixture, with version 2026-02-01 retired.
async fn upgraded() -> TestGateway {
    let overlay = "[versions.2026-02-01]\ndeprecated = \"2026-03-01\"\nsunset = \"2026-04-01\"\n\
        [versions.2026-11-01]\npublished = \"2026-03-01\"";
    let start = Start::with(overlay);
    fs::create_dir(start.data()).expect("the folder is writable");
    fs::set_permissions(start.data(), Permissions::from_mode(0o700)).expect("it is ours");
    for file in ["store.sqlite", "server.secret"] {
        let copy = start.data().join(file);
        fs::copy(repository().join("tests/fixtures/migration-2").join(file), &copy).expect("it is committed");
        fs::set_permissions(&copy, Permissions::from_mode(0o600)).expect("it is ours");
    }
    start.launch().await
}

#[tokio::test]
async fn every_key_of_an_older_data_folder_is_accepted_or_refused_as_before() {
    let gateway = upgraded().await;
    let ping = PING.replace("2026-02-01", "2026-11-01");
    let connection = CONNECTION.replace("2026-02-01", "2026-11-01");
    let client = Client::over(&gateway, Protocol::H1).await;
    let status = async |what: &str, path: &str| client.ask(key(what).get(path)).await.status.as_u16();
    for (what, ping_status, connection_status) in [
        ("plain", 200, 200),
        ("production", 200, 200),
        ("ping_only", 200, 403),
        ("revoked", 401, 401),
        ("expired", 401, 401),
        ("not_yet_valid", 401, 401),
        ("elsewhere", 401, 401),
        ("here", 200, 403),
        ("slow", 200, 403),
        ("forward", 200, 403),
        ("rotated_at_once", 401, 401),
        ("successor", 200, 403),
        ("rotated_with_overlap", 200, 403),
        ("overlapping", 200, 403),
    ] {
        assert_eq!(status(what, &ping).await, ping_status, "{what}");
        assert_eq!(status(what, &connection).await, connection_status, "{what}");
    }
    assert_eq!(status("plain", PING).await, 410, "it refuses a retired version");
    assert_eq!(status("forward", PING).await, 200, "it is answered by the successor");
    let slow = client.ask(key("slow").get(&ping)).await;
    assert!(slow.field("ratelimit-policy").is_some_and(|policy| policy.contains("q=9")), "{slow:?}");
}

#[tokio::test]
async fn partners_of_an_older_data_folder_have_ids_and_can_be_renamed_and_suspended() {
    let gateway = upgraded().await;
    let listed: serde_json::Value = gateway.json(&["partner", "list", "--json"]).await;
    let partners = listed["organizations"].as_array().expect("it is a list");
    let named = |name: &str| partners.iter().find(|partner| partner["name"] == name).expect("it is listed");
    assert_eq!(partners.len(), 4, "{listed}");
    for (name, keys) in [("acme", 10), ("Acme GmbH & Co. (EU)", 2), ("株式会社", 2), ("Umbrella AG", 0)] {
        let partner = named(name);
        assert_eq!(partner["keys"], keys, "{partner}");
        let id: uuid::Uuid = partner["id"].as_str().and_then(|id| id.parse().ok()).expect("it is a UUID");
        assert_eq!((id.get_version_num(), id.get_variant()), (7, uuid::Variant::RFC4122), "{partner}");
    }
    let acme = named("acme")["id"].as_str().expect("it is text").to_owned();
    let key_view: serde_json::Value = gateway.json(&["key", "show", &key("plain").id, "--json"]).await;
    assert_eq!((&key_view["partner"], &key_view["partner_id"]), (&"acme".into(), &acme.as_str().into()));
    let renamed: serde_json::Value = gateway.json(&["partner", "rename", &acme, "Acme Inc.", "--json"]).await;
    assert_eq!(renamed["applied"]["nodes"][0]["applied"], true, "{renamed}");
    gateway.json::<serde_json::Value>(&["partner", "suspend", "Acme Inc.", "--json"]).await;
    let client = Client::over(&gateway, Protocol::H1).await;
    assert_eq!(client.ask(key("plain").get(PING)).await.status, 401);
    let client = Client::over(&gateway, Protocol::H1).await;
    assert_eq!(client.ask(key("forward").get(PING)).await.status, 200, "another partner's");
}
