//! Releases: what a version of the API changes over the one before it.

use std::any::TypeId;

use crate::{Endpoint, Lifecycle, Route, Version};

/// A version and what it changes over the one before it. What it does not list is inherited.
#[derive(Clone)]
pub struct Release {
    /// The version.
    pub version: Version,
    /// One sentence for partners: what this version is about.
    pub summary: &'static str,
    /// Its dates in this build; the configuration may override them.
    pub lifecycle: Lifecycle,
    /// New endpoints.
    pub added: &'static [Route],
    /// Endpoints that respond differently, each with a conversion for callers of the version before: [`Route::changed`].
    pub changed: &'static [Route],
    /// Endpoints that no longer exist.
    pub removed: &'static [Removal],
}

impl Release {
    /// A release without changes, to be completed: `Release { added: …, ..Release::new(…) }`.
    #[must_use]
    pub const fn new(version: Version, summary: &'static str, lifecycle: Lifecycle) -> Self {
        Self { version, summary, lifecycle, added: &[], changed: &[], removed: &[] }
    }
}

/// What [`crate::Calendar::new`] takes.
impl From<&Release> for (Version, Lifecycle) {
    fn from(release: &Release) -> Self {
        (release.version, release.lifecycle)
    }
}

/// An endpoint that a version removes.
#[derive(Clone, Copy)]
pub struct Removal {
    pub(crate) endpoint: TypeId,
    /// The endpoint's name.
    pub name: &'static str,
    /// What partners do instead.
    pub note: &'static str,
}

impl Removal {
    /// Removes the endpoint `E`.
    #[must_use]
    pub const fn of<E: Endpoint>(note: &'static str) -> Self {
        Self { endpoint: TypeId::of::<E>(), name: E::NAME, note }
    }
}
