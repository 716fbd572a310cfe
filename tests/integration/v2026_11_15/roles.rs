//! `/2026-11-15/roles*.json`.

use http::Method;
use permissions::{ApiAccessPermission, BuiltInRole, Environment, RoleOf};
use serde_json::{Value, json};
use tests::Client;

use super::{PROTOCOLS, World, body, path, problem};
use crate::routes::NOWHERE;

const PING: &str = "/2026-11-01/ping.json";

#[tokio::test]
async fn a_role_is_created_listed_changed_and_removed() {
    let world = World::new().await;
    for protocol in PROTOCOLS {
        let new = json!({ "name": "monitoring", "permissions": ["ping:read"] });
        let created =
            body(&world.send(protocol, &world.owner_in_production, Method::POST, "roles", &new).await, 201);
        assert_eq!((&created["builtIn"], &created["permissions"]), (&json!(false), &json!(["ping:read"])));
        let listed = body(&world.get(protocol, &world.owner_in_production, "roles").await, 200);
        let names: Vec<_> =
            listed["roles"].as_array().unwrap().iter().map(|role| role["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["owner", "admin", "developer", "viewer", "monitoring", "nobody"]);
        let again = world.send(protocol, &world.owner_in_production, Method::POST, "roles", &new).await;
        problem(&again, 409);
        let resource = format!("roles/{}", created["id"].as_str().unwrap());
        let change = json!({ "permissions": ["me:read"] });
        let changed =
            world.send(protocol, &world.owner_in_production, Method::PATCH, &resource, &change).await;
        assert_eq!(body(&changed, 200)["permissions"], json!(["me:read"]));
        let remove = async || {
            world.ask(protocol, world.owner_in_production.request(&Method::DELETE, &path(&resource))).await
        };
        let removed = remove().await;
        assert_eq!((removed.status.as_u16(), removed.body.len()), (204, 0), "{removed:?}");
        problem(&remove().await, 404);
    }
}

#[tokio::test]
async fn a_changed_role_acts_at_once_on_those_who_have_it_and_stays_while_they_do() {
    let mut world = World::new().await;
    for protocol in PROTOCOLS {
        let role = world.people.role(world.acme.id, "pinger", ApiAccessPermission::empty());
        let member = world.people.member(world.acme.id, RoleOf::Custom(role));
        let token = world.people.token(member, Environment::Staging);
        world.people.applied().await;
        let live = Client::over(&world.gateway, protocol).await;
        let resource = format!("roles/{role}");
        for (permissions, status) in [(json!(["ping:read"]), 200), (json!([]), 403)] {
            let change = json!({ "permissions": permissions });
            body(
                &world.send(protocol, &world.owner_in_production, Method::PATCH, &resource, &change).await,
                200,
            );
            assert_eq!(live.ask(token.get(PING)).await.status, status, "{protocol:?}: {permissions}");
        }
        assert!(live.is_open());
        let remove = world.owner_in_production.request(&Method::DELETE, &path(&resource));
        problem(&world.ask(protocol, remove.clone()).await, 409);
        world.people.remove(member);
        assert_eq!(world.ask(protocol, remove).await.status, 204);
    }
}

#[tokio::test]
async fn a_role_has_nothing_that_its_maker_lacks() {
    let mut world = World::new().await;
    let role = world.people.role(world.acme.id, "role maker", ApiAccessPermission::ROLES_WRITE);
    let maker = world.people.member(world.acme.id, RoleOf::Custom(role));
    let maker = world.people.token(maker, Environment::Production);
    world.people.applied().await;
    for protocol in PROTOCOLS {
        for (who, permission) in [
            (&maker, "audit:read"),
            (&world.owner_in_production, "connection:read"),
            (&world.owner_in_production, "requests:review"),
        ] {
            let new = json!({ "name": "more", "permissions": [permission] });
            let refused = problem(&world.send(protocol, who, Method::POST, "roles", &new).await, 403);
            assert_eq!(refused["requiredPermission"], permission, "{refused}");
            let change = json!({ "permissions": [permission] });
            let resource = format!("roles/{}", world.acme.nobody);
            problem(&world.send(protocol, who, Method::PATCH, &resource, &change).await, 403);
        }
        // Nobody promotes themselves.
        let change = json!({ "permissions": ["roles:write", "keys:write"] });
        problem(&world.send(protocol, &maker, Method::PATCH, &format!("roles/{role}"), &change).await, 403);
    }
}

#[tokio::test]
async fn a_role_is_refused_by_name() {
    let world = World::new().await;
    for protocol in PROTOCOLS {
        for (new, status) in BuiltInRole::ALL
            .map(|role| (json!({ "name": role.name(), "permissions": [] }), 409))
            .into_iter()
            .chain([
                (json!({ "name": NOWHERE, "permissions": [] }), 409),
                (json!({ "name": "", "permissions": [] }), 400),
                (json!({ "name": " x", "permissions": [] }), 400),
                (json!({ "name": "a\u{202e}b", "permissions": [] }), 400),
                (json!({ "name": "x".repeat(129), "permissions": [] }), 400),
                (json!({ "name": "x", "permissions": ["x:y"] }), 400),
                (json!({ "name": "x", "permissions": [], "level": 1 }), 400),
            ])
        {
            problem(
                &world.send(protocol, &world.owner_in_production, Method::POST, "roles", &new).await,
                status,
            );
        }
    }
}

#[tokio::test]
async fn anothers_role_is_like_none() {
    let mut world = World::new().await;
    let foreign = world.rival.nobody.to_string();
    let (member, _) = world.member(BuiltInRole::Viewer);
    let theirs = world.people.role(world.rival.id, "theirs", ApiAccessPermission::empty());
    for protocol in PROTOCOLS {
        for (method, content) in
            [(Method::PATCH, json!({ "permissions": [] })), (Method::DELETE, Value::Null)]
        {
            let mut answers = Vec::new();
            for id in [NOWHERE, &foreign] {
                let request =
                    world.owner_in_production.send(&method, &path(&format!("roles/{id}")), &content);
                answers.push(problem(&world.ask(protocol, request).await, 404));
            }
            assert_eq!(answers[0], answers[1], "{method}");
        }
        for role in ["theirs", &theirs.to_string()] {
            let change = json!({ "role": role });
            let resource = format!("members/{member}");
            problem(
                &world.send(protocol, &world.owner_in_production, Method::PATCH, &resource, &change).await,
                404,
            );
        }
    }
}
