//! The configuration of a test's gateway: free loopback ports, and the test's overlay.

use toml::{Table, Value};

/// The base configuration of every test. Two workers, so that state shared between workers is tested.
const BASE: &str = r#"
[runtime]
workers = 2

[listeners.http]
addresses = ["127.0.0.1:0", "[::1]:0"]

[listeners.https]
addresses = ["127.0.0.1:0", "[::1]:0"]

[listeners.docs]
addresses = ["127.0.0.1:0", "[::1]:0"]

[listeners.portal]
addresses = ["127.0.0.1:0", "[::1]:0"]

[listeners.operations]
addresses = ["127.0.0.1:0"]

[drain]
announce = "300ms"
deadline = "10s"

[log]
level = "info"
format = "json"
"#;

/// The base merged with `overlay` (TOML): tables are merged, anything else is replaced.
///
/// # Panics
/// When `overlay` is not TOML, which is the test's mistake.
pub fn merged(overlay: &str) -> String {
    let mut base: Table = BASE.parse().expect("the base is TOML");
    let overlay: Table = overlay.parse().unwrap_or_else(|error| panic!("{error}\n{overlay}"));
    lay_over(&mut base, overlay);
    base.to_string()
}

fn lay_over(base: &mut Table, overlay: Table) {
    for (name, value) in overlay {
        match (base.get_mut(&name), value) {
            (Some(Value::Table(below)), Value::Table(above)) => lay_over(below, above),
            (_, value) => {
                base.insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overlay_replaces_values_and_keeps_their_neighbours() {
        let merged: Table =
            merged("[drain]\nannounce = \"1s\"\n[limits]\nkey_rate = \"1/s\"").parse().unwrap();
        assert_eq!(merged["drain"]["announce"].as_str(), Some("1s"));
        assert_eq!(merged["drain"]["deadline"].as_str(), Some("10s"));
        assert_eq!(merged["limits"]["key_rate"].as_str(), Some("1/s"));
    }
}
