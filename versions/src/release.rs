//! What one date of the API brings over the date before.

use std::any::TypeId;

use crate::{Endpoint, Lifecycle, Route, Version};

/// What one date brings over the date before. What it does not list is inherited.
#[derive(Clone)]
pub struct Release {
    /// The date.
    pub version: Version,
    /// One sentence for partners: what this date is about.
    pub summary: &'static str,
    /// The days of its life, as this build has them; the configuration may set others.
    pub lifecycle: Lifecycle,
    /// Endpoints that are new with it.
    pub added: &'static [Route],
    /// Endpoints that answer otherwise than before, each with its way back: [`Route::changed`].
    pub changed: &'static [Route],
    /// Endpoints that end with the date before.
    pub removed: &'static [Removal],
}

impl Release {
    /// A published date that brings nothing yet, to be completed: `Release { added: …, ..Release::new(…) }`.
    #[must_use]
    pub const fn new(version: Version, summary: &'static str, lifecycle: Lifecycle) -> Self {
        Self { version, summary, lifecycle, added: &[], changed: &[], removed: &[] }
    }
}

/// What a [`crate::Calendar`] is made of.
impl From<&Release> for (Version, Lifecycle) {
    fn from(release: &Release) -> Self {
        (release.version, release.lifecycle)
    }
}

/// An endpoint that a date does without.
#[derive(Clone, Copy)]
pub struct Removal {
    pub(crate) endpoint: TypeId,
    /// The endpoint's name.
    pub name: &'static str,
    /// What partners do instead.
    pub note: &'static str,
}

impl Removal {
    /// Ends the endpoint `E`.
    #[must_use]
    pub const fn of<E: Endpoint>(note: &'static str) -> Self {
        Self { endpoint: TypeId::of::<E>(), name: E::NAME, note }
    }
}
