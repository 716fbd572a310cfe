//! The fields of a response as rows of a table: name, type and description from its schema.

use serde_json::Value;

use super::text::Text;
use crate::Route;
use crate::docs::type_name;

/// The depth to which fields are described; no response should be deeper.
const DEPTH_MAX: usize = 8;

/// The fields of a 200 of this endpoint, each with its full name: `client.userAgent`.
pub(super) fn response_fields(route: &Route) -> Vec<[Text; 3]> {
    let settings = schemars::generate::SchemaSettings::draft2020_12().for_serialize();
    let mut rows = Vec::new();
    let schema = (route.response_schema)(&mut settings.into_generator());
    let Some(schema) = schema.map(schemars::Schema::to_value) else { return rows };
    walk("", &schema, &schema, 0, &mut rows);
    rows
}

fn walk(prefix: &str, schema: &Value, document: &Value, depth: usize, rows: &mut Vec<[Text; 3]>) {
    if depth > DEPTH_MAX {
        return;
    }
    let schema = target(schema, document);
    for word in ["anyOf", "oneOf"] {
        for form in schema[word].as_array().into_iter().flatten() {
            walk(prefix, form, document, depth + 1, rows);
        }
    }
    // The description of a variant with one field also applies to the field.
    let variant = schema.get("properties").and_then(Value::as_object).is_some_and(|all| all.len() == 1);
    let variant = schema["description"].as_str().filter(|_| variant);
    if let Some(items) = schema.get("items") {
        walk(&format!("{prefix}[]"), items, document, depth + 1, rows);
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let name = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        let described = |schema: &Value| schema["description"].as_str().map(one_line);
        let description = described(field).or_else(|| described(target(field, document)));
        let description = description.or_else(|| variant.map(one_line));
        let kind = type_name(field, document);
        // Several alternatives may have a field of the same name.
        let code = Text::from(format!("`{name}`"));
        if !rows.iter().any(|[name, ..]| *name == code) {
            rows.push([code, Text::plain(&kind), Text::from(description.unwrap_or_default())]);
        }
        walk(&name, field, document, depth + 1, rows);
    }
}

/// Resolves a reference.
fn target<'a>(schema: &'a Value, document: &'a Value) -> &'a Value {
    let mut found = schema;
    for _ in 0..DEPTH_MAX {
        let place = found["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
        match place.and_then(|place| document.pointer(place)) {
            Some(next) => found = next,
            None => break,
        }
    }
    found
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Catalog, RELEASES};

    #[test]
    fn nested_fields_have_their_full_names() {
        let route = &crate::v2026_02_01::RELEASE.added;
        let connection = route.iter().find(|route| route.name == "connection").unwrap();
        let names: Vec<String> =
            response_fields(connection).iter().map(|[name, ..]| name.plain_text()).collect();
        assert_eq!(
            names,
            [
                "client",
                "client.userAgent",
                "client.ips",
                "client.ips.ipv4",
                "client.ips.ipv6",
                "endpoint",
                "endpoint.apiVersion",
                "endpoint.env",
                "endpoint.protocol"
            ]
        );
    }

    #[test]
    fn every_field_of_every_response_is_described() {
        for entry in Catalog::new(RELEASES).unwrap().entries() {
            let fields = response_fields(&entry.route);
            let has_body = entry.route.media_type.is_some();
            assert_eq!(!fields.is_empty(), has_body, "{} has no fields", entry.template);
            for [name, kind, description] in fields {
                assert!(
                    !kind.plain_text().is_empty() && !description.plain_text().is_empty(),
                    "{}: {}",
                    entry.template,
                    name.plain_text()
                );
            }
        }
    }
}
