//! `/2026-11-15/devices*.json`.

use http::Method;
use permissions::{ApiAccessPermission, BuiltInRole, Environment};
use serde_json::{Value, json};
use tests::Client;

use super::{PROTOCOLS, World, body, ids, path, problem};
use crate::contract::assert_unauthorized;
use crate::routes::NOWHERE;

const PING: &str = "/2026-11-01/ping.json";

#[tokio::test]
async fn a_person_sees_their_own_devices_here_and_a_key_none() {
    let mut world = World::new().await;
    let (_, other) = world.member(BuiltInRole::Admin);
    let key = world.people.key(world.acme.id, Environment::Staging, ApiAccessPermission::SELF_MANAGEMENT);
    world.people.applied().await;
    let both = [world.owner.id.clone(), world.owner_in_production.id.clone()];
    for protocol in PROTOCOLS {
        let listed = async |token| body(&world.get(protocol, token, "devices").await, 200);
        assert_eq!(ids(&listed(&world.owner_in_production).await, "devices"), both);
        let in_staging = listed(&world.owner).await;
        assert_eq!(ids(&in_staging, "devices"), both[..1], "a credential of staging sees staging only");
        let device = &in_staging["devices"][0];
        assert_eq!(
            (&device["app"], &device["name"], &device["revoked"]),
            (&json!("tests"), &json!("a device"), &Value::Null)
        );
        assert!(!in_staging.to_string().contains(&world.owner.key), "no text of a token is shown");
        assert_eq!(ids(&listed(&other).await, "devices"), std::slice::from_ref(&other.id));
        assert_eq!(listed(&key).await, json!({ "devices": [], "next": null }));
        let query = format!("{}?limit=1", path("devices"));
        let first = body(&world.ask(protocol, world.owner_in_production.get(&query)).await, 200);
        let next = first["next"].as_str().expect("a page follows");
        let query = format!("{query}&after={next}");
        let last = body(&world.ask(protocol, world.owner_in_production.get(&query)).await, 200);
        assert_eq!((ids(&last, "devices"), &last["next"]), (both[1..].to_vec(), &Value::Null));
    }
}

#[tokio::test]
async fn a_signed_out_device_is_refused_and_its_connections_end() {
    let mut world = World::new().await;
    for protocol in PROTOCOLS {
        let lost = world.people.token(world.acme.owner, Environment::Staging);
        world.people.applied().await;
        let live = Client::over(&world.gateway, protocol).await;
        assert_eq!(live.ask(lost.get(PING)).await.status, 200);
        let sign_out = world.owner.request(&Method::DELETE, &path(&format!("devices/{}", lost.id)));
        for _ in 0..2 {
            let answer = world.ask(protocol, sign_out.clone()).await;
            assert_eq!(
                (answer.status.as_u16(), answer.body.len()),
                (204, 0),
                "again changes nothing: {answer:?}"
            );
        }
        assert!(live.closed(tests::PATIENCE).await.is_some(), "{protocol:?}");
        assert_unauthorized(&world.ask(protocol, lost.get(PING)).await, true, "signed out");
        assert_eq!(world.ask(protocol, world.owner.get(PING)).await.status, 200, "the other device is not");
        let listed = body(&world.get(protocol, &world.owner, "devices").await, 200);
        let device =
            listed["devices"].as_array().unwrap().iter().find(|device| device["id"] == lost.id.as_str());
        assert!(device.unwrap()["revoked"].is_string(), "{listed}");
    }
}

#[tokio::test]
async fn nobody_signs_others_out() {
    let mut world = World::new().await;
    let (_, other) = world.member(BuiltInRole::Viewer);
    let foreign = world.people.token(world.rival.owner, Environment::Staging);
    let key = world.people.key(world.acme.id, Environment::Staging, ApiAccessPermission::DEVICES_WRITE);
    world.people.applied().await;
    for protocol in PROTOCOLS {
        for who in [&world.owner, &key] {
            let mut answers = Vec::new();
            for id in [NOWHERE, &other.id, &foreign.id, &world.owner_in_production.id] {
                let sign_out = who.request(&Method::DELETE, &path(&format!("devices/{id}")));
                answers.push(problem(&world.ask(protocol, sign_out).await, 404));
            }
            assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
        }
        for token in [&other, &world.owner_in_production] {
            assert_ne!(world.ask(protocol, token.get(PING)).await.status, 401);
        }
    }
}
