//! Tests of the catalog: folding releases, finding endpoints, and releases that are refused.

use permissions::ApiAccessPermission;
use proptest::prelude::*;
use schemars::JsonSchema;
use serde::Deserialize;

use super::*;
use crate::{
    Change, Context, Empty, Endpoint, Handler, Lifecycle, RELEASES, Removal, v2026_02_01, v2026_11_01,
};

const FIRST: Version = Version::new(2030, 1, 1);
const SECOND: Version = Version::new(2030, 2, 1);
const THIRD: Version = Version::new(2030, 3, 1);

fn release(version: Version) -> Release {
    Release::new(version, "A date of these tests.", Lifecycle::preview())
}

/// An endpoint that answers `true`.
macro_rules! endpoint {
    ($type:ident, $name:literal, $method:ident, $path:literal, $request:ty) => {
        struct $type;

        impl Endpoint for $type {
            const NAME: &'static str = $name;
            const METHOD: Method = Method::$method;
            const PATH: &'static str = $path;
            const PERMISSION: ApiAccessPermission = ApiAccessPermission::PING_READ;
            const SUMMARY: &'static str = "Says yes.";

            type Request = $request;
            type Response = bool;

            fn example() -> bool {
                true
            }
        }

        impl Handler for $type {
            async fn handle(_: &Context<'_>, _: $request) -> Result<bool, Error> {
                Ok(true)
            }
        }
    };
}

macro_rules! change {
    ($before:ident => $after:ident) => {
        impl Change for $after {
            type Before = $before;
            const NOTE: &'static str = "Renamed.";

            fn up(request: <$before as Endpoint>::Request) -> Result<Self::Request, Error> {
                Ok(request)
            }

            fn down(_: &Context<'_>, response: bool) -> bool {
                response
            }
        }
    };
}

#[derive(Deserialize, JsonSchema)]
#[expect(dead_code, reason = "only its form is used")]
struct ById {
    id: u32,
}

endpoint!(One, "one", GET, "/one.json", Empty);
endpoint!(Uno, "uno", GET, "/uno.json", Empty);
endpoint!(MakeOne, "make_one", POST, "/one.json", Empty);
endpoint!(Thing, "thing", GET, "/things/{id}.json", ById);
endpoint!(Item, "item", GET, "/items/{id}.json", ById);
endpoint!(Clash, "clash", GET, "/things/{name}.json", ById);
change!(One => Uno);
change!(Thing => Item);

const ONE: Route = Route::native::<One>();

fn catalog() -> Catalog {
    Catalog::new(RELEASES).unwrap()
}

fn find<'c>(catalog: &'c Catalog, method: &Method, path: &'c str) -> Result<&'c Entry, ErrorCode> {
    let (table, below) = catalog.version(path).ok_or(ErrorCode::UnknownVersion)?;
    let (resource, _) = table.resource(below).map_err(|error| error.code)?;
    catalog.entry(table, resource, method).map_err(|error| error.code)
}

fn names(catalog: &Catalog, version: Version) -> Vec<&'static str> {
    catalog.entries_of(version).map(|entry| entry.route.name).collect()
}

#[test]
fn every_entry_is_found_at_its_template() {
    let catalog = catalog();
    assert!(!catalog.entries().is_empty());
    for entry in catalog.entries() {
        let found = find(&catalog, &entry.route.method, &entry.template).unwrap();
        assert_eq!(found.index, entry.index);
    }
}

#[test]
fn other_spellings_of_a_path_find_nothing() {
    let catalog = catalog();
    for (path, code) in [
        ("/2026-02-01/ping.json/", ErrorCode::UnknownResource),
        ("/2026-02-01//ping.json", ErrorCode::UnknownResource),
        ("/2026-02-01/PING.json", ErrorCode::UnknownResource),
        ("/2026-02-01/%70ing.json", ErrorCode::UnknownResource),
        ("/2026-02-01/./ping.json", ErrorCode::UnknownResource),
        ("/2026-02-01/x/../ping.json", ErrorCode::UnknownResource),
        ("/2026-02-01/", ErrorCode::UnknownResource),
        ("/2026-02-01/versions.json", ErrorCode::UnknownResource),
        ("//2026-02-01/ping.json", ErrorCode::UnknownVersion),
        ("/2026-02-01", ErrorCode::UnknownVersion),
        ("/2026-02-1/ping.json", ErrorCode::UnknownVersion),
        ("/2026-2-1/ping.json", ErrorCode::UnknownVersion),
        ("/2026-02-30/ping.json", ErrorCode::UnknownVersion),
        ("/2026-02-02/ping.json", ErrorCode::UnknownVersion),
        ("/2026-02-01x/ping.json", ErrorCode::UnknownVersion),
        ("/2026-02-01\u{0}/ping.json", ErrorCode::UnknownVersion),
        ("/2026-02-01\u{0}\u{0}\u{0}\u{0}\u{0}/ping.json", ErrorCode::UnknownVersion),
        ("/2026-02-0000001/ping.json", ErrorCode::UnknownVersion),
        ("/２０２６-02/ping.json", ErrorCode::UnknownVersion),
        ("/ping.json", ErrorCode::UnknownVersion),
        ("/", ErrorCode::UnknownVersion),
        ("", ErrorCode::UnknownVersion),
        ("*", ErrorCode::UnknownVersion),
        ("/ééééééé", ErrorCode::UnknownVersion),
    ] {
        assert_eq!(find(&catalog, &Method::GET, path).err(), Some(code), "{path}");
    }
}

#[test]
fn get_handles_head_and_other_methods_get_the_allowed_ones() {
    let catalog = catalog();
    let path = "/2026-02-01/ping.json";
    assert_eq!(find(&catalog, &Method::HEAD, path).unwrap().template, path);
    let (table, below) = catalog.version(path).unwrap();
    let (resource, _) = table.resource(below).unwrap();
    let error = catalog.entry(table, resource, &Method::POST).err().unwrap();
    assert_eq!(error.code, ErrorCode::MethodNotAllowed);
    assert_eq!(error.help.unwrap().allow.unwrap(), "GET, HEAD, OPTIONS");
}

#[test]
fn an_unlisted_endpoint_is_inherited_as_the_same_row() {
    let releases = [Release { added: const { &[ONE] }, ..release(FIRST) }, release(SECOND)];
    let catalog = Catalog::new(&releases).unwrap();
    let old = find(&catalog, &Method::GET, "/2030-01-01/one.json").unwrap();
    let new = find(&catalog, &Method::GET, "/2030-02-01/one.json").unwrap();
    assert_eq!((old.route.endpoint, old.route.path), (new.route.endpoint, new.route.path));
    assert_ne!(old.index, new.index);
}

#[test]
fn a_change_replaces_an_endpoint_and_a_removal_removes_it() {
    let releases = [
        Release {
            added: const { &[ONE, Route::native::<Thing>(), Route::native::<MakeOne>()] },
            ..release(FIRST)
        },
        Release {
            changed: const { &[Route::changed::<Uno>(), Route::changed::<Item>()] },
            ..release(SECOND)
        },
        Release {
            removed: const { &[Removal::of::<Uno>("Nobody asks any more.")] },
            added: const { &[ONE] },
            ..release(THIRD)
        },
    ];
    let catalog = Catalog::new(&releases).unwrap();
    assert_eq!(names(&catalog, FIRST), ["one", "make_one", "thing"]);
    assert_eq!(names(&catalog, SECOND), ["item", "make_one", "uno"]);
    assert_eq!(names(&catalog, THIRD), ["item", "make_one", "one"]);
    let entry = find(&catalog, &Method::GET, "/2030-02-01/items/7.json").unwrap();
    assert_eq!(entry.template, "/2030-02-01/items/{id}.json");
    assert_eq!(
        find(&catalog, &Method::GET, "/2030-02-01/things/7.json").err(),
        Some(ErrorCode::UnknownResource)
    );
    assert_eq!(find(&catalog, &Method::GET, "/2030-03-01/uno.json").err(), Some(ErrorCode::UnknownResource));
}

#[test]
fn contradictions_are_refused_with_date_and_endpoint() {
    let first = || Release { added: const { &[ONE] }, ..release(FIRST) };
    for (releases, expected) in [
        (vec![first(), first()], "2030-01-01: is listed after a date that is not earlier"),
        (vec![release(SECOND), release(FIRST)], "2030-01-01: is listed after a date"),
        (
            vec![first(), Release { added: const { &[ONE] }, ..release(SECOND) }],
            "2030-02-01: `one` (GET /one.json) exists already",
        ),
        (
            vec![Release { changed: const { &[Route::changed::<Uno>()] }, ..release(FIRST) }],
            "2030-01-01: changes `one` into `uno`, but",
        ),
        (
            vec![
                first(),
                Release {
                    changed: const { &[Route::changed::<Uno>(), Route::changed::<Uno>()] },
                    ..release(SECOND)
                },
            ],
            "2030-02-01: changes `one` into `uno`, but",
        ),
        (
            vec![first(), Release { changed: const { &[ONE] }, ..release(SECOND) }],
            "2030-02-01: `one` is in the wrong list",
        ),
        (
            vec![Release { added: const { &[Route::changed::<Uno>()] }, ..release(FIRST) }],
            "2030-01-01: `uno` is in the wrong list",
        ),
        (
            vec![first(), Release { removed: const { &[Removal::of::<Uno>("")] }, ..release(SECOND) }],
            "2030-02-01: removes `uno`, which the date before does not have",
        ),
        (
            vec![
                first(),
                Release { removed: const { &[Removal::of::<One>("")] }, ..release(SECOND) },
                Release { removed: const { &[Removal::of::<One>("")] }, ..release(THIRD) },
            ],
            "2030-03-01: removes `one`, which the date before does not have",
        ),
        (
            vec![Release {
                added: const { &[Route::native::<Thing>(), Route::native::<Clash>()] },
                ..release(FIRST)
            }],
            "2030-01-01: the path `/things/{name}.json` cannot be routed",
        ),
    ] {
        let error = Catalog::new(&releases).err().expect(expected).to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn a_label_has_a_separate_table() {
    let label = Version::label("v1");
    let releases = [
        Release { added: const { &[ONE] }, ..release(label) },
        Release { added: const { &[Route::native::<Thing>()] }, ..release(FIRST) },
    ];
    let catalog = Catalog::new(&releases).unwrap();
    assert_eq!(find(&catalog, &Method::GET, "/v1/one.json").unwrap().template, "/v1/one.json");
    assert_eq!(find(&catalog, &Method::GET, "/v1/things/1.json").err(), Some(ErrorCode::UnknownResource));
    assert_eq!(find(&catalog, &Method::GET, "/2030-01-01/one.json").err(), Some(ErrorCode::UnknownResource));
    assert_eq!(find(&catalog, &Method::GET, "/V1/one.json").err(), Some(ErrorCode::UnknownVersion));
    assert_eq!(find(&catalog, &Method::GET, "/v1").err(), Some(ErrorCode::UnknownVersion));
    assert_eq!(catalog.named("v1").unwrap().field, "v1");
    let late = [release(FIRST), release(label)];
    assert_eq!(Catalog::new(&late).err(), Some(CatalogError::OutOfOrder(label)));
}

#[test]
fn the_dates_of_this_build_are_consistent() {
    let catalog = catalog();
    assert_eq!(names(&catalog, v2026_02_01::RELEASE.version), ["connection", "ping"]);
    assert_eq!(names(&catalog, v2026_11_01::RELEASE.version), ["connection", "ping", "versions"]);
}

proptest! {
    #[test]
    fn no_path_makes_it_panic(path in ".{0,60}") {
        let _ = find(&catalog(), &Method::GET, &path);
    }

    #[test]
    fn no_path_below_a_date_makes_it_panic(below in ".{0,40}") {
        let path = format!("/2026-02-01{below}");
        let catalog = catalog();
        let found = find(&catalog, &Method::GET, &path);
        let exact = ["/ping.json", "/connection.json"].contains(&below.as_str());
        prop_assert_eq!(found.is_ok(), exact);
    }
}
