//! The differences between two OpenAPI documents, and which of them break partners.
//!
//! Partners write requests and read responses. A request may accept more values than before; a response may have fewer
//! values or additional fields. The reverse breaks existing integrations.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::compare::{Finding, Side, Turn, compare};

/// One difference, for people and programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The endpoint's name.
    pub endpoint: String,
    /// Its method.
    pub method: String,
    /// Its path below the date.
    pub path: String,
    /// Whether an unchanged caller can fail because of it.
    pub breaking: bool,
    /// The kind of difference.
    pub kind: Kind,
    /// What differs: ``response field `endpoint.protocol` ``.
    pub place: String,
    /// How it differs: the rest of the sentence.
    pub text: String,
}

/// The kinds of differences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An endpoint was added.
    EndpointAdded,
    /// An endpoint was removed.
    EndpointRemoved,
    /// Its method or path changed.
    EndpointMoved,
    /// It requires another permission.
    PermissionChanged,
    /// A read-only call is no longer read-only, or the reverse.
    SafetyChanged,
    /// It can respond with an additional error status.
    StatusAdded,
    /// It no longer responds with an error status.
    StatusRemoved,
    /// A field or parameter was added.
    Added,
    /// A field or parameter was removed.
    Removed,
    /// A field or parameter became optional.
    Optional,
    /// A field or parameter became required.
    Required,
    /// It can have more values: null, another type, one more of an enum.
    Widened,
    /// It can have fewer values.
    Narrowed,
    /// It can have other values.
    Changed,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {} {}", self.method, self.path, self.place, self.text)
    }
}

/// Every difference between two documents, endpoint by endpoint.
///
/// Endpoints are matched by method and path, or else by name.
#[must_use]
pub fn differences(before: &Value, after: &Value) -> Vec<Difference> {
    let (old, new) = (Operation::all(before), Operation::all(after));
    let mut differences = Vec::new();
    let mut matched = Vec::new();
    for now in &new {
        let same = old.iter().find(|then| (&then.method, then.path) == (&now.method, now.path));
        match same.or_else(|| old.iter().find(|then| then.name == now.name)) {
            Some(then) => {
                matched.push(then.name);
                differences.extend(then.differences_to(now));
            }
            None => {
                differences.push(now.endpoint_difference(Kind::EndpointAdded, false, "was added".to_owned()))
            }
        }
    }
    for then in old.iter().filter(|then| !matched.contains(&then.name)) {
        differences.push(then.endpoint_difference(Kind::EndpointRemoved, true, "was removed".to_owned()));
    }
    differences
}

/// One endpoint of a document.
pub(super) struct Operation<'a> {
    pub(super) name: &'a str,
    method: String,
    /// Below the date.
    path: &'a str,
    declared: &'a Value,
    document: &'a Value,
}

/// The part of a request that is not a parameter.
const CONTENT: &str = "request body";

/// Who writes the values in question.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writer {
    Partner,
    Gateway,
}

impl<'a> Operation<'a> {
    pub(super) fn all(document: &'a Value) -> Vec<Self> {
        let paths = document["paths"].as_object().into_iter().flatten();
        let operations = paths.flat_map(|(template, methods)| {
            // `/2026-02-01/ping.json` → `/ping.json`
            let path =
                template.get(1..).and_then(|rest| rest.find('/')).map_or("", |end| &template[end + 1..]);
            methods.as_object().into_iter().flatten().map(move |(method, declared)| Self {
                name: declared["operationId"].as_str().unwrap_or_default(),
                method: method.to_ascii_uppercase(),
                path,
                declared,
                document,
            })
        });
        operations.collect()
    }

    /// Every difference between this endpoint and its newer version.
    pub(super) fn differences_to(&self, now: &Self) -> Vec<Difference> {
        let mut differences = Vec::new();
        if (&self.method, self.path) != (&now.method, now.path) {
            let text = format!("moved here from {} {}", self.method, self.path);
            differences.push(now.endpoint_difference(Kind::EndpointMoved, true, text));
        }
        let permission =
            |of: &Self| of.declared["x-required-permission"].as_str().unwrap_or("none").to_owned();
        let (old, new) = (permission(self), permission(now));
        if old != new {
            let text = format!("changed from `{old}` to `{new}`");
            differences.push(now.difference(Kind::PermissionChanged, true, "the permission", text));
        }
        let safe = |of: &Self| of.declared["x-safe"] == true;
        if safe(self) != safe(now) {
            let text = if safe(now) { "is read-only now" } else { "is no longer read-only" };
            differences.push(now.difference(Kind::SafetyChanged, !safe(now), "a call", text.to_owned()));
        }
        for place in ["path", "query", "header", CONTENT] {
            let (old, new) = (self.request(place), now.request(place));
            let findings = compare(self.side(&old), now.side(&new));
            differences.extend(
                findings.iter().map(|finding| now.schema_difference(Writer::Partner, place, finding)),
            );
        }
        let findings = compare(self.side(self.answer()), now.side(now.answer()));
        differences.extend(
            findings.iter().map(|finding| now.schema_difference(Writer::Gateway, "response", finding)),
        );
        differences.extend(self.statuses(now));
        differences
    }

    fn side<'s>(&'s self, schema: &'s Value) -> Side<'s> {
        Side { schema, document: self.document }
    }

    fn answer(&self) -> &Value {
        &self.declared["responses"]["200"]["content"][super::responses::JSON]["schema"]
    }

    /// One part of the request as the schema of an object.
    fn request(&self, place: &str) -> Value {
        if place == CONTENT {
            let schema = &self.declared["requestBody"]["content"][super::responses::JSON]["schema"];
            return if schema.is_null() { json!({ "type": "object" }) } else { schema.clone() };
        }
        let parameters = self.declared["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
        let parameters = || parameters.iter().filter(|parameter| parameter["in"] == place);
        let name = |parameter: &Value| parameter["name"].as_str().unwrap_or_default().to_owned();
        let properties: Map<_, _> =
            parameters().map(|parameter| (name(parameter), parameter["schema"].clone())).collect();
        let required: Vec<_> =
            parameters().filter(|parameter| parameter["required"] == true).map(name).collect();
        json!({ "type": "object", "properties": properties, "required": required })
    }

    fn statuses(&self, now: &Self) -> Vec<Difference> {
        let of = |one: &Self| -> Vec<String> {
            one.declared["responses"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(status, _)| status.clone())
                .collect()
        };
        let (old, new) = (of(self), of(now));
        let status_difference = |status: &String, kind, text: &str| {
            now.difference(kind, false, &format!("the status {status}"), text.to_owned())
        };
        let added = new.iter().filter(|status| !old.contains(status));
        let removed = old.iter().filter(|status| !new.contains(status));
        added
            .map(|status| status_difference(status, Kind::StatusAdded, "was added"))
            .chain(removed.map(|status| status_difference(status, Kind::StatusRemoved, "was removed")))
            .collect()
    }

    /// A schema difference, from the point of view of the partner.
    fn schema_difference(&self, writer: Writer, place: &str, finding: &Finding) -> Difference {
        let Finding { place: field, turn, before, after } = finding;
        let ours = writer == Writer::Gateway;
        let (kind, breaking, text) = match turn {
            Turn::Added { required: true } if !ours => {
                (Kind::Added, true, format!("was added and is required: {after}"))
            }
            Turn::Added { .. } => (Kind::Added, false, format!("was added: {after}")),
            Turn::Removed if ours => (Kind::Removed, true, format!("was removed: {before}")),
            Turn::Removed => (Kind::Removed, true, format!("is no longer accepted: {before}")),
            Turn::Optional if ours => (Kind::Optional, true, "can be missing".to_owned()),
            Turn::Optional => (Kind::Optional, false, "is optional now".to_owned()),
            Turn::Required if ours => (Kind::Required, false, "is always present now".to_owned()),
            Turn::Required => (Kind::Required, true, "is required now".to_owned()),
            Turn::Widened => (Kind::Widened, ours, format!("changed from {before} to {after}")),
            Turn::Narrowed => (Kind::Narrowed, !ours, format!("changed from {before} to {after}")),
            Turn::Changed => (Kind::Changed, true, format!("changed from {before} to {after}")),
        };
        let place = match (place, field.as_str()) {
            (place, "") => format!("the {place}"),
            ("path" | "query" | "header", field) => format!("{place} parameter `{field}`"),
            (place, field) => format!("{place} field `{field}`"),
        };
        self.difference(kind, breaking, &place, text)
    }

    pub(super) fn endpoint_difference(&self, kind: Kind, breaking: bool, text: String) -> Difference {
        self.difference(kind, breaking, "the endpoint", text)
    }

    fn difference(&self, kind: Kind, breaking: bool, place: &str, text: String) -> Difference {
        Difference {
            endpoint: self.name.to_owned(),
            method: self.method.clone(),
            path: self.path.to_owned(),
            breaking,
            kind,
            place: place.to_owned(),
            text,
        }
    }
}

#[cfg(test)]
mod tests;
