//! Any text as a path: never a panic, and only the exact path of an endpoint finds it.

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
    let exact = CATALOG.entries().iter().find(|entry| entry.template == path);
    assert_eq!(found.map(|entry| entry.index), exact.map(|entry| entry.index), "{path:?}");
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
