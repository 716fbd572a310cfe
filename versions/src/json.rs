//! The JSON body of a response.

use std::cell::RefCell;

use bytes::Bytes;
use serde::Serialize;

/// The buffer gives back memory beyond this size, so that one large response does not keep its own.
const BUFFER_BYTES_KEPT: usize = 64 * 1024;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Serializes a response into a body of exactly its length.
///
/// # Errors
/// The value's `Serialize` fails, or a map's keys are neither strings nor numbers.
pub(crate) fn to_bytes(value: &impl Serialize) -> serde_json::Result<Bytes> {
    BUFFER.with_borrow_mut(|buffer| {
        buffer.clear();
        serde_json::to_writer(&mut *buffer, value)?;
        let body = Bytes::copy_from_slice(buffer);
        buffer.shrink_to(BUFFER_BYTES_KEPT);
        Ok(body)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_failed_body_leaves_nothing_in_the_next() {
        let unwritable = ("half", BTreeMap::from([([1], 2)]));
        assert!(to_bytes(&unwritable).is_err());
        assert_eq!(to_bytes(&"next").unwrap(), Bytes::from_static(b"\"next\""));
    }
}
