//! The OpenAPI documents against a third-party validator, and against real responses.

use std::time::Duration;

use permissions::Environment;
use serde_json::{Value, json};
use tests::{Client, KeySpec, Protocol, Response, TestGateway, client_script, get, repository, tool};
use versions::docs::openapi;
use versions::{Catalog, RELEASES};

const PATIENCE: Duration = Duration::from_secs(120);

fn answered(version: &str, path: &str, answer: &Response) -> Value {
    let fields =
        answer.headers.iter().map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes())));
    let fields: Vec<_> = fields.collect();
    let status = answer.status.as_u16();
    json!({ "version": version, "method": "GET", "path": path, "status": status, "fields": fields, "body": answer.text() })
}

#[tokio::test]
async fn the_documents_are_valid_and_every_response_conforms() {
    let gateway = TestGateway::start("").await;
    let key = gateway.create_key(KeySpec::staging()).await;
    // A low rate, so that the limit is easily reached.
    let slow = gateway.create_key(KeySpec::staging().option("--rate", "1/s")).await;
    // Over HTTP/1.1 a malformed request closes its connection.
    let client = Client::over(&gateway, Protocol::H2).await;
    let catalog = Catalog::new(RELEASES).unwrap();
    let mut answers = Vec::new();
    for entry in catalog.entries() {
        let (version, path, permission) =
            (entry.version.to_string(), &entry.template, entry.route.permission);
        assert!(!path.contains('{'), "{path}: what stands in the path of a call to it?");
        let others: Vec<String> = crate::contract::permissions()
            .into_iter()
            .filter(|name| *name != permission.to_string())
            .collect();
        let others: Vec<&str> = others.iter().map(String::as_str).collect();
        let lacking = gateway.create_key(KeySpec::with_permissions(Environment::Staging, &others)).await;
        let mut not_acceptable = key.get(path);
        not_acceptable.headers_mut().insert("accept", "text/html".parse().unwrap());
        let mut too_early = key.get(path);
        too_early.headers_mut().insert("early-data", "1".parse().unwrap());
        let mut calls = vec![
            (200, key.get(path)),
            (401, get(path)),
            (403, lacking.get(path)),
            (406, not_acceptable),
            (425, too_early),
        ];
        for part in versions::docs::parameters(&entry.route).unwrap() {
            let (name, example) = (&part.name, part.example.expect("every parameter has an example"));
            let example = example.as_str().map_or_else(|| example.to_string(), str::to_owned);
            calls.push((200, key.get(&format!("{path}?{name}={example}"))));
            calls.push((400, key.get(&format!("{path}?{name}=no%20such%20value"))));
        }
        for (status, call) in calls {
            let answer = client.ask(call).await;
            assert_eq!(answer.status.as_u16(), status, "{path}: {answer:?}");
            answers.push(answered(&version, path, &answer));
        }
        let limited = loop {
            let answer = client.ask(slow.get(path)).await;
            if answer.status == 429 {
                break answer;
            }
        };
        answers.push(answered(&version, path, &limited));
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

/// schemathesis generates valid and invalid requests from the documents, and checks the responses.
#[tokio::test]
async fn generated_requests_get_documented_responses() {
    let gateway = TestGateway::start("").await;
    let key = gateway.create_key(KeySpec::staging().option("--rate", "10000/s+10000")).await;
    let url = format!("http://{}", gateway.address(Protocol::H1));
    for release in RELEASES {
        let document = repository().join(format!("versions/openapi/{}.json", release.version));
        let arguments = [document.display().to_string(), url.clone(), key.key.clone()];
        let interpreter = tool("py-openapi/bin/python3");
        let printed = client_script(interpreter, "generated_requests.py", &arguments, PATIENCE).await;
        let output = printed["output"].as_str().unwrap();
        assert_eq!(printed["passed"], true, "{}:\n{output}", release.version);
        assert!(output.contains("No issues found"), "{}:\n{output}", release.version);
    }
}

/// A response with an undocumented field is drift too, although clients ignore it.
#[tokio::test]
async fn no_response_has_undocumented_fields() {
    let gateway = TestGateway::start("").await;
    let key = gateway.create_key(KeySpec::staging()).await;
    let catalog = Catalog::new(RELEASES).unwrap();
    for protocol in [Protocol::H1, Protocol::H2, Protocol::H3] {
        let client = Client::over(&gateway, protocol).await;
        for release in RELEASES {
            let document = openapi(&catalog, release).unwrap();
            for entry in catalog.entries_of(release.version) {
                let answer = client.ask(key.get(&entry.template)).await.json();
                let schema = &document["paths"][&entry.template]["get"]["responses"]["200"]["content"]["application/json"]
                    ["schema"];
                assert_documented(
                    &answer,
                    schema,
                    &document,
                    &format!("{} over {protocol:?}", entry.template),
                );
            }
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
