//! The types of a JSON schema in words for people.

use serde_json::Value;

/// What a schema takes, in words: `text`, `number or null`, `list of text`, `one of small, large`, `object`.
///
/// `document` is where its references lead: the schema that holds the `$defs`, or an OpenAPI document.
#[must_use]
pub fn type_in_words(schema: &Value, document: &Value) -> String {
    let mut words = alternatives(schema, document, 0);
    let null = words.iter().position(|word| word == "null");
    let null = null.map(|place| words.remove(place));
    let values: Vec<&str> = words.iter().filter_map(|word| word.strip_prefix('=')).collect();
    let mut told = match values.as_slice() {
        [] => Vec::new(),
        [value] => vec![format!("always {value}")],
        values => vec![format!("one of {}", values.join(", "))],
    };
    for word in words.into_iter().filter(|word| !word.starts_with('=')) {
        if !told.contains(&word) {
            told.push(word);
        }
    }
    told.extend(null);
    if told.is_empty() { "anything".to_owned() } else { told.join(" or ") }
}

/// The schema that a reference means, through any number of them; itself where it is none.
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

/// No type is nested deeper; one that refers to itself ends here.
const REFERENCES_MAX: usize = 16;

/// Every form that a value may have: a word, or `=` and the value itself.
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
            Some("date") => "day".to_owned(),
            Some("date-time") => "moment".to_owned(),
            _ => "text".to_owned(),
        },
        Some("integer") => "whole number".to_owned(),
        Some("number") => "number".to_owned(),
        Some("boolean") => "true or false".to_owned(),
        Some("array") => match schema.get("items") {
            Some(items) => format!("list of {}", type_in_words(items, document)),
            None => "list".to_owned(),
        },
        Some(other) => other.to_owned(),
        None => "anything".to_owned(),
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
    fn every_form_of_a_type_has_its_words() {
        let document = json!({ "$defs": {
            "Kind": { "oneOf": [{ "const": "small", "type": "string" }, { "const": "large" }] },
            "Thing": { "type": "object", "properties": {} },
            "Alias": { "$ref": "#/$defs/Kind" },
            "Loop": { "$ref": "#/$defs/Loop" },
        }});
        for (schema, words) in [
            (json!({ "type": "string" }), "text"),
            (json!({ "type": "string", "format": "date" }), "day"),
            (json!({ "type": "string", "format": "ipv4" }), "text"),
            (json!({ "type": "integer" }), "whole number"),
            (json!({ "type": ["number", "null"] }), "number or null"),
            (json!({ "type": ["null", "string"] }), "text or null"),
            (json!({ "type": "boolean" }), "true or false"),
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
            (json!({ "type": "array", "items": { "type": "string" } }), "list of text"),
            (json!({ "type": "array", "items": { "$ref": "#/$defs/Kind" } }), "list of one of small, large"),
            (json!({ "type": "array" }), "list"),
            (json!({ "$ref": "#/$defs/Loop" }), "anything"),
            (json!(true), "anything"),
            (json!({}), "anything"),
        ] {
            assert_eq!(type_in_words(&schema, &document), words, "{schema}");
        }
    }
}
