//! Clients that third-party generators create from the served documents: they call every endpoint of every
//! version over TLS as a person who may do everything, in each environment, and read typed values.

use std::path::PathBuf;
use std::time::Duration;

use permissions::{ApiAccessPermission, Environment};
use serde_json::{Value, json};
use tests::{Client, Family, Protocol, TestGateway, Way, client_script, get, tool};
use versions::RELEASES;

use crate::routes::{Route, fresh, routes_of, target};

/// How long generating, compiling and calling may take for one version and key.
const PATIENCE: Duration = Duration::from_secs(240);

async fn every_response_is_read(interpreter: PathBuf, script: &str) {
    let gateway = TestGateway::start("").await;
    let way = Way { protocol: Protocol::H1, family: Family::V4 };
    let docs = Client::open(&gateway, "docs", way).await.expect("the documentation is served");
    let mut people = gateway.people();
    let acme = people.organization("acme", ApiAccessPermission::grantable());
    let tokens = Environment::ALL.map(|environment| (environment, people.token(acme.owner, environment)));
    let reviews = (Environment::Production, people.reviewer());
    // Each list has an item.
    people.invitation(acme);
    people.key(acme.id, Environment::Staging, ApiAccessPermission::PING_READ);
    people.applied().await;
    for release in RELEASES {
        let version = release.version;
        let document = docs.ask(get(&format!("/openapi/{version}.json"))).await;
        assert_eq!(document.status, 200, "{version}");
        let server = document.json()["servers"][0]["url"].as_str().expect("a server has a URL").to_owned();
        assert_eq!(server, format!("https://{}", gateway.address(Protocol::H1Tls)), "{version}");
        let file = gateway.settings().folder().join(format!("{version}.json"));
        std::fs::write(&file, document.body).expect("the folder is writable");
        let ca = gateway.ready().ca.display().to_string();
        let routes = routes_of(&version.to_string());
        let callers = tokens.iter().map(|token| (token, false)).chain([(&reviews, true)]);
        for ((environment, token), is_reviewer) in callers {
            let may = |route: &Route| {
                route.is_review() == is_reviewer
                    && (*environment == Environment::Production || !route.is_of_both_environments())
            };
            let routes: Vec<_> = routes.iter().filter(|route| may(route)).collect();
            if routes.is_empty() {
                continue;
            }
            let mut operations: Vec<_> = routes.iter().map(|route| route.name.to_owned()).collect();
            operations.sort();
            // It lacks something to ask for, in the other environment.
            for other in Environment::ALL {
                let all = ApiAccessPermission::grantable();
                let granted = if other == *environment { all } else { ApiAccessPermission::PING_READ };
                people.grant(acme.id, other, granted);
            }
            people.applied().await;
            // What each operation is called with: a thing of its own, so that their order does not matter.
            let mut calls = serde_json::Map::new();
            for route in &routes {
                let id = route.names_one().then(|| target(&mut people, route, acme, acme.owner));
                let call = json!({ "id": id, "content": fresh(route).content });
                calls.insert(route.name.to_owned(), call);
            }
            let calls_file = gateway.settings().folder().join("calls.json");
            std::fs::write(&calls_file, Value::from(calls).to_string()).expect("the folder is writable");
            let [file, calls_file] = [&file, &calls_file].map(|path| path.display().to_string());
            let arguments = [file, server.clone(), ca.clone(), token.key.clone(), calls_file];
            let responses = client_script(interpreter.clone(), script, &arguments, PATIENCE).await;
            let mut called: Vec<_> = responses.as_object().expect("an object").keys().cloned().collect();
            called.sort();
            assert_eq!(called, operations, "{version}: every operation is called");
            if is_reviewer {
                continue;
            }
            assert_environment(&responses, &token.environment, &version.to_string());
        }
    }
}

/// The values arrived: each `env` is that of the key.
#[track_caller]
fn assert_environment(responses: &Value, environment: &str, version: &str) {
    for env in [&responses["ping"]["env"], &responses["connection"]["endpoint"]["env"]] {
        assert_eq!(*env, environment, "{version}: {responses}");
    }
}

#[tokio::test]
async fn openapi_python_client_reads_every_response() {
    let _turn = tests::heavy().await;
    every_response_is_read(tool("py-generated/bin/python"), "generated_python_client.py").await;
}

#[tokio::test]
async fn openapi_generator_reads_every_response() {
    let _turn = tests::heavy().await;
    every_response_is_read(tool("py-generated/bin/python"), "generated_openapi_generator_client.py").await;
}

#[tokio::test]
async fn openapi_typescript_and_openapi_fetch_read_every_response() {
    let _turn = tests::heavy().await;
    tool("node/node_modules/openapi-typescript");
    every_response_is_read("node".into(), "generated_typescript_client.mjs").await;
}
