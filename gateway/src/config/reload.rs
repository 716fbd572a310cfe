//! Which options a running server reloads, and which need a restart.

use std::collections::BTreeMap;

use serde_json::Value;

use super::sections::Config;

/// The options that a reload applies; a name that ends in a dot is a section. `gateway.toml` marks the same ones with
/// "(reload)", which a test compares.
pub(super) const RELOADABLE: &[&str] = &[
    "api.cors_origins",
    "api.docs_url",
    "api.invalid_token_message",
    "api.public_url",
    "certificates.",
    "docs.key_variable",
    "docs.security_contacts",
    "docs.security_languages",
    "docs.security_policy",
    "limits.body_bytes_max",
    "limits.connections_max",
    "limits.connections_per_address_max",
    "limits.failures_per_address",
    "limits.header_bytes_max",
    "limits.header_fields_max",
    "limits.key_rate",
    "limits.preview_patch_bytes_max",
    "limits.requests_in_flight_max",
    "limits.requests_in_flight_per_caller_max",
    "limits.uploads_in_flight_max",
    "limits.uri_bytes_max",
    "log.access",
    "log.level",
    "timeouts.body",
    "timeouts.request",
    "timeouts.goodbye",
    "timeouts.header",
    "timeouts.idle",
    "timeouts.write",
    "versions.",
];

/// The dotted names of the options that differ and need a restart, sorted.
///
/// A listener that is only in one of the two is listed by its section.
#[must_use]
pub fn differences_needing_restart(old: &Config, new: &Config) -> Vec<String> {
    let [old, new] = [old, new].map(|config| {
        let mut options = BTreeMap::new();
        // A configuration can always be written as JSON; `null` would only mean that nothing differs.
        flatten(String::new(), serde_json::to_value(config).unwrap_or_default(), &mut options);
        options
    });
    let mut names: Vec<String> = old
        .keys()
        .chain(new.keys())
        .filter(|name| old.get(*name) != new.get(*name) && !is_reloadable(name))
        .map(|name| listener_in_one(name, &old, &new).unwrap_or_else(|| name.clone()))
        .collect();
    names.sort();
    names.dedup();
    names
}

fn is_reloadable(name: &str) -> bool {
    RELOADABLE
        .iter()
        .any(|reloadable| *reloadable == name || reloadable.ends_with('.') && name.starts_with(reloadable))
}

fn flatten(name: String, value: Value, options: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                let name = if name.is_empty() { field } else { format!("{name}.{field}") };
                flatten(name, value, options);
            }
        }
        value => {
            options.insert(name, value);
        }
    }
}

/// The section of the listener that an option belongs to, if only one side has that listener; its `serves`, if only
/// one side has that in this form.
fn listener_in_one(
    option: &str,
    old: &BTreeMap<String, Value>,
    new: &BTreeMap<String, Value>,
) -> Option<String> {
    let (name, inside) = option.strip_prefix("listeners.")?.split_once('.')?;
    if old.contains_key(option) == new.contains_key(option) {
        return None;
    }
    let listener = format!("listeners.{name}");
    let is_in = |options: &BTreeMap<String, Value>| options.contains_key(&format!("{listener}.enabled"));
    if is_in(old) != is_in(new) {
        return Some(listener);
    }
    (inside.split('.').next() == Some("serves")).then(|| format!("{listener}.serves"))
}
