//! `Idempotency-Key`: a repeated call is not made twice.

use bytes::Bytes;
use http::{Method, Request};
use serde_json::{Value, json};
use tests::{Key, Protocol, Response};
use versions::ErrorCode;

use super::{PROTOCOLS, World, body, ids, path, problem};
use crate::routes::assert_code;

fn call(key: &Key, resource: &str, content: &Value, idempotency_key: &str) -> Request<Bytes> {
    let mut request = key.send(&Method::POST, &path(resource), content);
    let value = idempotency_key.parse().expect("it is a field's value");
    request.headers_mut().insert("idempotency-key", value);
    request
}

async fn count(world: &World, protocol: Protocol) -> usize {
    ids(&body(&world.get(protocol, &world.owner, "keys").await, 200), "keys").len()
}

fn replayed(answer: &Response) -> Option<&str> {
    answer.field("idempotent-replayed")
}

#[tokio::test]
async fn a_repeated_call_gets_the_first_response_without_its_secret() {
    let world = World::new().await;
    let new = json!({ "name": "once", "env": "staging", "permissions": ["ping:read"] });
    for protocol in PROTOCOLS {
        let before = count(&world, protocol).await;
        let idempotency_key = format!("\"{protocol:?}\"");
        let first = world.ask(protocol, call(&world.owner, "keys", &new, &idempotency_key)).await;
        let mut expected = body(&first, 201);
        assert_eq!(replayed(&first), None);
        expected["secret"] = Value::Null;
        for again in PROTOCOLS {
            let answer = world.ask(again, call(&world.owner, "keys", &new, &idempotency_key)).await;
            assert_eq!(body(&answer, 201), expected, "{again:?}");
            assert_eq!(replayed(&answer), Some("true"), "{again:?}");
            assert_eq!(answer.field("content-type"), first.field("content-type"));
            assert_ne!(answer.field("x-request-id"), first.field("x-request-id"));
        }
        assert_eq!(count(&world, protocol).await, before + 1, "{protocol:?}");

        // Another call with the key: other content, and another resource.
        let other = json!({ "name": "twice", "env": "staging", "permissions": ["ping:read"] });
        let rotate = format!("keys/{}/rotate", expected["key"]["id"].as_str().unwrap());
        for (resource, content) in [("keys", &other), (rotate.as_str(), &json!({}))] {
            let refused = world.ask(protocol, call(&world.owner, resource, content, &idempotency_key)).await;
            assert_code(&refused, ErrorCode::IdempotencyKeyReused, format!("{resource} over {protocol:?}"));
        }
        assert_eq!(count(&world, protocol).await, before + 1, "{protocol:?}: nothing was done");
        // The key is the caller's own.
        let independent =
            world.ask(protocol, call(&world.owner_in_production, "keys", &new, &idempotency_key)).await;
        assert!(body(&independent, 201)["secret"].is_string(), "{independent:?}");
        assert_eq!(replayed(&independent), None);
    }
}

#[tokio::test]
async fn rotations_and_roles_are_repeated_too() {
    let world = World::new().await;
    for protocol in PROTOCOLS {
        let new = json!({ "env": "staging", "permissions": ["ping:read"] });
        let created = body(&world.send(protocol, &world.owner, Method::POST, "keys", &new).await, 201);
        let rotate = format!("keys/{}/rotate", created["key"]["id"].as_str().unwrap());
        let role = json!({ "name": format!("{protocol:?}"), "permissions": [] });
        for (resource, content) in [(rotate.as_str(), &json!({})), ("roles", &role)] {
            let idempotency_key = format!("\"{resource} {protocol:?}\"");
            let ask = async || {
                world
                    .ask(protocol, call(&world.owner_in_production, resource, content, &idempotency_key))
                    .await
            };
            let (first, again) = (ask().await, ask().await);
            let mut expected = body(&first, 201);
            if let Some(secret) = expected.get_mut("secret") {
                *secret = Value::Null;
            }
            assert_eq!((body(&again, 201), replayed(&again)), (expected, Some("true")), "{resource}");
        }
    }
}

#[tokio::test]
async fn a_failed_call_leaves_no_record() {
    let mut world = World::new().await;
    for protocol in PROTOCOLS {
        let idempotency_key = format!("\"failed {protocol:?}\"");
        let new = json!({ "name": format!("role {protocol:?}"), "permissions": ["ping:read"] });
        world.people.grant(
            world.acme.id,
            permissions::Environment::Staging,
            permissions::ApiAccessPermission::empty(),
        );
        world.people.grant(
            world.acme.id,
            permissions::Environment::Production,
            permissions::ApiAccessPermission::empty(),
        );
        world.people.applied().await;
        let ask = async |world: &World| {
            world.ask(protocol, call(&world.owner_in_production, "roles", &new, &idempotency_key)).await
        };
        problem(&ask(&world).await, 403);
        world.people.grant(
            world.acme.id,
            permissions::Environment::Staging,
            permissions::ApiAccessPermission::PING_READ,
        );
        world.people.applied().await;
        let answer = ask(&world).await;
        assert_eq!((answer.status.as_u16(), replayed(&answer)), (201, None), "{answer:?}");
    }
}

#[tokio::test]
async fn a_malformed_key_is_refused_and_one_where_none_is_taken_is_ignored() {
    let world = World::new().await;
    let new = json!({ "env": "staging", "permissions": ["ping:read"] });
    for protocol in PROTOCOLS {
        let before = count(&world, protocol).await;
        let long = format!("\"{}\"", "x".repeat(256));
        for wrong in ["plain", "\"\"", "\"a\\b\"", "\"a\";b=1", "\"a\", \"b\"", "1", &long] {
            let refused = problem(&world.ask(protocol, call(&world.owner, "keys", &new, wrong)).await, 400);
            assert!(refused["detail"].as_str().unwrap().contains("Idempotency-Key"), "{wrong}: {refused}");
        }
        let mut twice = call(&world.owner, "keys", &new, "\"a\"");
        twice.headers_mut().append("idempotency-key", "\"a\"".parse().unwrap());
        problem(&world.ask(protocol, twice).await, 400);
        assert_eq!(count(&world, protocol).await, before, "{protocol:?}");
        let revoke = format!("keys/{}/revoke", crate::routes::NOWHERE);
        problem(&world.ask(protocol, call(&world.owner, &revoke, &json!({}), "plain")).await, 404);
    }
}
