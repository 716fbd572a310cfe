//! What a request costs, and what it would cost with no gateway in it.
//!
//! - [`floor`]: the gateway's stack, answering the gateway's bytes, with nothing in between.
//! - [`load`]: a closed loop of requests over one protocol, which also reads the server's CPU time.
//! - [`compare`]: floor and gateway in turn on one pinned core under the same load, as paired ratios.
//!
//! The gateway is measured from outside, as the process that partners meet: nothing here knows its
//! insides, and only [`ready`] and [`compare`] know its command line.

pub mod answer;
pub mod compare;
pub mod cpu;
pub mod floor;
pub mod load;
pub mod pin;
pub mod protocol;
pub mod ready;
pub mod server;

/// The allocator of the gateway, so that the floor pays the same for its memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
