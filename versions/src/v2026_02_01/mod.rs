//! 2026-02-01, the first date: ask whether the API answers, and see how your connection arrived.

pub mod connection;
pub mod ping;

use crate::{Release, Route, Version};

/// The first date.
pub const RELEASE: Release = Release {
    version: Version::new(2026, 2, 1),
    added: &[Route::native::<connection::Connection>(), Route::native::<ping::Ping>()],
};
