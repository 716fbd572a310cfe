//! The gateway's limits that have a cost.

use std::time::Duration;

/// The gateway's `timeouts.handshake` and `timeouts.header`: timers have a cost.
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
pub(super) const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// The gateway's `limits.header_bytes_max`.
pub(super) const HEADER_BYTES_MAX: u32 = 16 * 1024;
/// The gateway's `limits.streams_per_connection_max`.
pub(super) const STREAMS_PER_CONNECTION_MAX: u32 = 128;
