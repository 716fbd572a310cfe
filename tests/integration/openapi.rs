//! The OpenAPI documents against a third-party validator, and against real responses.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use permissions::{ApiAccessPermission, Environment};
use serde_json::{Value, json};
use tests::{Client, Key, KeySpec, Protocol, Response, TestGateway, client_script, repository, tool};
use versions::docs::{Location, Parameter, openapi};
use versions::{Catalog, RELEASES};

use crate::routes::{Route, fresh, routes, target};

const PATIENCE: Duration = Duration::from_secs(120);
/// What one document takes with one credential.
const GENERATED_PATIENCE: Duration = Duration::from_secs(240);

fn answered(route: &Route, answer: &Response) -> Value {
    let fields =
        answer.headers.iter().map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes())));
    let fields: Vec<_> = fields.collect();
    json!({
        "version": route.version,
        "method": route.method.as_str(),
        "path": route.template,
        "status": answer.status.as_u16(),
        "fields": fields,
        "body": answer.text(),
    })
}

/// The calls with and without each parameter, and the statuses of their responses.
fn calls_with_parameters(key: &Key, route: &Route, parts: &[Parameter]) -> Vec<(u16, Request<Bytes>)> {
    // Reviews are called by somebody who may, of a request that there is not.
    let handled = if route.is_review() { 404 } else { route.status_of_key().as_u16() };
    let mut calls = Vec::new();
    for part in parts {
        let name = part.name.as_str();
        // Any text is a name, a filter or a cursor.
        let is_free = part.schema["type"] == "string"
            && ["enum", "format", "const"].iter().all(|word| part.schema.get(word).is_none());
        let wrong = if is_free && part.place == Location::Query { handled } else { 400 };
        match part.place {
            Location::Path => calls.push((400, route.at("no%20such%20value").call(key))),
            Location::Query => {
                let example = part.example.as_ref();
                let example =
                    example.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
                calls.extend(
                    example.map(|value| (handled, route.call_with(key, &format!("?{name}={value}")))),
                );
                calls.push((wrong, route.call_with(key, &format!("?{name}=no%20such%20value"))));
            }
            Location::Content => {
                let mut route = route.clone();
                let content = route.content.as_mut().expect("it has content");
                content[name] = json!({ "no such": "value" });
                calls.push((wrong, route.call(key)));
            }
        }
    }
    calls
}

#[tokio::test]
async fn the_documents_are_valid_and_every_response_conforms() {
    let gateway = TestGateway::start("").await;
    let key = gateway.create_key(KeySpec::with_all(Environment::Staging)).await;
    // A low rate, so that the limit is easily reached.
    let slow = gateway.create_key(KeySpec::with_all(Environment::Staging).option("--rate", "1/s")).await;
    // A person who may do everything, for what a key may not.
    let mut people = gateway.people();
    let acme = people.organization("acme", ApiAccessPermission::grantable());
    // It lacks something to ask for.
    people.grant(acme.id, Environment::Staging, ApiAccessPermission::PING_READ);
    let person = people.token(acme.owner, Environment::Production);
    let reviewer = people.reviewer();
    people.applied().await;
    // Over HTTP/1.1 a malformed request closes its connection.
    let client = Client::over(&gateway, Protocol::H2).await;
    let catalog = Catalog::new(RELEASES).unwrap();
    let mut answers = Vec::new();
    for (entry, route) in catalog.entries().iter().zip(routes()) {
        let required = route.permission.to_string();
        let others: Vec<String> =
            crate::contract::permissions().into_iter().filter(|name| *name != required).collect();
        let others: Vec<&str> = others.iter().map(String::as_str).collect();
        let lacking = gateway.create_key(KeySpec::with_permissions(Environment::Staging, &others)).await;
        let caller = if route.is_review() { &reviewer } else { &key };
        let mut not_acceptable = route.call(caller);
        not_acceptable.headers_mut().insert("accept", "text/html".parse().unwrap());
        let mut too_early = route.call(caller);
        too_early.headers_mut().insert("early-data", "1".parse().unwrap());
        let mut calls = vec![
            (route.status_of_key().as_u16(), route.call(&key)),
            (401, route.request()),
            (403, route.call(&lacking)),
            (425, too_early),
        ];
        let own = match route.names_one() {
            true => route.at(target(&mut people, &route, acme, acme.owner)),
            false => route.clone(),
        };
        calls.push((route.status.as_u16(), own.call(if route.is_review() { &reviewer } else { &person })));
        // Without a body there is no type to refuse.
        calls.extend((route.status != StatusCode::NO_CONTENT).then_some((406, not_acceptable)));
        calls.extend(calls_with_parameters(
            caller,
            &route,
            &versions::docs::parameters(&entry.route).unwrap(),
        ));
        for (status, call) in calls {
            let answer = client.ask(call).await;
            assert_eq!(answer.status.as_u16(), status, "{} of {}: {answer:?}", route.name, route.version);
            answers.push(answered(&route, &answer));
        }
        // A key that may not review does not get as far as its rate.
        if route.is_review() {
            continue;
        }
        let limited = loop {
            let answer = client.ask(route.call(&slow)).await;
            if answer.status == 429 {
                break answer;
            }
        };
        answers.push(answered(&route, &limited));
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("answers.json");
    std::fs::write(&file, json!(answers).to_string()).unwrap();
    let arguments = [repository().join("versions/openapi"), file].map(|path| path.display().to_string());
    let interpreter = tool("py-openapi/bin/python3");
    let printed = client_script(interpreter, "openapi.py", &arguments, PATIENCE).await;
    assert_eq!(printed["wrong"], json!([]), "{printed:#}");
    assert_eq!(printed["documents"], RELEASES.len(), "{printed}");
    assert_eq!(printed["answers"], answers.len(), "{printed}");
    assert!(printed["examples"].as_u64() >= Some(catalog.entries().len() as u64), "{printed}");
}

/// schemathesis generates valid and invalid requests from the documents, and checks the responses: with a key, and with
/// the token of a person who may do everything.
#[tokio::test]
async fn generated_requests_get_documented_responses() {
    let _turn = tests::heavy().await;
    let gateway = TestGateway::start("[limits]\nkey_rate = \"100000/s\"").await;
    let key = gateway.create_key(KeySpec::with_all(Environment::Staging)).await;
    let mut people = gateway.people();
    let acme = people.organization("acme", ApiAccessPermission::grantable());
    let person = people.token(acme.owner, Environment::Production);
    people.applied().await;
    let url = format!("http://{}", gateway.address(Protocol::H1));
    for release in RELEASES {
        let document = repository().join(format!("versions/openapi/{}.json", release.version));
        for credential in [&key, &person] {
            let arguments = [document.display().to_string(), url.clone(), credential.key.clone()];
            let interpreter = tool("py-openapi/bin/python3");
            let printed =
                client_script(interpreter, "generated_requests.py", &arguments, GENERATED_PATIENCE).await;
            let output = printed["output"].as_str().unwrap();
            assert_eq!(printed["passed"], true, "{}:\n{output}", release.version);
        }
    }
}

/// A response with an undocumented field is drift too, although clients ignore it.
#[tokio::test]
async fn no_response_has_undocumented_fields() {
    let gateway = TestGateway::start("").await;
    let mut people = gateway.people();
    let acme = people.organization("acme", ApiAccessPermission::grantable());
    // It lacks something to ask for.
    people.grant(acme.id, Environment::Staging, ApiAccessPermission::PING_READ);
    let person = people.token(acme.owner, Environment::Production);
    let reviewer = people.reviewer();
    people.applied().await;
    let catalog = Catalog::new(RELEASES).unwrap();
    let documents: Vec<_> =
        RELEASES.iter().map(|release| (release, openapi(&catalog, release).unwrap())).collect();
    for protocol in [Protocol::H1, Protocol::H2, Protocol::H3] {
        let client = Client::over(&gateway, protocol).await;
        for route in routes() {
            let (_, document) = documents
                .iter()
                .find(|(release, _)| release.version.to_string() == route.version)
                .expect("it is the route of a release");
            let own = match route.names_one() {
                true => route.at(target(&mut people, &route, acme, acme.owner)),
                false => fresh(&route),
            };
            let answer = client.ask(own.call(if route.is_review() { &reviewer } else { &person })).await;
            let context = format!("{} {} over {protocol:?}", route.method, route.template);
            assert_eq!(answer.status, route.status, "{context}: {answer:?}");
            let method = route.method.as_str().to_ascii_lowercase();
            let response = &document["paths"][&route.template][method]["responses"][route.status.as_str()];
            if answer.body.is_empty() {
                assert!(response["content"].is_null(), "{context}: it has a body in the document");
                continue;
            }
            let schema = &response["content"]["application/json"]["schema"];
            assert_documented(&answer.json(), schema, document, &context);
        }
    }
}

/// Asserts that every field of a value is in its schema, recursively.
#[track_caller]
fn assert_documented(value: &Value, schema: &Value, document: &Value, context: &str) {
    let mut schemas = vec![schema];
    let mut objects = Vec::new();
    let mut items = None;
    while let Some(schema) = schemas.pop() {
        let target = schema["$ref"].as_str().map(|reference| document.pointer(&reference[1..]).unwrap());
        schemas.extend(target);
        schemas.extend(["oneOf", "anyOf"].iter().filter_map(|word| schema[*word].as_array()).flatten());
        objects.extend(schema["properties"].as_object());
        items = schema.get("items").or(items);
    }
    match value {
        // Any JSON at all, such as a target before a change.
        Value::Object(_) if objects.is_empty() => {}
        Value::Object(members) => {
            for (name, value) in members {
                let known = objects.iter().find_map(|properties| properties.get(name));
                let known = known.unwrap_or_else(|| panic!("{context}: `{name}` is in no document: {value}"));
                assert_documented(value, known, document, context);
            }
        }
        Value::Array(values) => {
            let items = items.unwrap_or_else(|| panic!("{context}: a list that no document knows"));
            values.iter().for_each(|value| assert_documented(value, items, document, context));
        }
        _ => {}
    }
}
