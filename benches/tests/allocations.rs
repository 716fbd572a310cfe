//! The path of a request allocates little, and that stays so.

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;

/// The handler's future and the body.
const ALLOCATIONS_MAX: f64 = 2.0;
/// Header values are slices of blocks: one allocation for many requests.
const BLOCKS: f64 = 0.05;

/// One test, because whatever runs beside it is counted as well.
#[test]
fn a_request_allocates_at_most_twice_and_finding_its_endpoint_not_at_all() {
    let region = Region::new(ALLOCATOR);
    let allocations = benches::pipeline::allocations(10_000, || region.change().allocations).unwrap();
    println!("{allocations:.3} allocations per request");
    assert!(allocations > 0.5, "they are counted: {allocations}");
    assert!(allocations <= ALLOCATIONS_MAX + BLOCKS, "{allocations} allocations per request");

    let catalog = benches::dates::catalog(100).unwrap();
    let paths = benches::dates::paths(&catalog, 5_000);
    let region = Region::new(ALLOCATOR);
    let found = paths.iter().filter(|path| benches::dates::find(&catalog, path).is_some()).count();
    assert_eq!((found, region.change().allocations), (5_000, 0));
}
