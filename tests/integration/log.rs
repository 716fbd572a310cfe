//! Reads the gateway's JSON log, whose fields may be at the top level or below `fields`.

use serde_json::Value;

/// The first of these fields that is in a line.
pub(crate) fn field<'l>(line: &'l Value, names: &[&str]) -> Option<&'l Value> {
    names.iter().find_map(|name| line.get(name).or_else(|| line.get("fields")?.get(name)))
}
