//! Tests of every kind of difference, in both directions.

use serde_json::{Value, json};

use super::*;

/// A document with one endpoint, whose query, content and response are these objects.
fn document(edit: impl FnOnce(&mut Value)) -> Value {
    let mut operation = json!({
        "operationId": "thing",
        "x-required-permission": "ping:read",
        "x-safe": true,
        "parameters": [
            { "name": "id", "in": "path", "required": true, "schema": { "type": "integer" } },
            { "name": "kind", "in": "query", "required": false, "schema": { "enum": ["small", "large"] } },
        ],
        "requestBody": { "content": { "application/json": { "schema": {
            "type": "object",
            "properties": { "note": { "type": "string" } },
            "required": ["note"],
        } } } },
        "responses": {
            "200": { "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Thing" } } } },
            "400": {},
        },
    });
    operation["answer"] = json!({
        "type": "object",
        "properties": { "name": { "type": "string" }, "parts": { "type": "array", "items": { "enum": ["a", "b"] } } },
        "required": ["name", "parts"],
    });
    edit(&mut operation);
    let answer = operation.as_object_mut().unwrap().remove("answer").unwrap();
    json!({
        "paths": { "/2030-01-01/things/{id}.json": { "get": operation } },
        "components": { "schemas": { "Thing": answer } },
    })
}

/// The differences from the plain document to the edited one, and back, each as a line.
#[track_caller]
fn assert_differences(edit: impl Fn(&mut Value), there: &[(Kind, bool, &str)], back: &[(Kind, bool, &str)]) {
    let (plain, edited) = (document(|_| ()), document(edit));
    for (before, after, expected) in [(&plain, &edited, there), (&edited, &plain, back)] {
        let found = differences(before, after);
        assert!(found.iter().all(|difference| difference.endpoint == "thing"));
        let found: Vec<_> = found
            .iter()
            .map(|found| (found.kind, found.breaking, format!("{} {}", found.place, found.text)))
            .collect();
        let expected: Vec<_> =
            expected.iter().map(|(kind, breaking, text)| (*kind, *breaking, (*text).to_owned())).collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn the_same_document_has_no_differences() {
    assert_differences(|_| (), &[], &[]);
}

#[test]
fn a_response_field_is_added_and_removed() {
    assert_differences(
        |operation| operation["answer"]["properties"]["size"] = json!({ "type": ["number", "null"] }),
        &[(Kind::Added, false, "response field `size` was added: number or null")],
        &[(Kind::Removed, true, "response field `size` was removed: number or null")],
    );
}

#[test]
fn a_response_field_becomes_optional() {
    assert_differences(
        |operation| operation["answer"]["required"] = json!(["parts"]),
        &[(Kind::Optional, true, "response field `name` can be missing")],
        &[(Kind::Required, false, "response field `name` is always present now")],
    );
}

#[test]
fn a_response_with_more_values_is_breaking() {
    assert_differences(
        |operation| operation["answer"]["properties"]["name"]["type"] = json!(["string", "null"]),
        &[(Kind::Widened, true, "response field `name` changed from string to string or null")],
        &[(Kind::Narrowed, false, "response field `name` changed from string or null to string")],
    );
    assert_differences(
        |operation| operation["answer"]["properties"]["parts"]["items"]["enum"] = json!(["a", "b", "c"]),
        &[(Kind::Widened, true, "response field `parts[]` changed from one of a, b to one of a, b, c")],
        &[(Kind::Narrowed, false, "response field `parts[]` changed from one of a, b, c to one of a, b")],
    );
    assert_differences(
        |operation| operation["answer"]["properties"]["name"]["pattern"] = json!("^a"),
        &[(
            Kind::Narrowed,
            false,
            r#"response field `name` changed from string without bounds to string with {"pattern":"^a"}"#,
        )],
        &[(
            Kind::Widened,
            true,
            r#"response field `name` changed from string with {"pattern":"^a"} to string without bounds"#,
        )],
    );
}

#[test]
fn a_response_of_another_type_is_breaking() {
    assert_differences(
        |operation| operation["answer"]["properties"]["name"] = json!({ "type": "number" }),
        &[(Kind::Changed, true, "response field `name` changed from string to number")],
        &[(Kind::Changed, true, "response field `name` changed from number to string")],
    );
    assert_differences(
        |operation| operation["answer"] = json!({ "type": "boolean" }),
        &[(Kind::Changed, true, "the response changed from object to boolean")],
        &[(Kind::Changed, true, "the response changed from boolean to object")],
    );
}

#[test]
fn a_request_that_accepts_less_is_breaking() {
    assert_differences(
        |operation| operation["parameters"][1]["schema"] = json!({ "enum": ["small"] }),
        &[(Kind::Narrowed, true, "query parameter `kind` changed from one of small, large to always small")],
        &[(Kind::Widened, false, "query parameter `kind` changed from always small to one of small, large")],
    );
    assert_differences(
        |operation| operation["parameters"][0]["schema"] = json!({ "type": "string" }),
        &[(Kind::Changed, true, "path parameter `id` changed from integer to string")],
        &[(Kind::Changed, true, "path parameter `id` changed from string to integer")],
    );
}

#[test]
fn a_parameter_becomes_required() {
    assert_differences(
        |operation| operation["parameters"][1]["required"] = json!(true),
        &[(Kind::Required, true, "query parameter `kind` is required now")],
        &[(Kind::Optional, false, "query parameter `kind` is optional now")],
    );
}

#[test]
fn a_parameter_is_added_and_removed() {
    let parameter = |required: bool| json!({ "name": "limit", "in": "query", "required": required, "schema": { "type": "integer" } });
    let gone = (Kind::Removed, true, "query parameter `limit` is no longer accepted: integer");
    assert_differences(
        |operation| operation["parameters"].as_array_mut().unwrap().push(parameter(false)),
        &[(Kind::Added, false, "query parameter `limit` was added: integer")],
        &[gone],
    );
    assert_differences(
        |operation| operation["parameters"].as_array_mut().unwrap().push(parameter(true)),
        &[(Kind::Added, true, "query parameter `limit` was added and is required: integer")],
        &[gone],
    );
    assert_differences(
        |operation| drop(operation.as_object_mut().unwrap().remove("requestBody")),
        &[(Kind::Removed, true, "request body field `note` is no longer accepted: string")],
        &[(Kind::Added, true, "request body field `note` was added and is required: string")],
    );
}

#[test]
fn permission_safety_and_statuses_are_part_of_the_contract() {
    assert_differences(
        |operation| operation["x-required-permission"] = json!("connection:read"),
        &[(Kind::PermissionChanged, true, "the permission changed from `ping:read` to `connection:read`")],
        &[(Kind::PermissionChanged, true, "the permission changed from `connection:read` to `ping:read`")],
    );
    assert_differences(
        |operation| operation["x-safe"] = json!(false),
        &[(Kind::SafetyChanged, true, "a call is no longer read-only")],
        &[(Kind::SafetyChanged, false, "a call is read-only now")],
    );
    assert_differences(
        |operation| operation["responses"]["425"] = json!({}),
        &[(Kind::StatusAdded, false, "the status 425 was added")],
        &[(Kind::StatusRemoved, false, "the status 425 was removed")],
    );
}

#[test]
fn an_endpoint_is_added_moved_and_removed() {
    let one = document(|_| ());
    let none = json!({ "paths": {} });
    let mut moved = one.clone();
    let methods = moved["paths"].as_object_mut().unwrap().remove("/2030-01-01/things/{id}.json").unwrap();
    moved["paths"]["/2030-02-01/items/{id}.json"] = json!({ "post": methods["get"] });
    let mut later = one.clone();
    later["paths"] = json!({ "/2030-02-01/things/{id}.json": { "get": methods["get"] } });
    let found = |before, after| {
        let differences = differences(before, after);
        differences.iter().map(|found| (found.kind, found.breaking, found.to_string())).collect::<Vec<_>>()
    };
    let line = |kind, breaking, text: &str| vec![(kind, breaking, text.to_owned())];
    assert_eq!(
        found(&none, &one),
        line(Kind::EndpointAdded, false, "GET /things/{id}.json: the endpoint was added")
    );
    assert_eq!(
        found(&one, &none),
        line(Kind::EndpointRemoved, true, "GET /things/{id}.json: the endpoint was removed")
    );
    assert_eq!(
        found(&one, &moved),
        line(
            Kind::EndpointMoved,
            true,
            "POST /items/{id}.json: the endpoint moved here from GET /things/{id}.json"
        )
    );
    assert_eq!(found(&one, &later), [], "another date alone is no difference");
}
