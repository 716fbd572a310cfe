//! `GET /2026-11-15/audit.json`: what the other endpoints do is there, with who, what, before, after and from where.

use http::Method;
use permissions::{ApiAccessPermission, BuiltInRole, Environment};
use serde_json::{Value, json};
use tests::{Key, Protocol, Response};

use super::{PROTOCOLS, World, body, path, problem};

/// The newest entry about this target.
async fn newest(world: &World, protocol: Protocol, target: &str) -> Value {
    let query = format!("{}?target={target}&limit=1", path("audit"));
    let page = body(&world.ask(protocol, world.owner.get(&query)).await, 200);
    page["entries"][0].clone()
}

/// Asserts who did what from where in an entry, and returns it.
#[track_caller]
fn assert_entry(entry: &Value, actor: &str, action: &str, answer: &Response) {
    assert_eq!(entry["actor"], actor, "{entry}");
    assert_eq!(entry["action"], action, "{entry}");
    assert_eq!(entry["address"], "127.0.0.1", "{entry}");
    assert_eq!(entry["requestId"].as_str(), answer.field("x-request-id"), "{entry}");
}

async fn user(world: &World, token: &Key) -> String {
    let me = body(&world.get(Protocol::H2, token, "me").await, 200);
    format!("user:{}", me["user"]["id"].as_str().expect("a person has an id"))
}

#[tokio::test]
async fn every_change_is_recorded_with_its_author_and_never_a_secret() {
    let mut world = World::new().await;
    let owner = user(&world, &world.owner_in_production).await;
    let (member, token) = world.member(BuiltInRole::Viewer);
    world.people.applied().await;
    let mut secrets = vec![world.owner_in_production.key.clone(), token.key.clone()];
    for protocol in PROTOCOLS {
        let new = json!({ "name": "a key", "env": "staging", "permissions": ["ping:read"] });
        let created = world.send(protocol, &world.owner_in_production, Method::POST, "keys", &new).await;
        let id = body(&created, 201)["key"]["id"].as_str().unwrap().to_owned();
        secrets.push(created.json()["secret"].as_str().unwrap().to_owned());
        let target = format!("key:{id}");
        let entry = newest(&world, protocol, &target).await;
        assert_entry(&entry, &owner, "key.create", &created);
        assert_eq!((&entry["before"], &entry["after"]["name"]), (&Value::Null, &json!("a key")), "{entry}");

        let resource = format!("keys/{id}");
        let renamed = world
            .send(protocol, &world.owner_in_production, Method::PATCH, &resource, &json!({ "name": "b" }))
            .await;
        let entry = newest(&world, protocol, &target).await;
        assert_entry(&entry, &owner, "key.update", &renamed);
        assert_eq!(
            (&entry["before"]["name"], &entry["after"]["name"]),
            (&json!("a key"), &json!("b")),
            "{entry}"
        );

        let rotate = format!("keys/{id}/rotate");
        let rotated =
            world.send(protocol, &world.owner_in_production, Method::POST, &rotate, &json!({})).await;
        secrets.push(body(&rotated, 201)["secret"].as_str().unwrap().to_owned());
        assert_entry(&newest(&world, protocol, &target).await, &owner, "key.rotate", &rotated);

        let next = rotated.json()["key"]["id"].as_str().unwrap().to_owned();
        let revoke = format!("keys/{next}/revoke");
        let revoked =
            world.send(protocol, &world.owner_in_production, Method::POST, &revoke, &json!({})).await;
        body(&revoked, 200);
        assert_entry(&newest(&world, protocol, &format!("key:{next}")).await, &owner, "key.revoke", &revoked);

        for role in ["developer", "viewer"] {
            let resource = format!("members/{member}");
            let change = json!({ "role": role });
            let changed =
                world.send(protocol, &world.owner_in_production, Method::PATCH, &resource, &change).await;
            body(&changed, 200);
            let entry = newest(&world, protocol, &format!("member:{member}")).await;
            assert_entry(&entry, &owner, "member.change", &changed);
            assert_eq!(entry["after"], change);
            assert_ne!(entry["before"], change);
        }

        let new = json!({ "name": "temporary", "permissions": [] });
        let created = world.send(protocol, &world.owner_in_production, Method::POST, "roles", &new).await;
        let role = body(&created, 201)["id"].as_str().unwrap().to_owned();
        let target = format!("role:{role}");
        assert_entry(&newest(&world, protocol, &target).await, &owner, "role.create", &created);
        let resource = format!("roles/{role}");
        let change = json!({ "permissions": ["me:read"] });
        let changed =
            world.send(protocol, &world.owner_in_production, Method::PATCH, &resource, &change).await;
        let entry = newest(&world, protocol, &target).await;
        assert_entry(&entry, &owner, "role.change", &changed);
        assert_eq!((&entry["before"], &entry["after"]), (&json!({ "permissions": [] }), &change));
        let removed =
            world.ask(protocol, world.owner_in_production.request(&Method::DELETE, &path(&resource))).await;
        assert_entry(&newest(&world, protocol, &target).await, &owner, "role.remove", &removed);

        let lost = world.people.token(world.acme.owner, Environment::Staging);
        secrets.push(lost.key.clone());
        let sign_out =
            world.owner_in_production.request(&Method::DELETE, &path(&format!("devices/{}", lost.id)));
        let signed_out = world.ask(protocol, sign_out).await;
        let target = format!("token:{}", lost.id);
        assert_entry(&newest(&world, protocol, &target).await, &owner, "token.revoke", &signed_out);

        let (gone, _) = world.member(BuiltInRole::Viewer);
        let removal = world.owner_in_production.request(&Method::DELETE, &path(&format!("members/{gone}")));
        let removed = world.ask(protocol, removal).await;
        assert_entry(
            &newest(&world, protocol, &format!("member:{gone}")).await,
            &owner,
            "member.remove",
            &removed,
        );
    }
    let log =
        world.get(Protocol::H2, &world.owner_in_production, "audit").await.text() + &world.gateway.log();
    for secret in secrets {
        // Without the mark, and without the end of it: a hint is shown.
        assert!(!log.contains(&secret[9..secret.len() - 6]), "a secret is in the audit log");
    }
    let check = world.people.store().check_audit().unwrap();
    assert_eq!(check.broken_at, None, "{check:?}");
}

#[tokio::test]
async fn a_key_is_named_as_the_author_and_a_refused_or_empty_change_leaves_no_entry() {
    let mut world = World::new().await;
    let key = world.people.key(world.acme.id, Environment::Staging, ApiAccessPermission::KEYS_WRITE);
    world.people.applied().await;
    for protocol in PROTOCOLS {
        let new = json!({ "env": "staging", "permissions": ["keys:write"] });
        let created = world.send(protocol, &key, Method::POST, "keys", &new).await;
        let target = format!("key:{}", body(&created, 201)["key"]["id"].as_str().unwrap());
        let entry = newest(&world, protocol, &target).await;
        assert_entry(&entry, &format!("key:{}", key.id), "key.create", &created);
        let before =
            body(&world.get(protocol, &world.owner_in_production, "audit").await, 200)["entries"][0].clone();
        let new = json!({ "env": "staging", "permissions": ["ping:read"] });
        problem(&world.send(protocol, &key, Method::POST, "keys", &new).await, 403);
        let role = json!({ "role": "owner" });
        let resource = format!("members/{}", world.acme.owner);
        body(&world.send(protocol, &world.owner_in_production, Method::PATCH, &resource, &role).await, 200);
        let after =
            body(&world.get(protocol, &world.owner_in_production, "audit").await, 200)["entries"][0].clone();
        assert_eq!(before, after, "{protocol:?}");
    }
}

#[tokio::test]
async fn the_log_is_filtered_paged_and_of_the_own_organization() {
    let world = World::new().await;
    for protocol in PROTOCOLS {
        let get = async |query: &str| {
            world.ask(protocol, world.owner_in_production.get(&format!("{}{query}", path("audit")))).await
        };
        let all = body(&get("").await, 200);
        let all = all["entries"].as_array().unwrap().clone();
        assert!(all.len() > 3, "{all:?}");
        let text = Value::from(all.clone()).to_string();
        assert!(
            !text.contains(&world.rival.id.to_string()) && !text.contains(&world.rival.owner.to_string())
        );
        let mut paged = Vec::new();
        let mut next = None::<String>;
        loop {
            let after = next.map(|next| format!("&after={next}")).unwrap_or_default();
            let page = body(&get(&format!("?limit=2{after}")).await, 200);
            paged.extend(page["entries"].as_array().unwrap().iter().cloned());
            next = page["next"].as_str().map(str::to_owned);
            if next.is_none() {
                break;
            }
        }
        assert_eq!(paged, all, "{protocol:?}");
        let grants = body(&get("?action=organization.grant").await, 200);
        let grants = grants["entries"].as_array().unwrap().clone();
        assert!(!grants.is_empty() && grants.iter().all(|entry| entry["action"] == "organization.grant"));
        let none = body(&get("?action=no.such").await, 200);
        assert_eq!(none, json!({ "entries": [], "next": null }));
        problem(&get("?colour=red").await, 400);
        problem(&get(&format!("?after={}", "9".repeat(65))).await, 400);
    }
}
