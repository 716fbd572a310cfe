//! What a request costs, and what it would cost with no gateway in it.
//!
//! - [`floor`]: the gateway's stack, answering the gateway's bytes, with nothing in between.
//! - [`load`]: a closed loop of requests over one protocol, which also reads the server's CPU time.
//!
//! The gateway is measured from outside, as the process that partners meet: nothing here knows its
//! insides.

pub mod answer;
pub mod cpu;
pub mod floor;
pub mod load;
pub mod protocol;
pub mod ready;

/// The allocator of the gateway, so that the floor pays the same for its memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
