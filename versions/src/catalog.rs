//! All releases folded into one table: date → path → method → row.
//!
//! Built once at start, read by every request. A date that lists nothing about an endpoint inherits it
//! from the date before, as the same row: an old date costs no more than the newest.

use http::{HeaderValue, Method};
use matchit::Router;

use crate::{Error, ErrorCode, Help, Release, Route, Version};

/// One endpoint at one date: what a request is dispatched to and recorded under.
pub struct Entry {
    /// Its place among all entries, from 0: the index of whatever is kept per entry.
    pub index: usize,
    /// The date.
    pub version: Version,
    /// The endpoint.
    pub route: Route,
    /// Date and path template, the `http.route` of logs and metrics: `/2026-02-01/ping.json`.
    pub template: String,
}

/// One path at one date, and what it answers.
pub struct Resource {
    /// The value of `Allow`.
    pub allow: HeaderValue,
    methods: Vec<(Method, usize)>,
}

/// One date.
pub struct VersionTable {
    /// The date.
    pub version: Version,
    /// The value of `api-version`.
    pub field: HeaderValue,
    resources: Router<Resource>,
}

/// Every date with all that it answers.
pub struct Catalog {
    /// Sorted by date.
    versions: Vec<VersionTable>,
    entries: Vec<Entry>,
}

/// The releases contradict each other.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    /// A date is listed behind a later one, or twice.
    #[error("{0}: stands behind a date that is not earlier; releases are listed oldest first")]
    OutOfOrder(Version),
    /// An added endpoint exists already at that date.
    #[error("{version}: adds `{method} {path}`, which is there already")]
    AddedTwice {
        /// The date that adds it.
        version: Version,
        /// Its method.
        method: Method,
        /// Its path below the date.
        path: &'static str,
    },
    /// A path cannot be told apart from another one, or its template is malformed.
    #[error("{version}: the path `{path}` cannot be routed: {reason}")]
    Path {
        /// The date that has it.
        version: Version,
        /// The path below the date.
        path: &'static str,
        /// What the router says.
        reason: String,
    },
}

impl Catalog {
    /// Folds releases, oldest first.
    ///
    /// # Errors
    /// [`Contradiction`] names the date, the endpoint and the reason.
    pub fn new(releases: &[Release]) -> Result<Self, Contradiction> {
        let mut catalog = Self { versions: Vec::with_capacity(releases.len()), entries: Vec::new() };
        let mut current: Vec<Route> = Vec::new();
        for release in releases {
            let version = release.version;
            if catalog.versions.last().is_some_and(|last| last.version >= version) {
                return Err(Contradiction::OutOfOrder(version));
            }
            for route in release.added {
                if current.iter().any(|known| known.method == route.method && known.path == route.path) {
                    let (method, path) = (route.method.clone(), route.path);
                    return Err(Contradiction::AddedTwice { version, method, path });
                }
                current.push(route.clone());
            }
            catalog.add_version(version, &current)?;
        }
        Ok(catalog)
    }

    fn add_version(&mut self, version: Version, routes: &[Route]) -> Result<(), Contradiction> {
        let mut resources = Router::new();
        let mut paths: Vec<&'static str> = routes.iter().map(|route| route.path).collect();
        paths.sort_unstable();
        paths.dedup();
        for path in paths {
            let mut methods = Vec::new();
            for route in routes.iter().filter(|route| route.path == path) {
                let index = self.entries.len();
                let template = format!("/{version}{path}");
                self.entries.push(Entry { index, version, route: route.clone(), template });
                methods.push((route.method.clone(), index));
            }
            let resource = Resource { allow: allow(&methods), methods };
            resources.insert(path, resource).map_err(|reason| Contradiction::Path {
                version,
                path,
                reason: reason.to_string(),
            })?;
        }
        let field = HeaderValue::from_str(&version.to_string()).expect("a date is digits and dashes");
        self.versions.push(VersionTable { version, field, resources });
        Ok(())
    }

    /// Every endpoint of every date, in the order of their indexes.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The dates that can be asked for, oldest first.
    pub fn versions(&self) -> impl Iterator<Item = Version> {
        self.versions.iter().map(|table| table.version)
    }

    /// Splits `/2026-02-01/ping.json` into its date's table and the path below, `/ping.json`.
    ///
    /// # Errors
    /// [`ErrorCode::UnknownVersion`], with the dates that there are.
    pub fn version<'p>(&self, path: &'p str) -> Result<(&VersionTable, &'p str), Error> {
        let found = path.strip_prefix('/').and_then(|rest| {
            let (date, below) = rest.split_at_checked(10)?;
            let version = date.parse::<Version>().ok()?;
            let place = self.versions.binary_search_by_key(&version, |table| table.version).ok()?;
            below.starts_with('/').then(|| (&self.versions[place], below))
        });
        found.ok_or_else(|| {
            Error::new(
                ErrorCode::UnknownVersion,
                "The path does not begin with a version that exists; see `supportedVersions`.",
            )
            .with_help(Help { supported_versions: Some(self.versions().collect()), ..Help::default() })
        })
    }

    /// An entry of the path, whatever the method: what all entries of a path share is its template.
    #[must_use]
    pub fn any_entry(&self, resource: &Resource) -> Option<&Entry> {
        resource.methods.first().map(|(_, index)| &self.entries[*index])
    }

    /// The endpoint that answers `method` at a resource; `GET` answers `HEAD` too.
    ///
    /// # Errors
    /// [`ErrorCode::MethodNotAllowed`], with the methods that it does answer.
    pub fn entry(&self, resource: &Resource, method: &Method) -> Result<&Entry, Error> {
        let wanted = if method == Method::HEAD { &Method::GET } else { method };
        resource
            .methods
            .iter()
            .find(|(method, _)| method == wanted)
            .map(|(_, index)| &self.entries[*index])
            .ok_or_else(|| {
                let allowed = resource.allow.to_str().unwrap_or_default();
                Error::new(
                    ErrorCode::MethodNotAllowed,
                    format!("This resource answers {allowed}, not the method of this request."),
                )
                .with_help(Help { allow: Some(resource.allow.clone()), ..Help::default() })
            })
    }
}

impl VersionTable {
    /// What stands at a path below the date, matched exactly.
    ///
    /// # Errors
    /// [`ErrorCode::UnknownResource`].
    pub fn resource(&self, below: &str) -> Result<&Resource, Error> {
        self.resources.at(below).map(|found| found.value).map_err(|_| {
            Error::new(
                ErrorCode::UnknownResource,
                format!("{} has no such resource; paths are matched to the letter.", self.version),
            )
        })
    }
}

/// `GET, HEAD, OPTIONS` for a resource that answers GET.
fn allow(methods: &[(Method, usize)]) -> HeaderValue {
    let mut names: Vec<&str> = methods.iter().map(|(method, _)| method.as_str()).collect();
    if names.contains(&"GET") {
        names.push("HEAD");
    }
    names.push("OPTIONS");
    names.sort_unstable();
    HeaderValue::from_str(&names.join(", ")).expect("methods are tokens")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{RELEASES, v2026_02_01};

    fn catalog() -> Catalog {
        Catalog::new(RELEASES).unwrap()
    }

    fn find<'c>(catalog: &'c Catalog, method: &Method, path: &str) -> Result<&'c Entry, Error> {
        let (table, below) = catalog.version(path)?;
        catalog.entry(table.resource(below)?, method)
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
            ("//2026-02-01/ping.json", ErrorCode::UnknownVersion),
            ("/2026-02-01", ErrorCode::UnknownVersion),
            ("/2026-02-1/ping.json", ErrorCode::UnknownVersion),
            ("/2026-02-30/ping.json", ErrorCode::UnknownVersion),
            ("/2026-02-02/ping.json", ErrorCode::UnknownVersion),
            ("/2026-02-01x/ping.json", ErrorCode::UnknownVersion),
            ("/ping.json", ErrorCode::UnknownVersion),
            ("/", ErrorCode::UnknownVersion),
            ("", ErrorCode::UnknownVersion),
            ("*", ErrorCode::UnknownVersion),
            ("/ééééééé", ErrorCode::UnknownVersion),
        ] {
            assert_eq!(
                find(&catalog, &Method::GET, path).err().map(|error| error.code),
                Some(code),
                "{path}"
            );
        }
    }

    #[test]
    fn head_is_answered_by_get_and_the_rest_is_told_what_is_allowed() {
        let catalog = catalog();
        let path = "/2026-02-01/ping.json";
        assert_eq!(find(&catalog, &Method::HEAD, path).unwrap().template, path);
        let error = find(&catalog, &Method::POST, path).err().unwrap();
        assert_eq!(error.code, ErrorCode::MethodNotAllowed);
        assert_eq!(error.help.unwrap().allow.unwrap(), "GET, HEAD, OPTIONS");
    }

    #[test]
    fn contradictions_are_refused_with_date_and_endpoint() {
        let twice = [v2026_02_01::RELEASE, v2026_02_01::RELEASE];
        let first = v2026_02_01::RELEASE.version;
        assert_eq!(Catalog::new(&twice).err(), Some(Contradiction::OutOfOrder(first)));
        let later = Release { version: Version::new(2026, 3, 1), ..v2026_02_01::RELEASE };
        let error = Catalog::new(&[v2026_02_01::RELEASE, later]).err().unwrap();
        assert_eq!(error.to_string(), "2026-03-01: adds `GET /connection.json`, which is there already");
    }

    #[test]
    fn an_unlisted_endpoint_is_inherited_as_the_same_row() {
        let later = Release { version: Version::new(2026, 3, 1), added: &[] };
        let catalog = Catalog::new(&[v2026_02_01::RELEASE, later]).unwrap();
        let old = find(&catalog, &Method::GET, "/2026-02-01/ping.json").unwrap();
        let new = find(&catalog, &Method::GET, "/2026-03-01/ping.json").unwrap();
        assert_eq!((old.route.name, old.route.path), (new.route.name, new.route.path));
        assert_ne!(old.index, new.index);
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
}
