//! 2026-11-01: durations are numbers, `connection` includes encryption and round-trip time, and the API's versions can
//! be listed.

pub mod connection;
pub mod ping;
pub mod versions;

use crate::{Lifecycle, Release, Route, Version};

/// The second version.
pub const RELEASE: Release = Release {
    added: &[Route::native::<versions::Versions>()],
    changed: &[Route::changed::<connection::Connection>(), Route::changed::<ping::Ping>()],
    ..Release::new(
        Version::new(2026, 11, 1),
        "Durations are numbers, `connection` includes encryption and round-trip time, and you can list the API's \
         versions.",
        Lifecycle::published(2026, 11, 1),
    )
};
