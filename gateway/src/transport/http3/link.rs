//! What the requests of an HTTP/3 connection share.

use std::sync::Arc;

use crate::transport::connection::Settings;

/// The most that a frame other than DATA, and a decoded head, may have. Larger than any
/// `header_bytes_max`, so that a head over that limit is still read and answered in our form.
pub(super) const FRAME_BYTES_MAX: usize = 128 * 1024;

/// The connection that a request came by, and the limits in force when it was opened.
pub(in crate::transport) struct Link {
    pub(in crate::transport) connection: quinn::Connection,
    pub(in crate::transport) settings: Arc<Settings>,
}
