//! What a request costs, and what it would cost with no gateway in it.
//!
//! - [`floor`]: the gateway's stack, answering the gateway's bytes, with nothing in between.
//! - [`load`]: a closed loop of requests over one protocol, which also reads the server's CPU time.
//! - [`compare`]: floor, gateway and peers in turn on one pinned core under the same load, as paired ratios
//!   of CPU, instructions, allocations, system calls, latency, handshakes and memory.
//! - [`measure`]: what the gateway's settings cost, and the guard over its committed instructions.
//! - [`pipeline`]: the path of a request alone, without sockets: nanoseconds and allocations.
//!
//! The gateway is measured from outside, as the process that partners meet: only [`pipeline`] and
//! [`seed`] know its insides, and only [`ready`] and [`start`] its command line. What the peers are is known
//! to [`peers`] alone; those that are libraries are programs of `benches/peers`. `stage` makes one kind of
//! contestant of them all.

pub mod answer;
mod callgrind;
pub mod compare;
pub mod cpu;
pub mod dates;
pub mod documents;
pub mod floor;
pub mod load;
pub mod measure;
pub mod options;
pub mod peers;
pub mod pin;
pub mod pipeline;
pub mod protocol;
pub mod ready;
pub mod seed;
pub mod server;
mod stage;
pub mod start;
pub mod statistics;
