//! 2026-11-01: times are numbers, the connection tells all that the gateway knows of it, and the dates
//! of the API can be asked for.

pub mod connection;
pub mod ping;
pub mod versions;

use crate::{Lifecycle, Release, Route, Version};

/// The second date.
pub const RELEASE: Release = Release {
    added: &[Route::native::<versions::Versions>()],
    changed: &[Route::changed::<connection::Connection>(), Route::changed::<ping::Ping>()],
    ..Release::new(
        Version::new(2026, 11, 1),
        "Times are numbers, the connection tells all that the gateway knows of it, and the dates of the \
         API can be asked for.",
        Lifecycle::published(2026, 11, 1),
    )
};
