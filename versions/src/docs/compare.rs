//! Compares two JSON schemas: which values became possible, and which no longer are.
//!
//! It does not distinguish requests from responses: whether a difference is breaking depends on who writes
//! the value and who reads it, which [`super::changes`] decides.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::type_names::{resolve, type_name};

/// How a field differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It was added.
    Added {
        /// Whether it is required.
        required: bool,
    },
    /// It was removed.
    Removed,
    /// It was required and is optional now.
    Optional,
    /// It was optional and is required now.
    Required,
    /// It can have all values that it could have before, and others too.
    Widened,
    /// It can have fewer values than before.
    Narrowed,
    /// Some values are new, others are gone.
    Changed,
}

/// One difference of two schemas.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// The path of the field: `endpoint.protocol`, `versions[].state`; empty for the schema itself.
    pub(super) place: String,
    pub(super) turn: Turn,
    /// Descriptions of its types, before and after, as far as it has one.
    pub(super) before: String,
    pub(super) after: String,
}

/// A schema, and the document that its references point into.
#[derive(Clone, Copy)]
pub(super) struct Side<'a> {
    pub(super) schema: &'a Value,
    pub(super) document: &'a Value,
}

impl<'a> Side<'a> {
    fn at(self, schema: &'a Value) -> Self {
        Self { schema, ..self }
    }

    fn describe(self) -> String {
        type_name(self.schema, self.document)
    }
}

/// The depth to which schemas are compared, for those that contain themselves.
const DEPTH_MAX: usize = 16;

/// Every difference between two schemas.
pub(super) fn compare(before: Side<'_>, after: Side<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    walk("", before, after, 0, &mut findings);
    findings
}

fn walk(place: &str, before: Side<'_>, after: Side<'_>, depth: usize, findings: &mut Vec<Finding>) {
    let (mut old, mut new) = (Forms::default(), Forms::default());
    old.collect(before.schema, before.document, 0);
    new.collect(after.schema, after.document, 0);
    let turn = match (new.includes(&old), old.includes(&new)) {
        (true, true) => None,
        (true, false) => Some(Turn::Widened),
        (false, true) => Some(Turn::Narrowed),
        (false, false) => Some(Turn::Changed),
    };
    if let Some(turn) = turn {
        let (mut text_before, mut text_after) = (before.describe(), after.describe());
        if text_before == text_after {
            // The types are the same, so their constraints differ.
            text_before.push_str(&old.bounds());
            text_after.push_str(&new.bounds());
        }
        findings.push(Finding { place: place.to_owned(), turn, before: text_before, after: text_after });
    }
    if depth == DEPTH_MAX {
        return;
    }
    if let (Some(old), Some(new)) = (old.items, new.items) {
        walk(&format!("{place}[]"), before.at(old), after.at(new), depth + 1, findings);
    }
    if let (Some(old), Some(new)) = (&old.fields, &new.fields) {
        compare_fields(place, (before, old), (after, new), depth, findings);
    }
}

fn compare_fields<'a>(
    place: &str,
    (before, old): (Side<'a>, &Fields<'a>),
    (after, new): (Side<'a>, &Fields<'a>),
    depth: usize,
    findings: &mut Vec<Finding>,
) {
    let below = |name: &str| if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") };
    let mut found = |name: &str, turn, before: String, after: String| {
        findings.push(Finding { place: below(name), turn, before, after });
    };
    for (name, schema) in &old.all {
        if !new.all.iter().any(|(other, _)| other == name) {
            found(name, Turn::Removed, before.at(schema).describe(), String::new());
        }
    }
    for (name, schema) in &new.all {
        let required = new.required.contains(name);
        let description = after.at(schema).describe();
        if !old.all.iter().any(|(other, _)| other == name) {
            found(name, Turn::Added { required }, String::new(), description);
        } else if required != old.required.contains(name) {
            let turn = if required { Turn::Required } else { Turn::Optional };
            found(name, turn, description.clone(), description);
        }
    }
    for (name, new) in &new.all {
        if let Some((_, old)) = old.all.iter().find(|(other, _)| other == name) {
            walk(&below(name), before.at(old), after.at(new), depth + 1, findings);
        }
    }
    if let (Some(old), Some(new)) = (old.rest, new.rest) {
        walk(&below("*"), before.at(old), after.at(new), depth + 1, findings);
    }
}

/// The set of possible values of a schema.
#[derive(Default)]
struct Forms<'a> {
    anything: bool,
    /// The single values, as JSON.
    values: BTreeSet<String>,
    /// The types, each with its constraints.
    types: Vec<(&'static str, Map<String, Value>)>,
    items: Option<&'a Value>,
    fields: Option<Fields<'a>>,
}

/// The fields of an object. For a choice of several objects: all their fields, of which those are required
/// that all objects require.
struct Fields<'a> {
    all: Vec<(&'a str, &'a Value)>,
    required: BTreeSet<&'a str>,
    /// The schema of fields with any other name, if they are allowed and have one.
    rest: Option<&'a Value>,
}

const TYPES: [&str; 7] = ["null", "boolean", "integer", "number", "string", "array", "object"];

/// The keywords for lower and upper bounds.
const LEAST: [&str; 5] = ["minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"];
const MOST: [&str; 5] = ["maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"];
/// The keywords for other constraints.
const OTHER: [&str; 4] = ["pattern", "format", "multipleOf", "uniqueItems"];

impl<'a> Forms<'a> {
    fn collect(&mut self, schema: &'a Value, document: &'a Value, depth: usize) {
        let schema = resolve(schema, document);
        if let Some(only) = schema.get("const") {
            self.values.insert(only.to_string());
        } else if let Some(values) = schema["enum"].as_array() {
            self.values.extend(values.iter().map(Value::to_string));
        } else if let Some(forms) = ["oneOf", "anyOf"].iter().find_map(|keyword| schema[keyword].as_array())
            && depth < DEPTH_MAX
        {
            for form in forms {
                self.collect(form, document, depth + 1);
            }
        } else {
            match &schema["type"] {
                Value::String(name) => self.add_type(name, schema),
                Value::Array(names) => {
                    names.iter().filter_map(Value::as_str).for_each(|name| self.add_type(name, schema));
                }
                _ if schema.get("properties").is_some() => self.add_type("object", schema),
                _ => self.anything = true,
            }
        }
    }

    fn add_type(&mut self, name: &str, schema: &'a Value) {
        let Some(name) = TYPES.into_iter().find(|candidate| *candidate == name) else { return };
        if name == "null" {
            // The value and the type are the same.
            self.values.insert("null".to_owned());
            return;
        }
        self.types.push((name, bounds(name, schema)));
        if name == "array" {
            self.items = schema.get("items").or(self.items);
        }
        if name != "object" {
            return;
        }
        let all = schema["properties"].as_object().into_iter().flatten();
        let all = all.map(|(name, schema)| (name.as_str(), schema));
        let required: BTreeSet<_> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let rest = schema.get("additionalProperties").filter(|rest| rest.is_object());
        match &mut self.fields {
            None => self.fields = Some(Fields { all: all.collect(), required, rest }),
            Some(fields) => {
                for (name, schema) in all {
                    if !fields.all.iter().any(|(other, _)| *other == name) {
                        fields.all.push((name, schema));
                    }
                }
                fields.required = &fields.required & &required;
                fields.rest = fields.rest.or(rest);
            }
        }
    }

    /// Whether every value of `other` is one of these, apart from fields and items.
    fn includes(&self, other: &Self) -> bool {
        if self.anything || other.anything {
            return self.anything;
        }
        let holds = |value: &String| {
            self.values.contains(value) || self.types.iter().any(|(name, _)| is(value, name))
        };
        let spans = |(name, bounds): &(&str, Map<String, Value>)| {
            self.types.iter().any(|(wider, others)| {
                (wider == name || (*wider == "number" && *name == "integer")) && is_within(bounds, others)
            })
        };
        other.values.iter().all(holds) && other.types.iter().all(spans)
    }

    /// The constraints of the types, to be added to their description.
    fn bounds(&self) -> String {
        let bounds = self.types.iter().filter(|(_, bounds)| !bounds.is_empty());
        let listed: Vec<_> = bounds.map(|(_, bounds)| Value::from(bounds.clone()).to_string()).collect();
        if listed.is_empty() {
            " without bounds".to_owned()
        } else {
            format!(" with {}", listed.join(" or "))
        }
    }
}

/// Whether a value, as JSON, is of a type.
fn is(value: &str, name: &str) -> bool {
    match value.as_bytes().first() {
        Some(b'"') => name == "string",
        Some(b't' | b'f') => name == "boolean",
        Some(b'-' | b'0'..=b'9') => name == "number" || (name == "integer" && !value.contains('.')),
        _ => false,
    }
}

/// The constraints of a type. Formats of numbers become bounds.
fn bounds(name: &str, schema: &Value) -> Map<String, Value> {
    let keywords = LEAST.into_iter().chain(MOST).chain(OTHER);
    let mut bounds: Map<_, _> =
        keywords.filter_map(|keyword| Some((keyword.to_owned(), schema.get(keyword)?.clone()))).collect();
    if name == "object" {
        // An object that refuses unknown fields.
        bounds.extend(
            schema
                .get("additionalProperties")
                .filter(|rest| **rest == false)
                .map(|rest| ("additionalProperties".to_owned(), rest.clone())),
        );
    }
    if ["integer", "number"].contains(&name)
        && let Some(Value::String(format)) = bounds.remove("format")
        && let Some((signed, bits)) =
            format.split_once("int").and_then(|(u, bits)| Some((u.is_empty(), bits.parse::<i32>().ok()?)))
    {
        let bits = if signed { bits - 1 } else { bits };
        let most = 2_f64.powi(bits) - 1.0;
        bounds.entry("maximum").or_insert_with(|| most.into());
        bounds.entry("minimum").or_insert_with(|| (if signed { -most - 1.0 } else { 0.0 }).into());
    }
    bounds
}

/// Whether every value within the constraints `inner` is within `outer` too.
fn is_within(inner: &Map<String, Value>, outer: &Map<String, Value>) -> bool {
    outer.iter().all(|(keyword, bound)| {
        let Some(inner_bound) = inner.get(keyword) else { return false };
        let numbers = inner_bound.as_f64().zip(bound.as_f64());
        inner_bound == bound
            || numbers.is_some_and(|(inner_bound, bound)| {
                (LEAST.contains(&keyword.as_str()) && inner_bound >= bound)
                    || (MOST.contains(&keyword.as_str()) && inner_bound <= bound)
            })
    })
}

#[cfg(test)]
mod tests;
