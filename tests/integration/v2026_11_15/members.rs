//! `/2026-11-15/members*.json`.

use std::time::{Duration, Instant};

use http::Method;
use permissions::{ApiAccessPermission, BuiltInRole, Environment, RoleOf};
use serde_json::{Value, json};
use tests::{Client, Key, Protocol};

use super::{PROTOCOLS, World, body, ids, path, problem};
use crate::contract::assert_unauthorized;
use crate::routes::NOWHERE;

const PING: &str = "/2026-11-01/ping.json";
/// From the response to a removal until the removed member's connection gets 401.
const AT_ONCE: Duration = Duration::from_millis(100);

#[tokio::test]
async fn members_are_listed_page_by_page() {
    let mut world = World::new().await;
    let viewer = world.member(BuiltInRole::Viewer).0.to_string();
    let owner = world.acme.owner.to_string();
    for protocol in PROTOCOLS {
        let all = body(&world.get(protocol, &world.owner_in_production, "members").await, 200);
        assert_eq!(ids(&all, "members"), [owner.clone(), viewer.clone()], "none of another organization");
        assert_eq!(
            (&all["members"][0]["role"], &all["members"][1]["role"]),
            (&json!("owner"), &json!("viewer"))
        );
        let page = async |query: String| {
            body(
                &world
                    .ask(protocol, world.owner_in_production.get(&format!("{}{query}", path("members"))))
                    .await,
                200,
            )
        };
        let first = page("?limit=1".to_owned()).await;
        assert_eq!((ids(&first, "members"), &first["next"]), (vec![owner.clone()], &json!(owner)));
        let last = page(format!("?limit=1&after={owner}")).await;
        assert_eq!((ids(&last, "members"), &last["next"]), (vec![viewer.clone()], &Value::Null));
    }
}

#[tokio::test]
async fn a_change_of_role_acts_at_once_on_live_connections() {
    let mut world = World::new().await;
    for protocol in PROTOCOLS {
        let (member, token) = world.member(BuiltInRole::Viewer);
        let second = world.people.token(member, Environment::Staging);
        world.people.applied().await;
        let live = Client::over(&world.gateway, protocol).await;
        for (role, status) in [("developer", 200), ("viewer", 403), ("developer", 200), ("nobody", 403)] {
            let resource = format!("members/{member}");
            let role_change = json!({ "role": role });
            let changed = world
                .send(protocol, &world.owner_in_production, Method::PATCH, &resource, &role_change)
                .await;
            assert_eq!(body(&changed, 200)["role"], role);
            for token in [&token, &second] {
                let answer = live.ask(token.get(PING)).await;
                assert_eq!(answer.status, status, "{protocol:?}: {role}: {answer:?}");
            }
        }
        assert!(live.is_open(), "{protocol:?}: no new connection was needed");
    }
}

#[tokio::test]
async fn a_removed_member_gets_401_within_100_milliseconds_on_a_live_connection() {
    let _turn = tests::heavy().await;
    let mut world = World::new().await;
    for protocol in PROTOCOLS {
        let (member, token) = world.member(BuiltInRole::Developer);
        world.people.applied().await;
        let live = Client::over(&world.gateway, protocol).await;
        assert_eq!(live.ask(token.get(PING)).await.status, 200);
        let manager = Client::over(&world.gateway, protocol).await;
        let resource = format!("members/{member}");
        let removal = world.owner_in_production.request(&Method::DELETE, &path(&resource));
        let removed = manager.ask(removal).await;
        let since = Instant::now();
        assert_eq!((removed.status.as_u16(), removed.body.len()), (204, 0), "{removed:?}");
        let refused = loop {
            match live.send(token.get(PING)).await {
                Ok(answer) if answer.status == 200 => {
                    assert!(since.elapsed() < AT_ONCE, "{protocol:?}: still served")
                }
                Ok(answer) => break Some(answer),
                // The connection ends as well, which may be first.
                Err(_) => break None,
            }
        };
        let took = since.elapsed();
        println!("{protocol:?}: refused after {took:?}");
        assert!(took < AT_ONCE, "{protocol:?}: refused after {took:?}");
        if let Some(answer) = refused {
            assert_unauthorized(&answer, true, "removed");
        }
        assert_unauthorized(
            &world.ask(protocol, token.get(PING)).await,
            true,
            "removed, on a new connection",
        );
        assert!(live.closed(tests::PATIENCE).await.is_some(), "{protocol:?}: its connection ends");
        let again =
            world.ask(protocol, world.owner_in_production.request(&Method::DELETE, &path(&resource))).await;
        problem(&again, 404);
    }
}

#[tokio::test]
async fn the_last_owner_stays() {
    let mut world = World::new().await;
    for protocol in PROTOCOLS {
        let resource = format!("members/{}", world.acme.owner);
        let demotion = json!({ "role": "admin" });
        let demote = async |world: &World, id: &str| {
            world
                .send(
                    protocol,
                    &world.owner_in_production,
                    Method::PATCH,
                    &format!("members/{id}"),
                    &demotion,
                )
                .await
        };
        let refused = problem(&demote(&world, &world.acme.owner.to_string()).await, 409);
        assert!(refused["detail"].as_str().unwrap().contains("owner"), "{refused}");
        let removal = world.owner_in_production.request(&Method::DELETE, &path(&resource));
        problem(&world.ask(protocol, removal).await, 409);
        // With a second owner, one of them may go.
        let (second, _) = world.member(BuiltInRole::Owner);
        let token = world.people.token(second, Environment::Production);
        world.people.applied().await;
        assert_eq!(body(&demote(&world, &second.to_string()).await, 200)["role"], "admin");
        let denied = world.ask(protocol, token.send(&Method::PATCH, &path(&resource), &demotion)).await;
        problem(&denied, 403);
        world.people.remove(second);
    }
}

#[tokio::test]
async fn nobody_gives_or_takes_a_role_above_their_own() {
    let mut world = World::new().await;
    let (admin, _) = world.member(BuiltInRole::Admin);
    let admin = world.people.token(admin, Environment::Production);
    let (viewer, _) = world.member(BuiltInRole::Viewer);
    let role = world.people.role(world.acme.id, "member manager", ApiAccessPermission::MEMBERS_WRITE);
    let manager = world.people.member(world.acme.id, RoleOf::Custom(role));
    let manager = world.people.token(manager, Environment::Production);
    world.people.applied().await;
    let owner = world.acme.owner;
    for protocol in PROTOCOLS {
        for (who, id, role) in [
            (&admin, viewer, "owner"),
            (&admin, owner, "viewer"),
            (&manager, viewer, "nobody"),
            (&manager, viewer, "developer"),
        ] {
            let change = json!({ "role": role });
            let resource = format!("members/{id}");
            problem(&world.send(protocol, who, Method::PATCH, &resource, &change).await, 403);
        }
        for (who, id) in [(&admin, owner), (&manager, viewer)] {
            let removal = who.request(&Method::DELETE, &path(&format!("members/{id}")));
            problem(&world.ask(protocol, removal).await, 403);
        }
        let change = json!({ "role": "viewer" });
        let allowed =
            world.send(protocol, &admin, Method::PATCH, &format!("members/{viewer}"), &change).await;
        body(&allowed, 200);
    }
}

#[tokio::test]
async fn a_credential_of_staging_changes_nobody_for_both_environments() {
    let mut world = World::new().await;
    let (member, _) = world.member(BuiltInRole::Viewer);
    world.people.applied().await;
    for protocol in PROTOCOLS {
        let (member, role) = (format!("members/{member}"), format!("roles/{}", world.acme.nobody));
        let invitation = json!({ "role": "viewer" });
        for (method, resource, content) in [
            (Method::PATCH, &*member, json!({ "role": "admin" })),
            (Method::DELETE, &*member, Value::Null),
            (Method::POST, "roles", json!({ "name": "x", "permissions": [] })),
            (Method::PATCH, &*role, json!({ "permissions": ["me:read"] })),
            (Method::DELETE, &*role, Value::Null),
            (Method::POST, "invitations", invitation),
        ] {
            let refused = world.send(protocol, &world.owner, method.clone(), resource, &content).await;
            let refused = problem(&refused, 403);
            let detail = refused["detail"].as_str().unwrap();
            assert!(detail.contains("use one of production"), "{method} {resource}: {detail}");
        }
    }
}

#[tokio::test]
async fn anothers_member_is_like_none_and_so_is_a_role_that_is_not_there() {
    let world = World::new().await;
    let foreign = world.rival.owner.to_string();
    for protocol in PROTOCOLS {
        let answers = async |method: Method, content: &Value| {
            let mut answers = Vec::new();
            for id in [NOWHERE, &foreign] {
                let request =
                    world.owner_in_production.send(&method, &path(&format!("members/{id}")), content);
                answers.push(problem(&world.ask(protocol, request).await, 404));
            }
            assert_eq!(answers[0], answers[1], "{method}");
        };
        answers(Method::PATCH, &json!({ "role": "viewer" })).await;
        answers(Method::DELETE, &json!({})).await;
        let change = json!({ "role": "no such role" });
        let resource = format!("members/{}", world.acme.owner);
        problem(
            &world.send(protocol, &world.owner_in_production, Method::PATCH, &resource, &change).await,
            404,
        );
        for (content, clue) in
            [(json!({}), "role"), (json!({ "role": 1 }), "role"), (json!({ "role": "viewer", "x": 1 }), "x")]
        {
            let refused = problem(
                &world.send(protocol, &world.owner_in_production, Method::PATCH, &resource, &content).await,
                400,
            );
            assert!(refused["detail"].as_str().unwrap().contains(clue), "{content}: {refused}");
        }
    }
}

#[tokio::test]
async fn a_person_may_leave_without_a_recent_authentication() {
    let mut world = World::new().await;
    for protocol in [Protocol::H1Tls, Protocol::H3] {
        let admin = world.people.member(world.acme.id, RoleOf::BuiltIn(BuiltInRole::Admin));
        let token: Key = world.people.token_of_age(admin, Environment::Staging, Duration::from_secs(3600));
        world.people.applied().await;
        let leave = token.request(&Method::DELETE, &path(&format!("members/{admin}")));
        assert_eq!(world.ask(protocol, leave).await.status, 204);
        assert_unauthorized(&world.ask(protocol, token.get(PING)).await, true, "gone");
    }
}
