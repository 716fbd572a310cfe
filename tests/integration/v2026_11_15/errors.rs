//! The statuses that every endpoint of this date can respond with. Those that follow from what an endpoint does are in
//! the files of the resources.

use http::{HeaderValue, Method, StatusCode};
use permissions::Environment;
use tests::{Client, KeySpec, Protocol, TestGateway};
use versions::ErrorCode;

use super::PROTOCOLS;
use crate::contract::{assert_problem, assert_unauthorized, permissions};
use crate::routes::{Route, assert_code, routes_of};

fn all() -> Vec<Route> {
    routes_of("2026-11-15")
}

#[tokio::test]
async fn status_401_without_a_credential_and_403_without_the_permission() {
    let gateway = TestGateway::start("").await;
    for route in all() {
        let required = route.permission.to_string();
        let others: Vec<String> = permissions().into_iter().filter(|name| *name != required).collect();
        let others: Vec<&str> = others.iter().map(String::as_str).collect();
        let key = gateway.create_key(KeySpec::with_permissions(Environment::Production, &others)).await;
        for protocol in PROTOCOLS {
            let context = format!("{} over {protocol:?}", route.name);
            let answer = Client::over(&gateway, protocol).await.ask(route.request()).await;
            assert_unauthorized(&answer, false, &context);
            let answer = Client::over(&gateway, protocol).await.ask(route.call(&key)).await;
            assert_code(&answer, ErrorCode::PermissionMissing, &context);
            assert_eq!(answer.json()["requiredPermission"], required, "{context}");
        }
    }
}

#[tokio::test]
async fn status_405_names_the_methods_that_are_there() {
    let gateway = TestGateway::start("").await;
    let key = gateway.create_key(KeySpec::with_all(Environment::Staging)).await;
    let all = all();
    for route in &all {
        let methods: Vec<&Method> =
            all.iter().filter(|other| other.template == route.template).map(|other| &other.method).collect();
        for protocol in PROTOCOLS {
            let context = format!("{} over {protocol:?}", route.template);
            let answer =
                Client::over(&gateway, protocol).await.ask(key.request(&Method::PUT, &route.path)).await;
            assert_problem(&answer, 405, &context);
            let allowed: Vec<&str> = answer.field("allow").expect("405 has it").split(", ").collect();
            for method in &methods {
                assert!(allowed.contains(&method.as_str()), "{context}: {allowed:?}");
            }
            assert_eq!(allowed.contains(&"HEAD"), methods.contains(&&Method::GET), "{context}: {allowed:?}");
            assert!(!allowed.contains(&"PUT"), "{context}: {allowed:?}");
        }
    }
}

#[tokio::test]
async fn status_406_415_and_425_follow_from_the_request_fields() {
    let gateway = TestGateway::start("").await;
    let key = gateway.create_key(KeySpec::with_all(Environment::Staging)).await;
    let reviewer = gateway.people().reviewer();
    for route in all() {
        let key = if route.is_review() { &reviewer } else { &key };
        for protocol in PROTOCOLS {
            for (name, value, status) in
                [("accept", "text/html", 406), ("early-data", "1", 425), ("content-type", "text/plain", 415)]
            {
                // Only content has a type, and only a body is of a type that may be refused.
                let matters = match name {
                    "content-type" => route.content.is_some(),
                    "accept" => route.status != StatusCode::NO_CONTENT,
                    _ => true,
                };
                let mut request = route.call(key);
                request.headers_mut().insert(name, HeaderValue::from_static(value));
                let answer = Client::over(&gateway, protocol).await.ask(request).await;
                let context = format!("{name} of {} over {protocol:?}", route.name);
                if matters {
                    assert_problem(&answer, status, context);
                } else {
                    route.assert_handled(&answer, context);
                }
            }
        }
    }
}

#[tokio::test]
async fn status_410_once_the_version_is_retired() {
    let days = "[versions.2026-11-15]\npublished = \"2026-02-01\"\ndeprecated = \"2026-02-02\"\nsunset = \"2026-02-03\"";
    let gateway = TestGateway::start(days).await;
    let key = gateway.create_key(KeySpec::with_all(Environment::Staging)).await;
    for route in all() {
        for protocol in PROTOCOLS {
            let answer = Client::over(&gateway, protocol).await.ask(route.call(&key)).await;
            assert_problem(&answer, 410, format!("{} over {protocol:?}", route.name));
        }
    }
}

#[tokio::test]
async fn status_429_beyond_the_rate_limit() {
    /// A second may pass between two calls, so that the second one is within the rate again.
    const CALLS_MAX: usize = 20;
    let gateway = TestGateway::start("[limits]\nkey_rate = \"1/s\"").await;
    let key = gateway.create_key(KeySpec::with_all(Environment::Staging)).await;
    let reviewer = gateway.people().reviewer();
    let client = Client::over(&gateway, Protocol::H2).await;
    for route in all() {
        let key = if route.is_review() { &reviewer } else { &key };
        let mut limited = None;
        for _ in 0..CALLS_MAX {
            let answer = client.ask(route.call(key)).await;
            if answer.status == 429 {
                limited = Some(answer);
                break;
            }
            if route.is_review() {
                assert_code(&answer, ErrorCode::UnknownResource, route.name);
            } else {
                route.assert_handled(&answer, route.name);
            }
        }
        let limited = limited.unwrap_or_else(|| panic!("{}: {CALLS_MAX} calls and no 429", route.name));
        let problem = assert_problem(&limited, 429, route.name);
        let retry_after = problem["retryAfterSeconds"].to_string();
        assert_eq!(limited.field("retry-after"), Some(retry_after.as_str()), "{}", route.name);
    }
}
