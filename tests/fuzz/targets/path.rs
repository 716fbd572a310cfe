//! Any text as a path: never a panic, and only a path that an endpoint's template describes finds it.

#![no_main]

use std::sync::LazyLock;

use http::{Method, Uri};
use libfuzzer_sys::fuzz_target;
use versions::{Catalog, RELEASES};

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| Catalog::new(RELEASES).expect("the releases agree"));

fn check(path: &str) {
    let found = CATALOG.version(path).and_then(|(table, below)| {
        let (resource, _) = table.resource(below).ok()?;
        CATALOG.entry(table, resource, &Method::GET).ok()
    });
    let described = CATALOG
        .entries()
        .iter()
        .find(|entry| entry.route.method == Method::GET && describes(&entry.template, path));
    assert_eq!(found.map(|entry| entry.index), described.map(|entry| entry.index), "{path:?}");
}

/// Whether a template describes a path: a placeholder stands for one segment or a part of it, all else for itself.
fn describes(template: &str, path: &str) -> bool {
    let Some((before, rest)) = template.split_once('{') else { return template == path };
    let (_, after) = rest.split_once('}').expect("a placeholder ends");
    let value = path.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
    value.is_some_and(|value| !value.is_empty() && !value.contains('/'))
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        check(text);
    }
    // The protocol libraries use this parser.
    if let Ok(uri) = Uri::try_from(bytes) {
        check(uri.path());
    }
});
