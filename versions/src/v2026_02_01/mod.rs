//! 2026-02-01, the first date: ask whether the API answers, and see how your connection arrived.

pub mod connection;
pub mod ping;

use crate::{Lifecycle, Release, Route, Version};

/// The first date.
pub const RELEASE: Release = Release {
    added: &[Route::native::<connection::Connection>(), Route::native::<ping::Ping>()],
    ..Release::new(
        Version::new(2026, 2, 1),
        "The first date: ask whether the API answers, and see how your connection arrived.",
        Lifecycle::published(2026, 2, 1),
    )
};
