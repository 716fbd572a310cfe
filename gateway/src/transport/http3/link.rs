//! The state that the requests of an HTTP/3 connection share.

use std::sync::Arc;

use crate::transport::connection::Settings;

/// The largest frame other than DATA, and the largest decoded head. Larger than any `header_bytes_max`, so
/// that a head over that limit is still read and gets the gateway's error.
pub(super) const FRAME_BYTES_MAX: usize = 128 * 1024;

/// The connection of a request, and the limits in force when it was opened.
pub(in crate::transport) struct Link {
    pub(in crate::transport) connection: quinn::Connection,
    pub(in crate::transport) settings: Arc<Settings>,
}
