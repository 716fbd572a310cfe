//! The check that a published version keeps its contract.
//!
//! `versions/openapi/` has the OpenAPI document of each version. That of a preview follows the code. That of a published
//! version is the contract with partners, and the code must keep to it. Descriptions and summaries are not part of the
//! contract: their wording may be improved at any time.

use std::fmt::Write as _;

use serde_json::Value;

use super::changes::differences;
use super::openapi::text;
use crate::Release;

/// How a version compares with its committed document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContractStatus {
    /// They are the same.
    Unchanged,
    /// There is no committed document.
    Missing,
    /// The document is to be written again: the version is a preview, or only descriptions or whitespace differ.
    Outdated,
    /// The version is published, and the code breaks its contract: a report for people.
    Broken(String),
}

/// The most places in a document that a report lists.
const PLACES_MAX: usize = 20;

/// Compares the `document` that the code generates with the committed text.
#[must_use]
pub fn contract_status(release: &Release, committed: Option<&str>, document: &Value) -> ContractStatus {
    let Some(committed) = committed else { return ContractStatus::Missing };
    if committed == text(document) {
        ContractStatus::Unchanged
    } else if release.lifecycle.published.is_none() || differs_in_wording(committed, document) {
        ContractStatus::Outdated
    } else {
        ContractStatus::Broken(report(release, committed, document))
    }
}

/// Whether the documents are the same apart from descriptions, summaries and whitespace.
fn differs_in_wording(committed: &str, document: &Value) -> bool {
    let Ok(mut committed) = serde_json::from_str::<Value>(committed) else { return false };
    let mut document = document.clone();
    remove_wording(&mut committed);
    remove_wording(&mut document);
    committed == document
}

/// Removes descriptions and summaries. A field of a schema that has one of these names is an object, and stays.
fn remove_wording(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|name, value| {
                !(["description", "summary"].contains(&name.as_str()) && value.is_string())
            });
            members.values_mut().for_each(remove_wording);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_wording),
        _ => {}
    }
}

/// Reports what breaks the contract of a published version, and what to do about it.
fn report(release: &Release, committed: &str, document: &Value) -> String {
    let version = release.version;
    let mut report = format!(
        "{version} is published, and this build breaks its contract, versions/openapi/{version}.json.\n"
    );
    let committed: Value = match serde_json::from_str(committed) {
        Ok(committed) => committed,
        Err(error) => {
            let _ = writeln!(report, "\nThe committed file is not JSON: {error}. Restore it.");
            return report;
        }
    };
    let (breaking, harmless): (Vec<_>, Vec<_>) =
        differences(&committed, document).into_iter().partition(|difference| difference.breaking);
    for (title, differences) in
        [("This breaks partners", &breaking), ("This does not break partners", &harmless)]
    {
        if !differences.is_empty() {
            let _ = writeln!(report, "\n{title}:");
        }
        for difference in differences {
            let _ = writeln!(report, "  {difference}");
        }
    }
    let mut places = Vec::new();
    collect_places("", Some(&committed), Some(document), &mut places);
    let _ = writeln!(report, "\nIn the document:");
    for place in places.iter().take(PLACES_MAX) {
        let _ = writeln!(report, "  {place}");
    }
    if places.len() > PLACES_MAX {
        let _ = writeln!(report, "  and {} more", places.len() - PLACES_MAX);
    }
    report.push_str(
        "\nThe contract of a published version does not change. Restore it, and add a new version for the change:\n  \
         1. a folder versions/src/vYYYY_MM_DD, with the changed endpoint and its `impl Change`;\n  \
         2. a RELEASE in its mod.rs that lists the endpoint under `changed`, with `Lifecycle::preview()`;\n  \
         3. a line in RELEASES (versions/src/lib.rs);\n  \
         4. cargo run -- versions openapi --write versions/openapi\n",
    );
    if breaking.is_empty() {
        let _ = writeln!(
            report,
            "\nIf partners cannot notice the difference (an example, for instance), update the document instead: \
             delete versions/openapi/{version}.json and write it again with the command above."
        );
    }
    report
}

/// Collects where two documents differ, as JSON pointers with both values.
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
            places.push(format!("{pointer}: was {}, is {}", excerpt(before), excerpt(after)));
        }
        _ => {}
    }
}

/// A value, cut to fit on a line.
fn excerpt(value: Option<&Value>) -> String {
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

    /// The contract with partners.
    #[test]
    fn every_version_keeps_to_its_committed_document() {
        let catalog = Catalog::new(RELEASES).unwrap();
        for release in RELEASES {
            let version = release.version;
            let committed = std::fs::read_to_string(folder().join(format!("{version}.json"))).ok();
            match contract_status(release, committed.as_deref(), &openapi(&catalog, release).unwrap()) {
                ContractStatus::Unchanged => {}
                ContractStatus::Broken(report) => panic!("\n{report}"),
                ContractStatus::Missing | ContractStatus::Outdated => panic!(
                    "\nversions/openapi/{version}.json is out of date; write it again:\n  \
                     cargo run -- versions openapi --write versions/openapi\n"
                ),
            }
        }
    }

    #[test]
    fn every_committed_document_has_its_version() {
        for file in std::fs::read_dir(folder()).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            let has_release = RELEASES.iter().any(|release| name == format!("{}.json", release.version));
            assert!(
                has_release,
                "versions/openapi/{name} has no version in RELEASES; a published version is never removed"
            );
        }
    }

    fn report_of(edit: impl FnOnce(&mut Value)) -> String {
        let catalog = Catalog::new(RELEASES).unwrap();
        let document = openapi(&catalog, &RELEASES[0]).unwrap();
        let mut committed = document.clone();
        edit(&mut committed);
        match contract_status(&RELEASES[0], Some(&text(&committed)), &document) {
            ContractStatus::Broken(report) => report,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_broken_contract_is_reported_field_by_field() {
        let report = report_of(|committed| {
            let pong = &mut committed["components"]["schemas"]["PingResponse"];
            pong["properties"]["uptime"] = serde_json::json!({ "type": "number" });
            pong["required"] = serde_json::json!(["status", "RRT"]);
        });
        for line in [
            "2026-02-01 is published, and this build breaks its contract, versions/openapi/2026-02-01.json.",
            "This breaks partners:\n  GET /ping.json: response field `uptime` was removed: number\n",
            "This does not break partners:\n  GET /ping.json: response field `env` is always present now\n",
            "/components/schemas/PingResponse/properties/uptime: was {\"type\":\"number\"}, is nothing",
            "The contract of a published version does not change.",
        ] {
            assert!(report.contains(line), "no {line} in\n{report}");
        }
        assert!(!report.contains("delete"), "a breaking change must not be written over:\n{report}");
    }

    #[test]
    fn descriptions_are_not_part_of_the_contract() {
        let document = openapi(&Catalog::new(RELEASES).unwrap(), &RELEASES[0]).unwrap();
        let mut committed = document.clone();
        committed["info"]["summary"] = "The frist version.".into();
        committed["components"]["schemas"]["PingResponse"]["description"] = "Another.".into();
        assert_eq!(
            contract_status(&RELEASES[0], Some(&text(&committed)), &document),
            ContractStatus::Outdated
        );
        // A field may be called like that.
        let field = serde_json::json!({ "type": "string" });
        committed["components"]["schemas"]["PingResponse"]["properties"]["description"] = field;
        assert!(matches!(
            contract_status(&RELEASES[0], Some(&text(&committed)), &document),
            ContractStatus::Broken(_)
        ));
    }

    #[test]
    fn an_example_is_reported_by_its_place_and_may_be_updated() {
        let report = report_of(|committed| {
            committed["components"]["headers"]["retry-after"]["example"] = "2".into();
        });
        assert!(report.contains("/components/headers/retry-after/example: was \"2\", is \"1\""), "{report}");
        assert!(!report.contains("partners:\n"), "{report}");
        assert!(report.contains("delete versions/openapi/2026-02-01.json"), "{report}");
    }

    #[test]
    fn missing_broken_and_preview_documents_are_distinguished() {
        let catalog = Catalog::new(RELEASES).unwrap();
        let document = openapi(&catalog, &RELEASES[0]).unwrap();
        let preview = Release { lifecycle: Lifecycle::preview(), ..RELEASES[0].clone() };
        assert_eq!(contract_status(&RELEASES[0], None, &document), ContractStatus::Missing);
        assert_eq!(
            contract_status(&RELEASES[0], Some(&text(&document)), &document),
            ContractStatus::Unchanged
        );
        assert_eq!(contract_status(&preview, Some("{}"), &document), ContractStatus::Outdated);
        let ContractStatus::Broken(report) = contract_status(&RELEASES[0], Some("{"), &document) else {
            panic!()
        };
        assert!(report.contains("is not JSON"), "{report}");
        let text = text(&document).replace('\n', "\r\n");
        assert_eq!(contract_status(&RELEASES[0], Some(&text), &document), ContractStatus::Outdated);
    }
}
