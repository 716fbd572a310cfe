//! What every document holds, and what none of the dates so far needs.

use http::Method;
use permissions::ApiAccessPermission;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::*;
use crate::{Context, Empty, Endpoint, Error, Handler, Lifecycle, RELEASES, Version};

/// What is made of a thing.
#[derive(Deserialize, JsonSchema)]
#[expect(dead_code, reason = "only its form is used")]
struct Wanted {
    /// The thing's number.
    #[schemars(example = 7)]
    id: u32,
    /// Its name.
    #[schemars(example = &"cup")]
    name: String,
    /// What is to be known of it.
    note: Option<String>,
}

/// A thing.
#[derive(Serialize, JsonSchema)]
struct Thing {
    /// Its name.
    name: &'static str,
}

mod other {
    use schemars::JsonSchema;
    use serde::Serialize;

    /// Another thing of the same name.
    #[derive(Serialize, JsonSchema)]
    pub(super) struct Thing {
        pub(super) size: u32,
    }
}

macro_rules! endpoint {
    ($type:ident, $name:literal, $method:ident, $path:literal, $request:ty, $response:ty, $example:expr) => {
        struct $type;

        impl Endpoint for $type {
            const NAME: &'static str = $name;
            const METHOD: Method = Method::$method;
            const PATH: &'static str = $path;
            const PERMISSION: ApiAccessPermission = ApiAccessPermission::PING_READ;
            const SUMMARY: &'static str = "Does what it is asked.";

            type Request = $request;
            type Response = $response;

            fn example() -> $response {
                $example
            }
        }

        impl Handler for $type {
            async fn handle(_: &Context<'_>, _: $request) -> Result<$response, Error> {
                Ok(Self::example())
            }
        }
    };
}

endpoint!(Make, "make_thing", POST, "/things/{id}.json", Wanted, Thing, Thing { name: "cup" });
endpoint!(Read, "thing", GET, "/thing.json", Empty, other::Thing, other::Thing { size: 7 });

#[test]
fn content_and_path_are_described_and_types_of_one_name_are_told_apart() {
    let release = Release {
        added: const { &[Route::native::<Make>(), Route::native::<Read>()] },
        ..Release::new(Version::new(2030, 1, 1), "Tests.", Lifecycle::preview())
    };
    let document = openapi(&Catalog::new(std::slice::from_ref(&release)).unwrap(), &release).unwrap();
    let make = &document["paths"]["/2030-01-01/things/{id}.json"]["post"];
    assert_eq!(
        make["parameters"],
        json!([{
            "name": "id",
            "in": "path",
            "required": true,
            "description": "The thing's number.",
            "schema": { "type": "integer", "format": "uint32", "minimum": 0 },
            "example": 7,
        }, preview()])
    );
    assert_eq!(
        make["requestBody"],
        json!({
            "required": true,
            "content": { "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "name": { "type": "string", "description": "Its name.", "examples": ["cup"] },
                        "note": { "type": ["string", "null"], "description": "What is to be known of it." },
                    },
                    "required": ["name"],
                },
                "example": { "name": "cup" },
            } },
        })
    );
    let schema = |operation: &Value| {
        let schema = &operation["responses"]["200"]["content"][responses::JSON]["schema"];
        document.pointer(&schema["$ref"].as_str().unwrap()[1..]).unwrap()["properties"].clone()
    };
    assert_eq!(schema(make)["name"]["type"], "string");
    assert_eq!(schema(&document["paths"]["/2030-01-01/thing.json"]["get"])["size"]["type"], "integer");
}

/// The status of an operation's success.
fn success(operation: &Value) -> &str {
    let mut statuses = operation["responses"].as_object().unwrap().keys();
    statuses.find(|status| status.starts_with('2')).unwrap()
}

fn each_operation(check: impl Fn(&Value, &Value)) {
    let catalog = Catalog::new(RELEASES).unwrap();
    for release in RELEASES {
        let document = openapi(&catalog, release).unwrap();
        let paths = document["paths"].as_object().unwrap();
        let operations = paths.values().map(|path| path.as_object().unwrap().len());
        assert_eq!(operations.sum::<usize>(), catalog.entries_of(release.version).count());
        for operation in paths.values().flat_map(|path| path.as_object().unwrap().values()) {
            check(operation, &document);
        }
    }
}

/// A reference that leads nowhere is what generators of clients stumble over first.
#[test]
fn every_reference_leads_somewhere() {
    fn walk(value: &Value, document: &Value) {
        if let Some(reference) = value["$ref"].as_str() {
            let found = document.pointer(reference.strip_prefix('#').unwrap());
            assert!(found.is_some(), "{reference} leads nowhere");
        }
        match value {
            Value::Object(members) => members.values().for_each(|value| walk(value, document)),
            Value::Array(items) => items.iter().for_each(|value| walk(value, document)),
            _ => {}
        }
    }
    each_operation(|_, document| walk(document, document));
}

#[test]
fn an_operation_tells_its_permission_and_its_errors() {
    each_operation(|operation, document| {
        let permission = operation["x-required-permission"].as_str().unwrap();
        assert_eq!(operation["security"], json!([{ "key": [permission] }]));
        let success = success(operation);
        let has_example = operation["responses"][success]["content"][responses::JSON]["example"].is_object();
        assert_eq!(has_example, success != "204");
        for (status, schema) in
            [("401", "Unauthorized"), ("403", "Problem"), ("429", "Problem"), ("503", "Problem")]
        {
            let reference = operation["responses"][status]["$ref"].as_str().unwrap();
            let response = document.pointer(&reference[1..]).unwrap();
            let kind = if status == "401" { responses::JSON } else { "application/problem+json" };
            assert_eq!(
                response["content"][kind]["schema"]["$ref"],
                format!("#/components/schemas/{schema}"),
                "{status}"
            );
        }
    });
}

#[test]
fn fields_stand_where_they_are_sent() {
    each_operation(|operation, document| {
        let has = |status: &str, field: &str| {
            let response = &operation["responses"][status];
            let response = match response["$ref"].as_str() {
                Some(reference) => document.pointer(&reference[1..]).unwrap(),
                None => response,
            };
            response["headers"].get(field).is_some()
        };
        assert!(has(success(operation), "ratelimit") && !has("401", "ratelimit") && has("403", "ratelimit"));
        assert!(has("429", "retry-after") && has("503", "retry-after") && !has("400", "retry-after"));
        assert!(has("401", "www-authenticate") && has("403", "www-authenticate"));
        assert!(has(success(operation), "x-request-id") && has("500", "x-request-id"));
    });
}

#[test]
fn a_call_of_a_management_endpoint_says_what_it_takes() {
    let catalog = Catalog::new(RELEASES).unwrap();
    let version = Version::new(2026, 11, 15);
    let release = RELEASES.iter().find(|release| release.version == version).unwrap();
    let document = openapi(&catalog, release).unwrap();
    let operation =
        |path: &str, method: &str| document["paths"][format!("/2026-11-15{path}")][method].clone();
    let create = operation("/keys.json", "post");
    assert_eq!(create["parameters"], json!([idempotency_key(), preview()]));
    let body = &create["requestBody"];
    assert_eq!(body["required"], true);
    assert_eq!(body["content"]["application/json"]["schema"]["additionalProperties"], false);
    let rotate = operation("/keys/{id}/rotate.json", "post");
    assert_eq!(rotate["parameters"][0]["schema"]["pattern"], UUID);
    assert_eq!(rotate["requestBody"]["required"], false, "each of its fields is optional");
    let revoke = operation("/keys/{id}/revoke.json", "post");
    assert!(revoke.get("requestBody").is_none(), "there is nothing but the id");
    assert_eq!(
        operation("/keys.json", "get")["parameters"].as_array().map(Vec::len),
        Some(4),
        "it takes no key"
    );
}
