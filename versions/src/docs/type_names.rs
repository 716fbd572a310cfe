//! The types of a JSON schema as text for people.

use serde_json::Value;

/// Describes the type of a schema: `string`, `number or null`, `array of string`, `one of small, large`, `object`.
///
/// References are resolved in `document`: the schema with the `$defs`, or an OpenAPI document.
#[must_use]
pub fn type_name(schema: &Value, document: &Value) -> String {
    let mut words = alternatives(schema, document, 0);
    let null = words.iter().position(|word| word == "null");
    let null = null.map(|place| words.remove(place));
    let values: Vec<&str> = words.iter().filter_map(|word| word.strip_prefix('=')).collect();
    let mut types = match values.as_slice() {
        [] => Vec::new(),
        [value] => vec![format!("always {value}")],
        values => vec![format!("one of {}", values.join(", "))],
    };
    for word in words.into_iter().filter(|word| !word.starts_with('=')) {
        if !types.contains(&word) {
            types.push(word);
        }
    }
    types.extend(null);
    if types.is_empty() { "any".to_owned() } else { types.join(" or ") }
}

/// Follows references; a schema that is not one is returned as it is.
pub(super) fn resolve<'a>(schema: &'a Value, document: &'a Value) -> &'a Value {
    let mut found = schema;
    for _ in 0..REFERENCES_MAX {
        let target = found["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
        match target.and_then(|pointer| document.pointer(pointer)) {
            Some(next) => found = next,
            None => break,
        }
    }
    found
}

/// The depth at which a schema that refers to itself is given up.
const REFERENCES_MAX: usize = 16;

/// Every alternative: the name of a type, or `=` and a value.
fn alternatives(schema: &Value, document: &Value, depth: usize) -> Vec<String> {
    let schema = resolve(schema, document);
    if depth > REFERENCES_MAX {
        return vec!["object".to_owned()];
    }
    let value = |value: &Value| match value {
        Value::Null => "null".to_owned(),
        Value::String(text) => format!("={text}"),
        other => format!("={other}"),
    };
    if let Some(only) = schema.get("const") {
        return vec![value(only)];
    }
    if let Some(values) = schema["enum"].as_array() {
        return values.iter().map(value).collect();
    }
    for word in ["oneOf", "anyOf"] {
        if let Some(forms) = schema[word].as_array() {
            return forms.iter().flat_map(|form| alternatives(form, document, depth + 1)).collect();
        }
    }
    let named = |name: &Value| match name.as_str() {
        Some("string") => match schema["format"].as_str() {
            Some("date") => "date".to_owned(),
            Some("date-time") => "date-time".to_owned(),
            _ => "string".to_owned(),
        },
        Some("integer") => "integer".to_owned(),
        Some("number") => "number".to_owned(),
        Some("boolean") => "boolean".to_owned(),
        Some("array") => match schema.get("items") {
            Some(items) => format!("array of {}", type_name(items, document)),
            None => "array".to_owned(),
        },
        Some(other) => other.to_owned(),
        None => "any".to_owned(),
    };
    match schema.get("type") {
        Some(Value::Array(names)) => names.iter().map(named).collect(),
        Some(name) => vec![named(name)],
        None if schema.get("properties").is_some() => vec!["object".to_owned()],
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_type_has_a_description() {
        let document = json!({ "$defs": {
            "Kind": { "oneOf": [{ "const": "small", "type": "string" }, { "const": "large" }] },
            "Thing": { "type": "object", "properties": {} },
            "Alias": { "$ref": "#/$defs/Kind" },
            "Loop": { "$ref": "#/$defs/Loop" },
        }});
        for (schema, words) in [
            (json!({ "type": "string" }), "string"),
            (json!({ "type": "string", "format": "date" }), "date"),
            (json!({ "type": "string", "format": "ipv4" }), "string"),
            (json!({ "type": "integer" }), "integer"),
            (json!({ "type": ["number", "null"] }), "number or null"),
            (json!({ "type": ["null", "string"] }), "string or null"),
            (json!({ "type": "boolean" }), "boolean"),
            (json!({ "type": "string", "const": "success" }), "always success"),
            (json!({ "type": "string", "enum": ["a", "b"] }), "one of a, b"),
            (json!({ "enum": ["a", null] }), "always a or null"),
            (json!({ "$ref": "#/$defs/Kind" }), "one of small, large"),
            (json!({ "$ref": "#/$defs/Alias" }), "one of small, large"),
            (
                json!({ "anyOf": [{ "$ref": "#/$defs/Kind" }, { "type": "null" }] }),
                "one of small, large or null",
            ),
            (json!({ "anyOf": [{ "$ref": "#/$defs/Thing" }, { "type": "null" }] }), "object or null"),
            (json!({ "oneOf": [{ "type": "object" }, { "type": "object" }] }), "object"),
            (json!({ "type": "array", "items": { "type": "string" } }), "array of string"),
            (json!({ "type": "array", "items": { "$ref": "#/$defs/Kind" } }), "array of one of small, large"),
            (json!({ "type": "array" }), "array"),
            (json!({ "$ref": "#/$defs/Loop" }), "any"),
            (json!(true), "any"),
            (json!({}), "any"),
        ] {
            assert_eq!(type_name(&schema, &document), words, "{schema}");
        }
    }
}
