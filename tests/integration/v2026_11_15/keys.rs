//! `/2026-11-15/keys*.json`.

use http::Method;
use permissions::{ApiAccessPermission, BuiltInRole, Environment, RoleOf};
use serde_json::{Value, json};
use tests::{Client, Key, Protocol};

use super::{PROTOCOLS, World, body, ids, problem};
use crate::contract::assert_unauthorized;
use crate::routes::NOWHERE;

const PING: &str = "/2026-11-01/ping.json";

/// The key that a response has made.
fn created(answer: &Value, environment: &str) -> Key {
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
    Key {
        id: text(&answer["key"]["id"]),
        key: text(&answer["secret"]),
        environment: environment.to_owned(),
        permissions: Vec::new(),
    }
}

async fn status(world: &World, protocol: Protocol, key: &Key) -> u16 {
    world.ask(protocol, key.get(PING)).await.status.as_u16()
}

#[tokio::test]
async fn a_created_key_works_at_once_and_its_text_is_shown_once() {
    let world = World::new().await;
    for protocol in PROTOCOLS {
        for (token, environment, mark) in
            [(&world.owner, "staging", "pgw_stg_"), (&world.owner_in_production, "production", "pgw_live_")]
        {
            let new = json!({ "name": "build", "env": environment, "permissions": ["ping:read"] });
            let answer = world.send(protocol, token, Method::POST, "keys", &new).await;
            let answer = body(&answer, 201);
            let key = created(&answer, environment);
            assert!(key.key.starts_with(mark), "{answer}");
            assert_eq!(answer["key"]["state"], "active");
            assert_eq!(answer["key"]["effectivePermissions"], json!(["ping:read"]));
            assert_eq!(status(&world, protocol, &key).await, 200, "{protocol:?}");
            let shown = world.get(protocol, token, &format!("keys/{}", key.id)).await;
            assert_eq!(body(&shown, 200)["name"], "build");
            let listed = world.get(protocol, token, "keys").await;
            assert!(ids(&body(&listed, 200), "keys").contains(&key.id), "{protocol:?}");
            for answer in [shown, listed] {
                assert!(!answer.text().contains(&key.key[..20]), "the text is shown once: {answer:?}");
            }
        }
    }
    assert!(!world.gateway.log().contains("pgw_stg_"), "no text of a key is logged");
}

#[tokio::test]
async fn keys_are_listed_page_by_page() {
    let mut world = World::new().await;
    let acme = world.acme.id;
    let ping = ApiAccessPermission::PING_READ;
    let mut staging = Vec::new();
    for _ in 0..3 {
        staging.push(world.people.key(acme, Environment::Staging, ping).id);
    }
    let production = world.people.key(acme, Environment::Production, ping).id;
    world.people.key(world.rival.id, Environment::Staging, ping);
    for protocol in PROTOCOLS {
        let get = async |token: &Key, query: &str| {
            let path = format!("{}{query}", super::path("keys"));
            world.ask(protocol, token.get(&path)).await
        };
        let first = body(&get(&world.owner, "?limit=2").await, 200);
        assert_eq!(ids(&first, "keys"), staging[..2]);
        let next = first["next"].as_str().expect("a page follows");
        let last = body(&get(&world.owner, &format!("?limit=2&after={next}")).await, 200);
        assert_eq!((ids(&last, "keys"), &last["next"]), (staging[2..].to_vec(), &Value::Null));
        let all = body(&get(&world.owner_in_production, "").await, 200);
        assert_eq!(ids(&all, "keys"), [staging.clone(), vec![production.clone()]].concat());
        let of_env = body(&get(&world.owner_in_production, "?env=production").await, 200);
        assert_eq!(ids(&of_env, "keys"), std::slice::from_ref(&production));
        let none = body(&get(&world.owner, "?env=production").await, 200);
        assert_eq!(none, json!({ "keys": [], "next": null }), "staging sees staging only");
        for wrong in ["?limit=0", "?limit=1001", "?limit=x", "?env=test", "?colour=red"] {
            let refused = problem(&get(&world.owner, wrong).await, 400);
            let name = wrong[1..].split('=').next().expect("a query has a name");
            assert!(refused["detail"].as_str().unwrap().contains(name), "{wrong}: {refused}");
        }
    }
}

#[tokio::test]
async fn a_key_is_renamed_and_narrowed_at_once() {
    let mut world = World::new().await;
    let both = ApiAccessPermission::PING_READ | ApiAccessPermission::ME_READ;
    for protocol in PROTOCOLS {
        let key = world.people.key(world.acme.id, Environment::Staging, both);
        world.people.applied().await;
        let resource = format!("keys/{}", key.id);
        assert_eq!(status(&world, protocol, &key).await, 200);
        let update =
            async |change: Value| world.send(protocol, &world.owner, Method::PATCH, &resource, &change).await;
        let renamed = body(&update(json!({ "name": "other" })).await, 200);
        assert_eq!(
            (&renamed["name"], &renamed["permissions"]),
            (&json!("other"), &json!(["ping:read", "me:read"]))
        );
        assert_eq!(body(&update(json!({ "permissions": ["me:read"] })).await, 200)["name"], "other");
        assert_eq!(status(&world, protocol, &key).await, 403, "{protocol:?}");
        let expires = "2199-01-01T00:00:00Z";
        let dated = body(&update(json!({ "expires": expires, "allow": ["192.0.2.7/24"] })).await, 200);
        assert_eq!((&dated["expires"], &dated["allow"]), (&json!(expires), &json!(["192.0.2.0/24"])));
        assert_unauthorized(&world.ask(protocol, key.get(PING)).await, true, "from another network");
        let open = body(&update(json!({ "expires": null, "allow": [] })).await, 200);
        assert_eq!((&open["expires"], &open["allow"]), (&Value::Null, &json!([])));
        for wrong in [
            json!({ "permissions": [] }),
            json!({ "name": "a\u{202e}b" }),
            json!({ "expires": "2020-01-01T00:00:00Z" }),
        ] {
            problem(&update(wrong).await, 400);
        }
        let unknown = problem(&update(json!({ "colour": "red" })).await, 400);
        assert!(unknown["detail"].as_str().unwrap().contains("colour"), "{unknown}");
    }
}

#[tokio::test]
async fn a_key_is_rotated_with_and_without_an_overlap() {
    let mut world = World::new().await;
    for protocol in PROTOCOLS {
        for (overlap, old_status) in [(0, 401), (3600, 200)] {
            let old = world.people.key(world.acme.id, Environment::Staging, ApiAccessPermission::PING_READ);
            let resource = format!("keys/{}/rotate", old.id);
            let rotation = json!({ "overlapSeconds": overlap });
            let answer = world.send(protocol, &world.owner, Method::POST, &resource, &rotation).await;
            let answer = body(&answer, 201);
            assert_eq!(
                (&answer["key"]["replaces"], &answer["replaced"]["id"]),
                (&json!(old.id), &json!(old.id))
            );
            assert_eq!(answer["replaced"]["revoked"].is_null(), overlap > 0, "{answer}");
            assert_eq!(status(&world, protocol, &old).await, old_status, "{protocol:?}, {overlap} s");
            assert_eq!(status(&world, protocol, &created(&answer, "staging")).await, 200);
            let again = world.send(protocol, &world.owner, Method::POST, &resource, &rotation).await;
            problem(&again, 409);
        }
        let too_long = json!({ "overlapSeconds": -1 });
        let resource = format!("keys/{NOWHERE}/rotate");
        problem(&world.send(protocol, &world.owner, Method::POST, &resource, &too_long).await, 400);
    }
}

#[tokio::test]
async fn a_key_is_revoked_for_good() {
    let mut world = World::new().await;
    for protocol in PROTOCOLS {
        let key = world.people.key(world.acme.id, Environment::Staging, ApiAccessPermission::PING_READ);
        world.people.applied().await;
        let live = Client::over(&world.gateway, protocol).await;
        assert_eq!(live.ask(key.get(PING)).await.status, 200);
        let resource = format!("keys/{}/revoke", key.id);
        // Without content: there is nothing to say but the id.
        let revoke = world.owner.request(&Method::POST, &super::path(&resource));
        let revoked = body(&world.ask(protocol, revoke).await, 200);
        assert_eq!(revoked["state"], "revoked");
        assert!(live.closed(tests::PATIENCE).await.is_some(), "{protocol:?}: its connections end");
        assert_unauthorized(&world.ask(protocol, key.get(PING)).await, true, "revoked");
        let again = world.send(protocol, &world.owner, Method::POST, &resource, &json!({})).await;
        assert_eq!(body(&again, 200)["revoked"], revoked["revoked"], "it changes nothing");
        let renamed = world
            .send(protocol, &world.owner, Method::PATCH, &format!("keys/{}", key.id), &json!({ "name": "x" }))
            .await;
        problem(&renamed, 409);
    }
}

#[tokio::test]
async fn a_key_of_another_organization_or_of_production_is_like_none() {
    let mut world = World::new().await;
    let ping = ApiAccessPermission::PING_READ;
    let foreign = world.people.key(world.rival.id, Environment::Staging, ping);
    let production = world.people.key(world.acme.id, Environment::Production, ping);
    for protocol in PROTOCOLS {
        for (method, suffix, content) in [
            (Method::GET, "", None),
            (Method::PATCH, "", Some(json!({ "name": "x" }))),
            (Method::POST, "/rotate", Some(json!({}))),
            (Method::POST, "/revoke", Some(json!({}))),
        ] {
            let mut answers = Vec::new();
            for id in [NOWHERE, &foreign.id, &production.id] {
                let resource = format!("keys/{id}{suffix}");
                let answer = match &content {
                    None => world.get(protocol, &world.owner, &resource).await,
                    Some(content) => {
                        world.send(protocol, &world.owner, method.clone(), &resource, content).await
                    }
                };
                answers.push(problem(&answer, 404));
            }
            assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{method} {suffix}: {answers:?}");
        }
        let malformed = world.get(protocol, &world.owner, "keys/x").await;
        problem(&malformed, 400);
        for (key, what) in [(&foreign, "another's"), (&production, "production's")] {
            assert_eq!(status(&world, protocol, key).await, 200, "{what} is untouched");
        }
    }
}

#[tokio::test]
async fn nobody_gives_more_than_they_or_their_organization_have() {
    let mut world = World::new().await;
    let (_, developer) = world.member(BuiltInRole::Developer);
    let narrow = ApiAccessPermission::KEYS_WRITE;
    let role = world.people.role(world.acme.id, "key maker", narrow);
    let maker = world.people.member(world.acme.id, RoleOf::Custom(role));
    let maker = world.people.token(maker, Environment::Staging);
    let key = world.people.key(world.acme.id, Environment::Staging, narrow);
    let target = world.people.key(world.acme.id, Environment::Staging, narrow).id;
    world.people.applied().await;
    for protocol in PROTOCOLS {
        for (who, permission) in [
            (&developer, "members:write"),
            (&developer, "connection:read"),
            (&world.owner, "connection:read"),
            (&world.owner, "requests:review"),
            (&maker, "ping:read"),
            (&key, "ping:read"),
        ] {
            let new = json!({ "env": "staging", "permissions": [permission] });
            let refused = problem(&world.send(protocol, who, Method::POST, "keys", &new).await, 403);
            assert_eq!(refused["requiredPermission"], permission, "{refused}");
            let wider = json!({ "permissions": ["keys:write", permission] });
            let resource = format!("keys/{target}");
            problem(&world.send(protocol, who, Method::PATCH, &resource, &wider).await, 403);
        }
        let production = json!({ "env": "production", "permissions": ["ping:read"] });
        let refused =
            problem(&world.send(protocol, &world.owner, Method::POST, "keys", &production).await, 403);
        assert!(refused["detail"].as_str().unwrap().contains("staging"), "{refused}");
    }
}

#[tokio::test]
async fn a_malformed_new_key_is_refused_by_name() {
    let world = World::new().await;
    for protocol in PROTOCOLS {
        for (content, clue) in [
            (json!({ "env": "staging", "permissions": ["ping:read"], "colour": 1 }), "colour"),
            (json!({ "env": "test", "permissions": ["ping:read"] }), "env"),
            (json!({ "env": "staging", "permissions": ["ping:eat"] }), "permissions"),
            (json!({ "env": "staging", "permissions": [] }), "permission"),
            (json!({ "env": "staging" }), "permissions"),
            (json!({ "permissions": ["ping:read"] }), "env"),
            (json!({ "env": "staging", "permissions": ["ping:read"], "allow": ["x"] }), "allow"),
            (json!({ "env": "staging", "permissions": ["ping:read"], "expires": "soon" }), "expires"),
            (json!({ "env": "staging", "permissions": ["ping:read"], "name": "\u{7}" }), "name"),
            (json!([]), "JSON object"),
        ] {
            let refused =
                problem(&world.send(protocol, &world.owner, Method::POST, "keys", &content).await, 400);
            assert!(refused["detail"].as_str().unwrap().contains(clue), "{content}: {refused}");
        }
    }
}
