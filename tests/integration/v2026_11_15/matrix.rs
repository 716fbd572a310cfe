//! Role by endpoint: each role in each environment calls every endpoint of every date, on things of its own organization
//! and of another. What it gets follows from the role's permissions and what the organization was granted.

use http::{Method, StatusCode};
use permissions::{ApiAccessPermission, BuiltInRole, Environment, RoleOf, ceiling};
use tests::{Client, Protocol, TestGateway};
use versions::ErrorCode;

use super::{path, problem};
use crate::routes::{NOWHERE, assert_code, fresh, routes, target};

#[tokio::test]
async fn each_role_may_exactly_what_it_allows_within_the_grant_and_nothing_elsewhere() {
    let gateway = TestGateway::start("[limits]\nkey_rate = \"100000/s\"").await;
    let mut people = gateway.people();
    let acme = people.organization("acme", ApiAccessPermission::empty());
    let granted = |environment| match environment {
        Environment::Staging => ApiAccessPermission::grantable(),
        Environment::Production => ApiAccessPermission::PING_READ,
    };
    for environment in Environment::ALL {
        people.grant(acme.id, environment, granted(environment));
    }
    let rival = people.organization("rival", ApiAccessPermission::grantable());
    // It lacks something to ask for.
    people.grant(rival.id, Environment::Production, ApiAccessPermission::PING_READ);
    let custom = ApiAccessPermission::PING_READ
        | ApiAccessPermission::CONNECTION_READ
        | ApiAccessPermission::KEYS_READ
        | ApiAccessPermission::MEMBERS_WRITE
        | ApiAccessPermission::AUDIT_READ
        | ApiAccessPermission::REQUESTS_REVIEW;
    // No organization but the operator's reviews: that part of a role grants nothing.
    let custom_role = people.role(acme.id, "custom", custom - ApiAccessPermission::REQUESTS_REVIEW);
    let roles = BuiltInRole::ALL.map(|role| (role.name(), RoleOf::BuiltIn(role), role.permissions()));
    let roles = roles.into_iter().chain([
        ("custom", RoleOf::Custom(custom_role), custom),
        ("nobody", RoleOf::Custom(acme.nobody), ApiAccessPermission::empty()),
    ]);
    let client = Client::over(&gateway, Protocol::H2).await;
    let (mut allowed_calls, mut refused_calls) = (0, 0);
    for (name, role, permissions) in roles {
        let member = people.member(acme.id, role);
        for environment in Environment::ALL {
            let token = people.token(member, environment);
            people.applied().await;
            let may = permissions & ceiling(false, Some(granted(environment)));
            for route in routes() {
                let context = format!("{name} in {environment}: {} of {}", route.name, route.version);
                let route = fresh(&route);
                let own = match route.names_one() {
                    true => route.at(target(&mut people, &route, acme, member)),
                    false => route.clone(),
                };
                let answer = client.ask(own.call(&token)).await;
                if !may.contains(route.permission) {
                    refused_calls += 1;
                    assert_code(&answer, ErrorCode::PermissionMissing, &context);
                    assert_eq!(
                        answer.json()["requiredPermission"],
                        route.permission.to_string(),
                        "{context}"
                    );
                } else if environment == Environment::Staging && route.is_of_both_environments() {
                    refused_calls += 1;
                    assert_code(&answer, ErrorCode::PermissionMissing, &context);
                } else {
                    allowed_calls += 1;
                    assert_eq!(answer.status, route.status, "{context}: {answer:?}");
                    for foreign in [rival.id.to_string(), rival.owner.to_string(), rival.nobody.to_string()] {
                        assert!(!answer.text().contains(&foreign), "{context}: {answer:?}");
                    }
                }
                if route.names_one() {
                    let theirs = route.at(target(&mut people, &route, rival, rival.owner));
                    let theirs = client.ask(theirs.call(&token)).await;
                    let none = client.ask(route.at(NOWHERE).call(&token)).await;
                    let expected = if may.contains(route.permission) {
                        StatusCode::NOT_FOUND
                    } else {
                        StatusCode::FORBIDDEN
                    };
                    let (theirs, none) =
                        (problem(&theirs, expected.as_u16()), problem(&none, expected.as_u16()));
                    assert_eq!(theirs, none, "{context}: another organization's is like none");
                }
            }
        }
    }
    println!("{allowed_calls} calls were allowed, {refused_calls} were refused");
    assert!(allowed_calls > 100 && refused_calls > 50, "{allowed_calls}, {refused_calls}");
    // Nothing of the other organization was changed.
    let owner = people.token(rival.owner, Environment::Staging);
    people.applied().await;
    let audit = client.ask(owner.request(&Method::GET, &path("audit"))).await.json();
    let entries = audit["entries"].as_array().expect("it is a list");
    let is_its_own =
        |entry: &serde_json::Value| entry["actor"] == "operator" || entry["action"] == "request.file";
    assert!(entries.iter().all(is_its_own), "{audit}");
}
