//! How many requests are served at the same time, in all and for one caller.
//!
//! There are two pools: requests that are being answered, and those whose content is still on its way. A client
//! that sends slowly holds no place of the first. Once a pool is more than half taken, no caller may hold more
//! than its share of places in both, so that none can shut out the others.

use std::sync::atomic::{AtomicUsize, Ordering};

use versions::{Error, ErrorCode, Help};

/// One pool of places. In a cache line of its own, because every worker writes it.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Slots(AtomicUsize);

/// A place in a pool; given back when it is dropped.
#[derive(Debug)]
pub struct Slot(&'static Slots);

impl Slots {
    /// Takes a place, if fewer than `max` are taken.
    ///
    /// # Errors
    /// [`ErrorCode::Overloaded`].
    pub fn take(&'static self, max: usize) -> Result<Slot, Error> {
        // Taken first and then looked at: two that meet at the last place are both refused at worst.
        let slot = Slot(self);
        if self.0.fetch_add(1, Ordering::Relaxed) >= max {
            drop(slot);
            return Err(overloaded(
                "More requests are being served than this gateway takes at once. Try again shortly.",
            ));
        }
        Ok(slot)
    }

    /// How many places are taken.
    pub fn taken(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Whether more than half of `max` are taken.
    pub fn are_short(&self, max: usize) -> bool {
        self.taken() > max / 2
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The 503 of a gateway that is busy.
pub(crate) fn overloaded(detail: &'static str) -> Error {
    Error::new(ErrorCode::Overloaded, detail)
        .with_help(Help { retry_after_seconds: Some(1), ..Help::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_given_back() {
        let slots: &'static Slots = Box::leak(Box::default());
        let first = slots.take(2).unwrap();
        let _second = slots.take(2).unwrap();
        assert_eq!(slots.take(2).unwrap_err().code, ErrorCode::Overloaded);
        assert_eq!((slots.taken(), slots.are_short(3), slots.are_short(4)), (2, true, false));
        drop(first);
        assert!(slots.take(2).is_ok());
    }
}
