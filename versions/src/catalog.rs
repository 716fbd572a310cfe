//! The catalog: all releases folded into one table, date → path → method → route.
//!
//! Built once at start, read by every request. A date that lists nothing about an endpoint inherits the route
//! of the date before. A date is found with one look-up by the bytes of its name, however many there are, and
//! dates with the same paths share one router, which then stays in the processor's cache. So an old date
//! costs no more than the newest.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method};
use matchit::Router;

use crate::{Error, ErrorCode, Help, Input, Release, Route, Version};

/// One endpoint at one date, which requests are dispatched to and recorded under.
pub struct Entry {
    /// Its index among all entries, from 0, for data that is kept per entry.
    pub index: usize,
    /// The date.
    pub version: Version,
    /// The endpoint.
    pub route: Route,
    /// Date and path template, the `http.route` of logs and metrics: `/2026-02-01/ping.json`.
    pub template: String,
}

/// One path at one date, with the methods that it supports.
pub struct Resource {
    /// The value of `Allow`.
    pub allow: HeaderValue,
    /// The entry of each method, counted from the first one of the date.
    methods: Vec<(Method, usize)>,
}

/// One date.
pub struct VersionTable {
    /// Its index among all dates, from 0, as in [`crate::Calendar`].
    pub index: usize,
    /// The date.
    pub version: Version,
    /// The value of `api-version`.
    pub field: HeaderValue,
    /// The index of its first entry.
    first_entry: usize,
    shape: Arc<Shape>,
}

/// The router of one date, or of several with the same paths and methods.
struct Shape {
    /// By path, in the order of the entries.
    list: Vec<(&'static str, Method)>,
    resources: Router<Resource>,
}

/// Every date with its endpoints.
pub struct Catalog {
    releases: Vec<Release>,
    /// In the order of the releases.
    versions: Vec<VersionTable>,
    /// The index of a date by the bytes of its name, see [`name_key`].
    names: HashMap<u128, usize, foldhash::fast::FixedState>,
    entries: Vec<Entry>,
}

/// The releases contradict each other.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// A date is listed behind a later one, or twice.
    #[error("{0}: is listed after a date that is not earlier; releases are listed oldest first")]
    OutOfOrder(Version),
    /// An endpoint has the path and method, or the name, of another one.
    #[error(
        "{version}: `{name}` ({method} {path}) exists already; list it under `changed`, or remove the other one first"
    )]
    Taken {
        /// The date that brings it.
        version: Version,
        /// Its name.
        name: &'static str,
        /// Its method.
        method: Method,
        /// Its path below the date.
        path: &'static str,
    },
    /// A changed endpoint replaces one that this date does not inherit.
    #[error("{version}: changes `{before}` into `{name}`, but there is no `{before}` to change")]
    ChangesWhatIsNotThere {
        /// The date that changes it.
        version: Version,
        /// The name of the changed endpoint.
        name: &'static str,
        /// The name of the endpoint that it would replace.
        before: &'static str,
    },
    /// A route without a conversion is listed under `changed`, or one with a conversion under `added`.
    #[error(
        "{version}: `{name}` is in the wrong list: `changed` takes `Route::changed`, `added` takes `Route::native`"
    )]
    Misplaced {
        /// The date that lists it.
        version: Version,
        /// Its name.
        name: &'static str,
    },
    /// A removed endpoint does not exist, or no longer does.
    #[error("{version}: removes `{name}`, which the date before does not have in this form")]
    RemovesWhatIsNotThere {
        /// The date that removes it.
        version: Version,
        /// Its name.
        name: &'static str,
    },
    /// A path conflicts with another one, or its template is malformed.
    #[error("{version}: the path `{path}` cannot be routed: {reason}")]
    Path {
        /// The date that has it.
        version: Version,
        /// The path below the date.
        path: &'static str,
        /// The router's reason.
        reason: String,
    },
}

impl Catalog {
    /// Folds releases, oldest first.
    ///
    /// # Errors
    /// [`CatalogError`] names the date, the endpoint and the reason.
    pub fn new(releases: &[Release]) -> Result<Self, CatalogError> {
        let mut catalog = Self {
            releases: releases.to_vec(),
            versions: Vec::with_capacity(releases.len()),
            names: HashMap::default(),
            entries: Vec::new(),
        };
        let mut current: Vec<Route> = Vec::new();
        for release in releases {
            let version = release.version;
            if catalog.versions.last().is_some_and(|last| last.version >= version) {
                return Err(CatalogError::OutOfOrder(version));
            }
            fold(release, &mut current)?;
            catalog.add_version(version, &current)?;
            if version.date().is_none() {
                current.clear();
            }
        }
        Ok(catalog)
    }

    fn add_version(&mut self, version: Version, routes: &[Route]) -> Result<(), CatalogError> {
        let index = self.versions.len();
        let first_entry = self.entries.len();
        let mut routes: Vec<&Route> = routes.iter().collect();
        routes.sort_by_key(|route| route.path);
        let list: Vec<_> = routes.iter().map(|route| (route.path, route.method.clone())).collect();
        for route in routes {
            let (index, template) = (self.entries.len(), format!("/{version}{}", route.path));
            self.entries.push(Entry { index, version, route: route.clone(), template });
        }
        let shape = match self.versions.last() {
            Some(last) if last.shape.list == list => Arc::clone(&last.shape),
            _ => Arc::new(Shape::new(list, version)?),
        };
        let name = version.to_string();
        let key = name_key(name.as_bytes()).expect("a name has at most 15 bytes");
        self.names.insert(key, index);
        let field = HeaderValue::from_str(&name).expect("a name is letters, digits and dashes");
        self.versions.push(VersionTable { index, version, field, first_entry, shape });
        Ok(())
    }

    /// The releases, oldest first.
    #[must_use]
    pub fn releases(&self) -> &[Release] {
        &self.releases
    }

    /// Every date, oldest first.
    #[must_use]
    pub fn tables(&self) -> &[VersionTable] {
        &self.versions
    }

    /// The table of the version with this name, as it is in paths.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&VersionTable> {
        let index = self.names.get(&name_key(name.as_bytes())?)?;
        Some(&self.versions[*index])
    }

    /// The endpoints of one date, by path.
    pub fn entries_of(&self, version: Version) -> impl Iterator<Item = &Entry> {
        let table = self.versions.iter().find(|table| table.version == version);
        let range = table.map_or(0..0, |table| table.first_entry..table.first_entry + table.shape.list.len());
        self.entries[range].iter()
    }

    /// Every endpoint of every date, in the order of their indexes.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Splits `/2026-02-01/ping.json` into its date's table and the path below, `/ping.json`.
    ///
    /// `None` where the path does not begin with a version that exists.
    #[must_use]
    pub fn version<'p>(&self, path: &'p str) -> Option<(&VersionTable, &'p str)> {
        let rest = path.strip_prefix('/')?;
        let start = start(rest.as_bytes());
        // Finds the end of the first segment within the length of a name, in all bytes at once.
        let others = start ^ (ONES * u128::from(b'/'));
        let slashes = others.wrapping_sub(ONES) & !others & (ONES << 7);
        let end = (slashes != 0).then(|| slashes.trailing_zeros() / 8)?;
        let index = self.names.get(&key(start, end))?;
        Some((&self.versions[*index], rest.get(end as usize..)?))
    }

    /// The part of a path below its version; empty if there is none.
    #[must_use]
    pub fn below<'p>(&self, path: &'p str) -> &'p str {
        self.version(path).map_or("", |(_, below)| below)
    }

    /// Some entry of the path, for the template that all its entries share.
    #[must_use]
    pub fn any_entry(&self, table: &VersionTable, resource: &Resource) -> Option<&Entry> {
        resource.methods.first().map(|(_, place)| &self.entries[table.first_entry + place])
    }

    /// The endpoint for `method` at a resource; the one for `GET` handles `HEAD` too.
    ///
    /// # Errors
    /// [`ErrorCode::MethodNotAllowed`], with the methods that are supported.
    pub fn entry(&self, table: &VersionTable, resource: &Resource, method: &Method) -> Result<&Entry, Error> {
        let wanted = if method == Method::HEAD { &Method::GET } else { method };
        resource
            .methods
            .iter()
            .find(|(method, _)| method == wanted)
            .map(|(_, place)| &self.entries[table.first_entry + place])
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

impl Shape {
    fn new(list: Vec<(&'static str, Method)>, version: Version) -> Result<Self, CatalogError> {
        let mut resources = Router::new();
        let mut place = 0;
        for same in list.chunk_by(|one, next| one.0 == next.0) {
            let path = same[0].0;
            let methods: Vec<_> = same.iter().map(|(_, method)| method.clone()).zip(place..).collect();
            place += same.len();
            let resource = Resource { allow: allow(&methods), methods };
            resources.insert(path, resource).map_err(|reason| CatalogError::Path {
                version,
                path,
                reason: reason.to_string(),
            })?;
        }
        Ok(Self { list, resources })
    }
}

impl VersionTable {
    /// The resource at a path below the date, matched exactly, and the parameters in the path.
    ///
    /// # Errors
    /// [`ErrorCode::UnknownResource`].
    pub fn resource<'t: 'a, 'a>(&'t self, below: &'a str) -> Result<(&'t Resource, Input<'a>), Error> {
        let found = self.shape.resources.at(below).map_err(|_| {
            Error::new(
                ErrorCode::UnknownResource,
                format!("{} has no such resource; paths are matched to the letter.", self.version),
            )
        })?;
        let parameters = (!found.params.is_empty()).then(|| Box::new(found.params));
        let input = Input { parameters, query: "", content: Bytes::new() };
        Ok((found.value, input))
    }
}

/// Applies what a release lists to the endpoints of the date before.
fn fold(release: &Release, current: &mut Vec<Route>) -> Result<(), CatalogError> {
    let version = release.version;
    for removal in release.removed {
        let name = removal.name;
        let place = current.iter().position(|route| route.endpoint == removal.endpoint);
        let place = place.ok_or(CatalogError::RemovesWhatIsNotThere { version, name })?;
        current.remove(place);
    }
    for route in release.changed {
        let name = route.name;
        let replaced = route.replaced.ok_or(CatalogError::Misplaced { version, name })?;
        let place = current.iter().position(|candidate| candidate.endpoint == replaced.endpoint);
        let before = replaced.name;
        let place = place.ok_or(CatalogError::ChangesWhatIsNotThere { version, name, before })?;
        current.remove(place);
        require_free(version, route, current)?;
        current.insert(place, route.clone());
    }
    for route in release.added {
        if route.replaced.is_some() {
            return Err(CatalogError::Misplaced { version, name: route.name });
        }
        require_free(version, route, current)?;
        current.push(route.clone());
    }
    Ok(())
}

fn require_free(version: Version, route: &Route, current: &[Route]) -> Result<(), CatalogError> {
    let taken = |other: &Route| {
        other.name == route.name || (other.method == route.method && other.path == route.path)
    };
    if current.iter().any(taken) {
        let (name, method, path) = (route.name, route.method.clone(), route.path);
        return Err(CatalogError::Taken { version, name, method, path });
    }
    Ok(())
}

/// A 1 in each byte.
const ONES: u128 = u128::MAX / 0xff;

/// The first bytes as one number, one more than the longest name has; zeros where there are fewer.
fn start(bytes: &[u8]) -> u128 {
    let mut start = [0; Version::NAME_BYTES_MAX + 1];
    match bytes.first_chunk() {
        Some(first) => start = *first,
        None => start[..bytes.len()].copy_from_slice(bytes),
    }
    u128::from_le_bytes(start)
}

/// The bytes of a version's name as one number, its length in the last byte; `None` for text longer than any
/// name.
fn name_key(name: &[u8]) -> Option<u128> {
    (name.len() <= Version::NAME_BYTES_MAX).then(|| key(start(name), name.len() as u32))
}

/// The same for the first `length` bytes of a text.
const fn key(start: u128, length: u32) -> u128 {
    start & ((1 << (length * 8)) - 1) | (length as u128) << 120
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
mod tests;
