//! Failed authentications per client address.
//!
//! Consulted only after an authentication has failed: a valid key is never locked out by other clients behind
//! its address, and a valid request never takes this lock. The number of addresses is bounded; the one that
//! failed least recently is removed first, so memory is flat under any flood.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use lru::LruCache;
use permissions::Rate;
use versions::Instant;

use super::{Policy, RateLimit};

/// The failures of client addresses.
pub struct Failures {
    addresses: Mutex<LruCache<IpAddr, RateLimit>>,
}

impl Failures {
    /// Tracks at most this many addresses, at least one.
    #[must_use]
    pub fn new(addresses_max: usize) -> Self {
        // Grows with the addresses: `LruCache::new` would allocate for all of them at once.
        let mut addresses = LruCache::unbounded();
        addresses.resize(NonZeroUsize::new(addresses_max).unwrap_or(NonZeroUsize::MIN));
        Self { addresses: Mutex::new(addresses) }
    }

    /// Counts one failure of an address at `now`, which for IPv6 is its /64.
    ///
    /// # Errors
    /// Seconds to wait, if the address has failed more often than `rate`.
    pub fn count(&self, address: IpAddr, rate: Rate, now: Instant) -> Result<(), u32> {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if addresses.peek(&address).is_some_and(|limit| limit.policy().rate != rate) {
            // A reload has changed the rate.
            addresses.pop(&address);
        }
        let limit = addresses.get_or_insert(address, || RateLimit::new(Policy::new(rate)));
        limit.spend(now).map(drop).map_err(|spent| spent.reset_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn one_address_has_its_own_count() {
        let (failures, now) = (Failures::new(10), Instant::now());
        let rate = "1/s+2".parse().unwrap();
        assert_eq!(failures.count(address(1), rate, now), Ok(()));
        assert_eq!(failures.count(address(1), rate, now), Ok(()));
        assert_eq!(failures.count(address(1), rate, now), Err(1));
        assert_eq!(failures.count(address(2), rate, now), Ok(()));
        let reloaded = "1/s+3".parse().unwrap();
        assert_eq!(failures.count(address(1), reloaded, now), Ok(()));
    }

    #[test]
    fn the_number_of_addresses_is_bounded() {
        let (failures, now) = (Failures::new(3), Instant::now());
        let rate = "1/s+1".parse().unwrap();
        for last in 0..=255 {
            assert_eq!(failures.count(address(last), rate, now), Ok(()));
        }
        assert_eq!(failures.addresses.lock().unwrap().len(), 3);
        assert_eq!(failures.count(address(255), rate, now), Err(1));
    }
}
