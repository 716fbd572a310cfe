//! A key takes little memory, and that stays so: a process holds all of them.

use benches::seed;
use gateway::callers::index::KeyIndex;
use jiff::Timestamp;
use permissions::ServerSecret;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;

const KEYS: usize = 10_000;
/// Of a key without networks and times, its place in the table included.
const BYTES_MAX: usize = 208;

/// One test, because whatever runs beside it is counted as well.
#[test]
fn a_key_takes_little_memory() {
    let secret = ServerSecret::new([7; 32]);
    let keys = KeyIndex::new("100/s".parse().unwrap());
    let region = Region::new(ALLOCATOR);
    keys.reserve(KEYS);
    for (key, _) in seed::keys(&secret).unwrap().take(KEYS) {
        keys.apply(&key, Timestamp::UNIX_EPOCH);
    }
    let change = region.change();
    assert_eq!(keys.count(), KEYS);
    let held = (change.bytes_allocated - change.bytes_deallocated) / KEYS;
    println!("{held} bytes per key");
    assert!((1..=BYTES_MAX).contains(&held), "{held} bytes per key");
}
