//! Two JSON schemas side by side: what a value may be that it could not be before, and the reverse.
//!
//! It knows neither requests nor responses: whether a difference breaks anyone depends on who writes
//! the value and who reads it, which is for [`super::changes`] to say.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::words::{resolve, type_name};

/// How a member differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It is there now.
    Added {
        /// Whether always.
        required: bool,
    },
    /// It is there no more.
    Removed,
    /// It was always there, and may be missing now.
    Optional,
    /// It could be missing, and is always there now.
    Required,
    /// Every value that it could have it still can, and others too.
    Widened,
    /// It can have fewer values than before.
    Narrowed,
    /// Some values are new, others are gone.
    Changed,
}

/// One difference of two schemas.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// Where: `endpoint.protocol`, `versions[].state`; empty for the whole.
    pub(super) place: String,
    pub(super) turn: Turn,
    /// Its types in words, where it had and has one.
    pub(super) before: String,
    pub(super) after: String,
}

/// A schema with the document that its references lead into.
#[derive(Clone, Copy)]
pub(super) struct Side<'a> {
    pub(super) schema: &'a Value,
    pub(super) document: &'a Value,
}

impl<'a> Side<'a> {
    fn at(self, schema: &'a Value) -> Self {
        Self { schema, ..self }
    }

    fn words(self) -> String {
        type_name(self.schema, self.document)
    }
}

/// No schema is nested deeper; one that holds itself is compared so far.
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
        let (mut told_before, mut told_after) = (before.words(), after.words());
        if told_before == told_after {
            // The types are the same, so it is what they are bound by.
            told_before.push_str(&old.bounds());
            told_after.push_str(&new.bounds());
        }
        findings.push(Finding { place: place.to_owned(), turn, before: told_before, after: told_after });
    }
    if depth == DEPTH_MAX {
        return;
    }
    if let (Some(old), Some(new)) = (old.items, new.items) {
        walk(&format!("{place}[]"), before.at(old), after.at(new), depth + 1, findings);
    }
    if let (Some(old), Some(new)) = (&old.members, &new.members) {
        members(place, (before, old), (after, new), depth, findings);
    }
}

fn members<'a>(
    place: &str,
    (before, old): (Side<'a>, &Members<'a>),
    (after, new): (Side<'a>, &Members<'a>),
    depth: usize,
    findings: &mut Vec<Finding>,
) {
    let below = |name: &str| if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") };
    let mut found = |name: &str, turn, before: String, after: String| {
        findings.push(Finding { place: below(name), turn, before, after });
    };
    for (name, schema) in &old.all {
        if !new.all.iter().any(|(other, _)| other == name) {
            found(name, Turn::Removed, before.at(schema).words(), String::new());
        }
    }
    for (name, schema) in &new.all {
        let required = new.required.contains(name);
        let words = after.at(schema).words();
        if !old.all.iter().any(|(other, _)| other == name) {
            found(name, Turn::Added { required }, String::new(), words);
        } else if required != old.required.contains(name) {
            let turn = if required { Turn::Required } else { Turn::Optional };
            found(name, turn, words.clone(), words);
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

/// All that a value may be.
#[derive(Default)]
struct Forms<'a> {
    anything: bool,
    /// The single values, as JSON.
    values: BTreeSet<String>,
    /// The types, each with what binds it.
    types: Vec<(&'static str, Map<String, Value>)>,
    items: Option<&'a Value>,
    members: Option<Members<'a>>,
}

/// What an object holds. Of several objects, one of which it is: all their members, of which those are
/// required that are so everywhere.
struct Members<'a> {
    all: Vec<(&'a str, &'a Value)>,
    required: BTreeSet<&'a str>,
    /// What members of any other name are, where they may be there and mean something.
    rest: Option<&'a Value>,
}

const TYPES: [&str; 7] = ["null", "boolean", "integer", "number", "string", "array", "object"];

/// The words that bind a value from below, and those that bind it from above.
const LEAST: [&str; 5] = ["minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"];
const MOST: [&str; 5] = ["maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"];
/// The words that bind it otherwise.
const OTHER: [&str; 4] = ["pattern", "format", "multipleOf", "uniqueItems"];

impl<'a> Forms<'a> {
    fn collect(&mut self, schema: &'a Value, document: &'a Value, depth: usize) {
        let schema = resolve(schema, document);
        if let Some(only) = schema.get("const") {
            self.values.insert(only.to_string());
        } else if let Some(values) = schema["enum"].as_array() {
            self.values.extend(values.iter().map(Value::to_string));
        } else if let Some(forms) = ["oneOf", "anyOf"].iter().find_map(|word| schema[word].as_array())
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
        let Some(name) = TYPES.into_iter().find(|known| *known == name) else { return };
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
        match &mut self.members {
            None => self.members = Some(Members { all: all.collect(), required, rest }),
            Some(members) => {
                for (name, schema) in all {
                    if !members.all.iter().any(|(known, _)| *known == name) {
                        members.all.push((name, schema));
                    }
                }
                members.required = &members.required & &required;
                members.rest = members.rest.or(rest);
            }
        }
    }

    /// Whether every value of `other` is one of these, as far as members and items are left aside.
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

    /// What binds the types, to be added to their words.
    fn bounds(&self) -> String {
        let bounds = self.types.iter().filter(|(_, bounds)| !bounds.is_empty());
        let told: Vec<_> = bounds.map(|(_, bounds)| Value::from(bounds.clone()).to_string()).collect();
        if told.is_empty() { " without bounds".to_owned() } else { format!(" with {}", told.join(" or ")) }
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

/// What binds a type. Formats of numbers say how wide they are, which becomes bounds.
fn bounds(name: &str, schema: &Value) -> Map<String, Value> {
    let words = LEAST.into_iter().chain(MOST).chain(OTHER);
    let mut bounds: Map<_, _> =
        words.filter_map(|word| Some((word.to_owned(), schema.get(word)?.clone()))).collect();
    if name == "object" {
        // An object that refuses members which it does not know.
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

/// Whether whatever keeps `inner` keeps `outer` too.
fn is_within(inner: &Map<String, Value>, outer: &Map<String, Value>) -> bool {
    outer.iter().all(|(word, bound)| {
        let Some(own) = inner.get(word) else { return false };
        let numbers = own.as_f64().zip(bound.as_f64());
        own == bound
            || numbers.is_some_and(|(own, bound)| {
                (LEAST.contains(&word.as_str()) && own >= bound)
                    || (MOST.contains(&word.as_str()) && own <= bound)
            })
    })
}

#[cfg(test)]
mod tests;
