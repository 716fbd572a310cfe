//! The changelog: the note of each change, and the differences that follow from the types.

use http::Method;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::changes::{Difference, Operation};
use super::openapi::openapi;
use super::parameters::DeclarationError;
use crate::{Catalog, Release, Route, Version};

/// What a version changes over the one before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReleaseNotes {
    /// The version.
    pub version: Version,
    /// The summary of the version.
    pub summary: &'static str,
    /// New endpoints.
    pub added: Vec<Added>,
    /// Changed endpoints.
    pub changed: Vec<Changed>,
    /// Removed endpoints.
    pub removed: Vec<Removed>,
}

/// A new endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Added {
    /// Its name.
    pub endpoint: &'static str,
    /// Its method.
    #[serde(serialize_with = "as_text")]
    pub method: Method,
    /// Its path below the version.
    pub path: &'static str,
    /// The permission that it requires.
    pub permission: String,
    /// What it does.
    pub summary: &'static str,
}

/// A changed endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// Its name.
    pub endpoint: &'static str,
    /// Its name in the version before.
    pub before: &'static str,
    /// Its method.
    #[serde(serialize_with = "as_text")]
    pub method: Method,
    /// Its path below the version.
    pub path: &'static str,
    /// What changed, in a sentence.
    pub note: &'static str,
    /// What changed, field by field.
    pub differences: Vec<Difference>,
}

/// A removed endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// Its name.
    pub endpoint: &'static str,
    /// Its method.
    #[serde(serialize_with = "as_text")]
    pub method: Method,
    /// Its path below the version.
    pub path: &'static str,
    /// What partners do instead.
    pub note: &'static str,
}

impl ReleaseNotes {
    /// Whether a caller that changes only the version in its path can fail.
    #[must_use]
    pub fn is_breaking(&self) -> bool {
        let breaks = |changed: &Changed| changed.differences.iter().any(|difference| difference.breaking);
        !self.removed.is_empty() || self.changed.iter().any(breaks)
    }
}

fn as_text<S: Serializer>(method: &Method, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(method.as_str())
}

/// The changes of every version, oldest first.
///
/// The changes from one version to a later one are those of all versions after the first, up to the second.
///
/// # Errors
/// [`DeclarationError`]: the declaration of an endpoint contradicts itself.
pub fn changelog(catalog: &Catalog) -> Result<Vec<ReleaseNotes>, DeclarationError> {
    let mut notes = Vec::new();
    let mut before: Option<&Release> = None;
    for release in catalog.releases() {
        // Documents are needed only if there is something to compare.
        let documents = match before {
            Some(before) if !release.changed.is_empty() => {
                Some((openapi(catalog, before)?, openapi(catalog, release)?))
            }
            _ => None,
        };
        notes.push(of_release(catalog, release, before, documents.as_ref()));
        before = Some(release);
    }
    Ok(notes)
}

fn of_release(
    catalog: &Catalog,
    release: &Release,
    before: Option<&Release>,
    documents: Option<&(Value, Value)>,
) -> ReleaseNotes {
    let changed = |route: &Route| {
        let replaced = route.replaced?;
        let (old, new) = documents?;
        let (old, new) = (Operation::all(old), Operation::all(new));
        let then = old.iter().find(|operation| operation.name == replaced.name);
        let now = new.iter().find(|operation| operation.name == route.name);
        Some(Changed {
            endpoint: route.name,
            before: replaced.name,
            method: route.method.clone(),
            path: route.path,
            note: replaced.note,
            differences: then.zip(now).map(|(then, now)| then.differences_to(now)).unwrap_or_default(),
        })
    };
    let removed = |removal: &crate::Removal| {
        let mut entries = catalog.entries_of(before?.version);
        let route = &entries.find(|entry| entry.route.endpoint == removal.endpoint)?.route;
        Some(Removed {
            endpoint: removal.name,
            method: route.method.clone(),
            path: route.path,
            note: removal.note,
        })
    };
    let added = |route: &Route| Added {
        endpoint: route.name,
        method: route.method.clone(),
        path: route.path,
        permission: route.permission.to_string(),
        summary: route.summary,
    };
    ReleaseNotes {
        version: release.version,
        summary: release.summary,
        added: release.added.iter().map(added).collect(),
        changed: release.changed.iter().filter_map(changed).collect(),
        removed: release.removed.iter().filter_map(removed).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Lifecycle, RELEASES, Removal, v2026_11_01};

    #[test]
    fn every_release_is_in_the_changelog() {
        let end = Release {
            removed: const { &[Removal::of::<v2026_11_01::ping::Ping>("Ask for the connection.")] },
            ..Release::new(Version::new(2030, 1, 1), "Less.", Lifecycle::preview())
        };
        let mut releases = RELEASES[..2].to_vec();
        releases.push(end);
        let notes = changelog(&Catalog::new(&releases).unwrap()).unwrap();
        let [first, second, third] = notes.as_slice() else { panic!("{notes:?}") };

        let added: Vec<_> = first.added.iter().map(|added| (added.endpoint, added.path)).collect();
        assert_eq!(added, [("connection", "/connection.json"), ("ping", "/ping.json")]);
        assert!(first.changed.is_empty() && first.removed.is_empty() && !first.is_breaking());

        assert_eq!(second.added[0].permission, "ping:read");
        let ping = second.changed.iter().find(|changed| changed.endpoint == "ping").unwrap();
        assert!(ping.note.contains("`processingTimeMs`"), "{}", ping.note);
        let found: Vec<_> = ping.differences.iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "GET /ping.json: response field `RRT` was removed: string",
                "GET /ping.json: response field `apiVersion` was added: string",
                "GET /ping.json: response field `processingTimeMs` was added: number",
            ]
        );
        assert!(second.is_breaking());

        assert!(third.is_breaking() && third.added.is_empty() && third.changed.is_empty());
        let removed = &third.removed[0];
        assert_eq!(
            (removed.endpoint, removed.path, removed.note),
            ("ping", "/ping.json", "Ask for the connection.")
        );
    }

    /// Partners look only for what the note names.
    #[test]
    fn every_note_names_each_field_with_a_breaking_change() {
        for notes in changelog(&Catalog::new(RELEASES).unwrap()).unwrap() {
            for changed in &notes.changed {
                for difference in changed.differences.iter().filter(|difference| difference.breaking) {
                    let field = difference.place.split('`').nth(1).unwrap_or_default();
                    assert!(
                        changed.note.contains(&format!("`{field}`")),
                        "{}: the note on `{}` does not name it: {difference}",
                        notes.version,
                        changed.endpoint
                    );
                }
            }
        }
    }
}
