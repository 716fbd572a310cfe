//! The OpenAPI 3.1 document of a date: for client generators, linters, and the check that a published date
//! never changes.
//!
//! It depends on the declarations alone, not on the day or the configuration, so that it can be frozen. The copy
//! that the documentation serves has the API's address added ([`super::pages`]).

use schemars::Schema;
use serde_json::{Map, Value, json};

use super::parameters::{self, DeclarationError, Location, Parameter, parameters};
use super::{responses, schemas};
use crate::{Catalog, Entry, Release, Route};

/// The dialect of every schema. OpenAPI's dialect only adds keywords that are not used here.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
/// Where shared schemas are.
const SCHEMAS: &str = "/components/schemas";
/// The name of the security scheme.
const KEY: &str = "key";
/// The request header for a preview of a newer version.
const PREVIEW: &str = "api-version-preview";

/// Builds the document of one release of the catalog.
///
/// # Errors
/// [`DeclarationError`]: the declaration of an endpoint contradicts itself.
pub fn openapi(catalog: &Catalog, release: &Release) -> Result<Value, DeclarationError> {
    let settings = schemas::settings().for_serialize().with(|all| {
        all.definitions_path = SCHEMAS.into();
        all.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let entries: Vec<_> = catalog.entries_of(release.version).collect();
    // All schemas first: the generator names shared ones as it goes.
    let bodies: Vec<Option<Schema>> =
        entries.iter().map(|entry| (entry.route.response_schema)(&mut generator)).collect();
    let mut schemas = generator.take_definitions(true);
    let mut paths = Map::new();
    for (entry, body) in entries.iter().zip(bodies) {
        let name = body.map(|body| add_response_schema(&mut schemas, &entry.route, body));
        let operation = operation(entry, name.as_deref())?;
        let path = paths.entry(&entry.template).or_insert_with(|| json!({}));
        path[entry.route.method.as_str().to_ascii_lowercase()] = operation;
    }
    schemas.extend(responses::schemas());
    let mut tags: Vec<_> = entries.iter().map(|entry| tag(&entry.route)).collect();
    tags.sort_unstable();
    tags.dedup();
    let tags: Vec<_> = tags.into_iter().map(|name| json!({ "name": name })).collect();
    Ok(json!({
        "openapi": "3.1.1",
        "info": {
            "title": "Partner API",
            "version": release.version,
            "summary": release.summary,
            "license": { "name": "Apache License 2.0", "identifier": "Apache-2.0" },
        },
        "jsonSchemaDialect": DIALECT,
        "servers": [{ "url": "/", "description": "The host that serves this document." }],
        "tags": tags,
        "security": [{ KEY: [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": responses::errors(entries.iter().map(|entry| &entry.route)),
            "headers": responses::headers(),
            "securitySchemes": { KEY: {
                "type": "http",
                "scheme": "bearer",
                "description": "An API key. Each operation names the permission that the key must have.",
            } },
        },
    }))
}

/// The document as text: indented, with keys in a fixed order and a newline at the end.
#[must_use]
pub fn text(document: &Value) -> String {
    format!("{document:#}\n")
}

/// The first segment of an endpoint's path: what generated clients group operations by.
fn tag(route: &Route) -> &'static str {
    let segment = route.path.trim_start_matches('/').split('/').next().unwrap_or_default();
    segment.strip_suffix(".json").unwrap_or(segment)
}

fn operation(entry: &Entry, schema: Option<&str>) -> Result<Value, DeclarationError> {
    let route = &entry.route;
    let endpoint = route.name;
    let permission = route.permission.to_string();
    let mut operation = json!({
        "operationId": endpoint,
        "tags": [tag(route)],
        "summary": route.summary,
        "security": [{ KEY: [permission] }],
        "x-required-permission": permission,
        "x-safe": route.safe,
    });
    let (content, others): (Vec<_>, Vec<_>) =
        parameters(route)?.into_iter().partition(|part| part.place == Location::Content);
    operation["parameters"] = others
        .iter()
        .map(parameter)
        .chain(route.takes_idempotency_key.then(idempotency_key))
        .chain([preview()])
        .collect();
    if !content.is_empty() {
        operation["requestBody"] = request_body(&content, parameters::refuses_others(route));
    }
    let mut success = json!({ "description": "Success.", "headers": responses::headers_of(route.status) });
    match (route.media_type, schema) {
        (Some(media_type), Some(schema)) => {
            let unwritable = |reason: String| DeclarationError::Example { endpoint, reason };
            let example = (route.example)().map_err(|error| unwritable(error.to_string()))?;
            let example: Value =
                serde_json::from_slice(&example).map_err(|error| unwritable(error.to_string()))?;
            let schema = json!({ "$ref": format!("#{SCHEMAS}/{schema}") });
            success["content"] = json!({ media_type: { "schema": schema, "example": example } });
        }
        (Some(media_type), None) => success["content"] = json!({ media_type: {} }),
        (None, _) => {}
    }
    let mut answers = Map::from_iter([(route.status.as_str().to_owned(), success)]);
    for (status, name) in responses::errors_of(route) {
        answers
            .insert(status.as_str().to_owned(), json!({ "$ref": format!("#/components/responses/{name}") }));
    }
    operation["responses"] = answers.into();
    Ok(operation)
}

/// The header parameter that every operation has. Which versions are newer depends on the day, not on the
/// document.
fn preview() -> Value {
    json!({
        "name": PREVIEW,
        "in": "header",
        "required": false,
        "description": "A newer version. The response stays as it is; its `api-version-preview-*` headers say how the \
                        newer version would have responded.",
        "schema": { "type": "string" },
    })
}

/// The header parameter of operations that can be repeated (draft-ietf-httpapi-idempotency-key-header-07).
fn idempotency_key() -> Value {
    json!({
        "name": "idempotency-key",
        "in": "header",
        "required": false,
        "description": "A string in double quotes that is new with every call, such as a UUID. A call that is repeated \
                        with it within 24 hours is not made again: it gets the first response, with \
                        `idempotent-replayed: true` and without a secret.",
        "schema": { "type": "string", "pattern": "^\"[ !#-\\[\\]-~]{1,255}\"$" },
        "example": "\"8e03978e-40d5-43dd-bc93-6894a57f9324\"",
    })
}

/// The form of an id in a path.
const UUID: &str = "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$";

fn parameter(part: &Parameter) -> Value {
    let place = if part.place == Location::Path { "path" } else { "query" };
    let mut parameter = json!({ "name": part.name, "in": place, "required": part.required });
    if !part.description.is_empty() {
        parameter["description"] = part.description.as_str().into();
    }
    let mut schema = part.schema.clone();
    if let Some(schema) = schema.as_object_mut() {
        // They are fields of the parameter itself.
        schema.shift_remove("description");
        schema.shift_remove("examples");
        if schema.get("format").is_some_and(|format| format == "uuid") {
            // A format is a hint: generated clients and tests hold to a pattern.
            schema.insert("pattern".to_owned(), UUID.into());
        }
    }
    parameter["schema"] = schema;
    if let Some(example) = &part.example {
        parameter["example"] = example.clone();
    }
    parameter
}

fn request_body(parts: &[Parameter], refuses_others: bool) -> Value {
    let properties: Map<_, _> = parts.iter().map(|part| (part.name.clone(), part.schema.clone())).collect();
    let required: Vec<_> = parts.iter().filter(|part| part.required).map(|part| part.name.as_str()).collect();
    let example: Map<_, _> =
        parts.iter().filter_map(|part| Some((part.name.clone(), part.example.clone()?))).collect();
    let mut schema = json!({ "type": "object", "properties": properties });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    if refuses_others {
        schema["additionalProperties"] = json!(false);
    }
    let is_required = !required.is_empty();
    json!({ "required": is_required, "content": { responses::JSON: { "schema": schema, "example": example } } })
}

/// Adds the schema of a 200 response under a name that follows from the operation: `PingResponse`.
fn add_response_schema(schemas: &mut Map<String, Value>, route: &Route, body: Schema) -> String {
    let mut body = body.to_value();
    if let Some(body) = body.as_object_mut() {
        // The name of the Rust type, and definitions that are shared with all other schemas.
        body.shift_remove("title");
        body.shift_remove("components");
    }
    let mut name = responses::camel_case(route.name, '_') + "Response";
    while schemas.contains_key(&name) {
        name.push('_');
    }
    schemas.insert(name.clone(), body);
    name
}

#[cfg(test)]
mod tests;
