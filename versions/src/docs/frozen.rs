//! Whether a date still says what its committed document says.
//!
//! `versions/openapi/` holds one document for each date. That of a preview follows the code; that of a
//! published date is what partners were promised, and the code has to follow it.

use std::fmt::Write as _;

use serde_json::Value;

use super::changes::differences;
use super::openapi::text;
use crate::Release;

/// How a date stands to its committed document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// They are the same.
    Kept,
    /// There is none.
    Missing,
    /// It is the one of a preview, and the code went on.
    Stale,
    /// The date is published, and the code would break the promise: the account of it, for people.
    Broken(String),
}

/// The most places of a document that an account tells of.
const PLACES_MAX: usize = 20;

/// How a date, which is described by `document` now, stands to its committed text.
#[must_use]
pub fn standing(release: &Release, committed: Option<&str>, document: &Value) -> Standing {
    let Some(committed) = committed else { return Standing::Missing };
    if committed == text(document) {
        Standing::Kept
    } else if release.lifecycle.published.is_none() {
        Standing::Stale
    } else {
        Standing::Broken(account(release, committed, document))
    }
}

/// What a published date would answer otherwise, and what to do about it.
fn account(release: &Release, committed: &str, document: &Value) -> String {
    let version = release.version;
    let mut told = format!(
        "{version} is published, and this build would no longer answer as versions/openapi/{version}.json promises.\n"
    );
    let committed: Value = match serde_json::from_str(committed) {
        Ok(committed) => committed,
        Err(error) => {
            let _ = writeln!(told, "\nThe committed file is no JSON: {error}. Take it back as it was.");
            return told;
        }
    };
    let (breaking, harmless): (Vec<_>, Vec<_>) =
        differences(&committed, document).into_iter().partition(|difference| difference.breaking);
    for (title, differences) in
        [("This breaks partners", &breaking), ("This does not break partners", &harmless)]
    {
        if !differences.is_empty() {
            let _ = writeln!(told, "\n{title}:");
        }
        for difference in differences {
            let _ = writeln!(told, "  {difference}");
        }
    }
    let mut places = Vec::new();
    collect_places("", Some(&committed), Some(document), &mut places);
    if places.is_empty() {
        places.push("only blanks, line ends or the order of members".to_owned());
    }
    let _ = writeln!(told, "\nIn the document:");
    for place in places.iter().take(PLACES_MAX) {
        let _ = writeln!(told, "  {place}");
    }
    if places.len() > PLACES_MAX {
        let _ = writeln!(told, "  and {} places more", places.len() - PLACES_MAX);
    }
    told.push_str(
        "\nA published date never changes what it answers. Give back what was promised, and make a new date \
         for what is new:\n  \
         1. a folder versions/src/vYYYY_MM_DD, with the endpoint as it is to be and `impl Change` for the way back;\n  \
         2. in its mod.rs a RELEASE that lists it under `changed`, as `Lifecycle::preview()`;\n  \
         3. one line in RELEASES (versions/src/lib.rs);\n  \
         4. cargo run -- versions openapi --write versions/openapi\n",
    );
    if breaking.is_empty() {
        let _ = writeln!(
            told,
            "\nWhere partners cannot tell the difference (a wording, an example), the document itself may follow: \
             delete versions/openapi/{version}.json and write it again with the command above."
        );
    }
    told
}

/// The places at which two documents differ, as JSON pointers with both values.
fn collect_places(pointer: &str, before: Option<&Value>, after: Option<&Value>, places: &mut Vec<String>) {
    match (before, after) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            for name in old.keys().chain(new.keys().filter(|name| !old.contains_key(*name))) {
                let below = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
                collect_places(&below, old.get(name), new.get(name), places);
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) => {
            for index in 0..old.len().max(new.len()) {
                collect_places(&format!("{pointer}/{index}"), old.get(index), new.get(index), places);
            }
        }
        (before, after) if before != after => {
            places.push(format!("{pointer}: {} became {}", shown(before), shown(after)));
        }
        _ => {}
    }
}

/// As much of a value as fits a line.
fn shown(value: Option<&Value>) -> String {
    const CHARACTERS_MAX: usize = 60;
    let Some(value) = value else { return "nothing".to_owned() };
    let text = value.to_string();
    let cut: String = text.chars().take(CHARACTERS_MAX).collect();
    if cut == text { text } else { cut + "…" }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::docs::openapi;
    use crate::{Catalog, Lifecycle, RELEASES};

    fn folder() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("openapi")
    }

    /// The contract with partners: it fails where this build would break it.
    #[test]
    fn every_date_says_what_its_committed_document_says() {
        let catalog = Catalog::new(RELEASES).unwrap();
        for release in RELEASES {
            let version = release.version;
            let committed = std::fs::read_to_string(folder().join(format!("{version}.json"))).ok();
            match standing(release, committed.as_deref(), &openapi(&catalog, release).unwrap()) {
                Standing::Kept => {}
                Standing::Broken(account) => panic!("\n{account}"),
                Standing::Missing | Standing::Stale => panic!(
                    "\nversions/openapi/{version}.json is not what the code says; write it again:\n  \
                     cargo run -- versions openapi --write versions/openapi\n"
                ),
            }
        }
    }

    #[test]
    fn every_committed_document_has_its_date() {
        for file in std::fs::read_dir(folder()).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            let known = RELEASES.iter().any(|release| name == format!("{}.json", release.version));
            assert!(
                known,
                "versions/openapi/{name} is of no date of RELEASES; a published date is never taken out"
            );
        }
    }

    fn account_of(edit: impl FnOnce(&mut Value)) -> String {
        let catalog = Catalog::new(RELEASES).unwrap();
        let document = openapi(&catalog, &RELEASES[0]).unwrap();
        let mut committed = document.clone();
        edit(&mut committed);
        match standing(&RELEASES[0], Some(&text(&committed)), &document) {
            Standing::Broken(account) => account,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_broken_promise_is_told_member_by_member() {
        let account = account_of(|committed| {
            let pong = &mut committed["components"]["schemas"]["Pong"];
            pong["properties"]["uptime"] = serde_json::json!({ "type": "number" });
            pong["required"] = serde_json::json!(["status", "RRT"]);
        });
        for line in [
            "2026-02-01 is published, and this build would no longer answer as versions/openapi/2026-02-01.json promises.",
            "This breaks partners:\n  GET /ping.json: response member `uptime` is gone; it was number\n",
            "This does not break partners:\n  GET /ping.json: response member `env` is always there now\n",
            "/components/schemas/Pong/properties/uptime: {\"type\":\"number\"} became nothing",
            "A published date never changes what it answers.",
        ] {
            assert!(account.contains(line), "no {line} in\n{account}");
        }
        assert!(!account.contains("delete"), "what breaks partners is not to be written over:\n{account}");
    }

    #[test]
    fn a_wording_is_told_by_its_place_and_may_be_mended() {
        let account = account_of(|committed| committed["info"]["summary"] = "The frist date.".into());
        assert!(account.contains("/info/summary: \"The frist date.\" became \"The first date"), "{account}");
        assert!(!account.contains("partners:\n"), "{account}");
        assert!(account.contains("delete versions/openapi/2026-02-01.json"), "{account}");
    }

    #[test]
    fn files_that_are_missing_broken_or_of_a_preview_are_told_apart() {
        let catalog = Catalog::new(RELEASES).unwrap();
        let document = openapi(&catalog, &RELEASES[0]).unwrap();
        let preview = Release { lifecycle: Lifecycle::preview(), ..RELEASES[0].clone() };
        assert_eq!(standing(&RELEASES[0], None, &document), Standing::Missing);
        assert_eq!(standing(&RELEASES[0], Some(&text(&document)), &document), Standing::Kept);
        assert_eq!(standing(&preview, Some("{}"), &document), Standing::Stale);
        let Standing::Broken(account) = standing(&RELEASES[0], Some("{"), &document) else { panic!() };
        assert!(account.contains("is no JSON"), "{account}");
        let text = text(&document).replace('\n', "\r\n");
        let Standing::Broken(account) = standing(&RELEASES[0], Some(&text), &document) else { panic!() };
        assert!(account.contains("only blanks, line ends"), "{account}");
    }
}
