//! One OpenAPI 3.1 document for each date, for programs: clients, linters, and the check that a
//! published date never changes.
//!
//! It says what the declarations say and nothing of the day or the configuration: neither states nor
//! addresses nor limits. So it can be frozen, byte by byte.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::parameters::{Mismatch, Parameter, Place, parameters};
use super::responses;
use crate::{Catalog, Release, Route};

/// The dialect of every schema: OpenAPI 3.1's own is the same with words that nothing here uses.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
/// Where the schemas stand that several places share.
const SCHEMAS: &str = "/components/schemas";

/// The document of one release of the catalog.
///
/// # Errors
/// [`Mismatch`], where the declaration of an endpoint contradicts itself.
pub fn openapi(catalog: &Catalog, release: &Release) -> Result<Value, Mismatch> {
    let settings = SchemaSettings::draft2020_12().for_serialize().with(|all| {
        all.definitions_path = SCHEMAS.into();
        all.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let entries: Vec<_> = catalog.entries_of(release.version).collect();
    // First every schema, because the generator names those that are shared as it goes.
    let mut bodies = Vec::with_capacity(entries.len());
    for entry in &entries {
        let mut body = (entry.route.response_schema)(&mut generator).map(schemars::Schema::to_value);
        if let Some(body) = body.as_mut().and_then(Value::as_object_mut) {
            body.remove("components");
        }
        bodies.push(body);
    }
    let mut schemas = generator.take_definitions(true);
    let mut paths = Map::new();
    for (entry, body) in entries.iter().zip(bodies) {
        let operation = operation(&entry.route, body.map(|body| named(&mut schemas, &entry.route, body)))?;
        let path = paths.entry(&entry.template).or_insert_with(|| json!({}));
        path[entry.route.method.as_str().to_ascii_lowercase()] = operation;
    }
    schemas.extend(responses::schemas());
    Ok(json!({
        "openapi": "3.1.1",
        "info": { "title": "Partner API", "version": release.version, "summary": release.summary },
        "jsonSchemaDialect": DIALECT,
        "servers": [{ "url": "/", "description": "The gateway that serves this document; the key says which environment." }],
        "security": [{ KEY: [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": responses::errors(),
            "headers": responses::headers(),
            "securitySchemes": { KEY: {
                "type": "http",
                "scheme": "bearer",
                "description": "A key of yours. Each operation names the one permission that the key must hold.",
            } },
        },
    }))
}

/// The document as text: indented, members in a fixed order, a newline at the end.
#[must_use]
pub fn text(document: &Value) -> String {
    format!("{document:#}\n")
}

/// The name of the security scheme.
const KEY: &str = "key";

fn operation(route: &Route, schema: Option<Value>) -> Result<Value, Mismatch> {
    let endpoint = route.name;
    let permission = route.permission.to_string();
    let mut operation = json!({
        "operationId": endpoint,
        "summary": route.summary,
        "security": [{ KEY: [permission] }],
        "x-required-permission": permission,
        "x-safe": route.safe,
    });
    let (content, others): (Vec<_>, Vec<_>) =
        parameters(route)?.into_iter().partition(|part| part.place == Place::Content);
    if !others.is_empty() {
        operation["parameters"] = others.iter().map(parameter).collect();
    }
    if !content.is_empty() {
        operation["requestBody"] = request_body(&content);
    }
    let mut answers = Map::new();
    let mut success = json!({ "description": "The answer.", "headers": responses::fields_of(route.status) });
    match (route.media_type, schema) {
        (Some(media_type), Some(schema)) => {
            let unwritable = |reason: String| Mismatch::Example { endpoint, reason };
            let example = (route.example)().map_err(|error| unwritable(error.to_string()))?;
            let example: Value =
                serde_json::from_slice(&example).map_err(|error| unwritable(error.to_string()))?;
            success["content"] = json!({ media_type: { "schema": schema, "example": example } });
        }
        (Some(media_type), None) => success["content"] = json!({ media_type: {} }),
        (None, _) => {}
    }
    answers.insert(route.status.as_str().to_owned(), success);
    for (status, name) in responses::met_by(route) {
        answers
            .insert(status.as_str().to_owned(), json!({ "$ref": format!("#/components/responses/{name}") }));
    }
    operation["responses"] = answers.into();
    Ok(operation)
}

fn parameter(part: &Parameter) -> Value {
    let place = if part.place == Place::Path { "path" } else { "query" };
    let mut parameter = json!({ "name": part.name, "in": place, "required": part.required });
    if !part.description.is_empty() {
        parameter["description"] = part.description.as_str().into();
    }
    let mut schema = part.schema.clone();
    if let Some(schema) = schema.as_object_mut() {
        // The parameter itself has them.
        schema.shift_remove("description");
        schema.shift_remove("examples");
    }
    parameter["schema"] = schema;
    if let Some(example) = &part.example {
        parameter["example"] = example.clone();
    }
    parameter
}

fn request_body(parts: &[Parameter]) -> Value {
    let properties: Map<_, _> = parts.iter().map(|part| (part.name.clone(), part.schema.clone())).collect();
    let required: Vec<_> = parts.iter().filter(|part| part.required).map(|part| part.name.as_str()).collect();
    let example: Map<_, _> =
        parts.iter().filter_map(|part| Some((part.name.clone(), part.example.clone()?))).collect();
    let mut schema = json!({ "type": "object", "properties": properties });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    // Content is read even where all of its members may be missing: it is a JSON object at least.
    json!({ "required": true, "content": { responses::JSON: { "schema": schema, "example": example } } })
}

/// Gives a body's schema a name of its own among those that are shared.
fn named(schemas: &mut Map<String, Value>, route: &Route, body: Value) -> Value {
    let title = body["title"].as_str().filter(|title| title.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    let Some(title) = title.map(str::to_owned) else { return body };
    let name = match schemas.get(&title) {
        Some(other) if *other != body => format!("{title}_{}", route.name),
        _ => title,
    };
    let reference = json!({ "$ref": format!("#{SCHEMAS}/{name}") });
    schemas.insert(name, body);
    reference
}
#[cfg(test)]
mod tests;
