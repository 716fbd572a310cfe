//! Bounds how many requests are served at the same time, in total and for one caller.
//!
//! There are two pools: requests that are being handled, and those whose content is still arriving, so that a
//! slow sender takes no slot of the first. Once a pool is more than half taken, no caller may hold more than
//! its share of both, so that none can starve the others.

use std::sync::atomic::{AtomicUsize, Ordering};

use versions::{Error, ErrorCode, Help};

/// A pool of slots, in a separate cache line because every worker writes it.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Slots(AtomicUsize);

/// A slot of a pool, released when it is dropped.
#[derive(Debug)]
pub struct Slot(&'static Slots);

impl Slots {
    /// Takes a slot, if fewer than `max` are taken.
    ///
    /// # Errors
    /// [`ErrorCode::Overloaded`].
    pub fn take(&'static self, max: usize) -> Result<Slot, Error> {
        // Incremented first and then compared: at worst, two requests that race for the last slot are both
        // refused.
        let slot = Slot(self);
        if self.0.fetch_add(1, Ordering::Relaxed) >= max {
            drop(slot);
            return Err(overloaded(
                "More requests are being served than this gateway takes at once. Try again shortly.",
            ));
        }
        Ok(slot)
    }

    /// How many slots are taken.
    pub fn taken(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Whether more than half of `max` are taken.
    pub fn are_over_half_taken(&self, max: usize) -> bool {
        self.taken() > max / 2
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The 503 of an overloaded gateway.
pub(crate) fn overloaded(detail: &'static str) -> Error {
    Error::new(ErrorCode::Overloaded, detail)
        .with_help(Help { retry_after_seconds: Some(1), ..Help::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_released() {
        let slots: &'static Slots = Box::leak(Box::default());
        let first = slots.take(2).unwrap();
        let _second = slots.take(2).unwrap();
        assert_eq!(slots.take(2).unwrap_err().code, ErrorCode::Overloaded);
        assert_eq!(
            (slots.taken(), slots.are_over_half_taken(3), slots.are_over_half_taken(4)),
            (2, true, false)
        );
        drop(first);
        assert!(slots.take(2).is_ok());
    }
}
