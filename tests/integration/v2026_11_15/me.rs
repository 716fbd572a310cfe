//! `GET /2026-11-15/me.json`.

use permissions::{ApiAccessPermission, BuiltInRole, Environment};
use serde_json::{Value, json};

use super::{PROTOCOLS, World, body};

#[tokio::test]
async fn a_key_is_its_organization() {
    let mut world = World::new().await;
    let set =
        ApiAccessPermission::PING_READ | ApiAccessPermission::ME_READ | ApiAccessPermission::CONNECTION_READ;
    // The operator grants what it gives; afterwards the grant is narrowed.
    let key = world.people.key(world.acme.id, Environment::Production, set);
    world.people.grant(world.acme.id, Environment::Production, ApiAccessPermission::PING_READ);
    world.people.applied().await;
    for protocol in PROTOCOLS {
        let me = body(&world.get(protocol, &key, "me").await, 200);
        let expected = json!({
            "credential": { "kind": "key", "id": key.id },
            "env": "production",
            "organization": { "id": world.acme.id, "name": "acme" },
            "user": null,
            "role": null,
            "permissions": ["ping:read", "me:read"],
        });
        assert_eq!(me, expected, "{protocol:?}");
    }
}

#[tokio::test]
async fn a_token_is_a_person_in_a_role() {
    let mut world = World::new().await;
    let (member, token) = world.member(BuiltInRole::Viewer);
    world.people.applied().await;
    for protocol in PROTOCOLS {
        let me = body(&world.get(protocol, &token, "me").await, 200);
        let members = body(&world.get(protocol, &world.owner, "members").await, 200);
        let members = members["members"].as_array().unwrap();
        let listed = members.iter().find(|one| one["id"] == member.to_string()).expect("it is a member");
        assert_eq!(me["credential"], json!({ "kind": "token", "id": token.id }));
        assert_eq!(
            (&me["user"], &me["role"], &me["env"]),
            (&listed["user"], &json!("viewer"), &json!("staging"))
        );
        assert_eq!(me["user"]["email"].as_str().map(|email| email.contains('@')), Some(true), "{me}");
        let expected: Vec<_> = BuiltInRole::Viewer.permissions().names().map(Value::from).collect();
        assert_eq!(me["permissions"], Value::from(expected));
    }
}
