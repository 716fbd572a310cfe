//! 2026-02-01, the first version: check that the API is up, and see how your connection reaches it.

pub mod connection;
pub mod ping;

use crate::{Lifecycle, Release, Route, Version};

/// The first version.
pub const RELEASE: Release = Release {
    added: &[Route::native::<connection::Connection>(), Route::native::<ping::Ping>()],
    ..Release::new(
        Version::new(2026, 2, 1),
        "The first version: check that the API is up, and see how your connection reaches it.",
        Lifecycle::published(2026, 2, 1),
    )
};
