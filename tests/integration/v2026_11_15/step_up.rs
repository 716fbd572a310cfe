//! What can do harm needs a person who has authenticated in the last 15 minutes (RFC 9470).

use std::time::Duration;

use http::Method;
use permissions::{ApiAccessPermission, BuiltInRole, Environment};
use serde_json::{Value, json};
use versions::ErrorCode;

use super::{PROTOCOLS, World, body};
use crate::routes::assert_code;

const CHALLENGE: &str =
    r#"Bearer realm="partner-api", error="insufficient_user_authentication", max_age="900""#;

#[tokio::test]
async fn an_old_authentication_and_a_key_are_asked_to_step_up() {
    let mut world = World::new().await;
    let age = Duration::from_secs(15 * 60 + 5);
    let old = world.people.token_of_age(world.acme.owner, Environment::Production, age);
    let all = ApiAccessPermission::all() - ApiAccessPermission::OPERATION;
    let key = world.people.key(world.acme.id, Environment::Production, all);
    let [staging, production] = Environment::ALL
        .map(|environment| world.people.key(world.acme.id, environment, ApiAccessPermission::PING_READ).id);
    let (member, _) = world.member(BuiltInRole::Viewer);
    let role = world.people.role(world.acme.id, "spare", ApiAccessPermission::empty());
    world.people.applied().await;
    let calls = [
        (Method::POST, "keys".to_owned(), json!({ "env": "production", "permissions": ["ping:read"] })),
        (Method::PATCH, format!("keys/{production}"), json!({ "name": "x" })),
        (Method::POST, format!("keys/{staging}/rotate"), json!({})),
        (Method::POST, format!("keys/{production}/rotate"), json!({})),
        (Method::POST, format!("keys/{staging}/revoke"), json!({})),
        (Method::PATCH, format!("members/{member}"), json!({ "role": "viewer" })),
        (Method::DELETE, format!("members/{member}"), Value::Null),
        (Method::POST, "roles".to_owned(), json!({ "name": "x", "permissions": [] })),
        (Method::PATCH, format!("roles/{role}"), json!({ "permissions": [] })),
        (Method::DELETE, format!("roles/{role}"), Value::Null),
    ];
    for protocol in PROTOCOLS {
        for who in [&old, &key] {
            for (method, resource, content) in &calls {
                let refused = world.send(protocol, who, method.clone(), resource, content).await;
                assert_code(
                    &refused,
                    ErrorCode::StepUpRequired,
                    format!("{method} {resource} over {protocol:?}"),
                );
                assert_eq!(refused.field("www-authenticate"), Some(CHALLENGE), "{method} {resource}");
            }
            // What does no harm is done.
            let new = json!({ "env": "staging", "permissions": ["ping:read"] });
            body(&world.send(protocol, who, Method::POST, "keys", &new).await, 201);
            let rename = json!({ "name": "renamed" });
            body(&world.send(protocol, who, Method::PATCH, &format!("keys/{staging}"), &rename).await, 200);
        }
    }
}

#[tokio::test]
async fn a_recent_authentication_is_enough() {
    let mut world = World::new().await;
    let recent =
        world.people.token_of_age(world.acme.owner, Environment::Production, Duration::from_secs(14 * 60));
    world.people.applied().await;
    for protocol in PROTOCOLS {
        let new = json!({ "env": "production", "permissions": ["ping:read"] });
        let created = body(&world.send(protocol, &recent, Method::POST, "keys", &new).await, 201);
        let revoke = format!("keys/{}/revoke", created["key"]["id"].as_str().unwrap());
        body(&world.send(protocol, &recent, Method::POST, &revoke, &json!({})).await, 200);
    }
}
