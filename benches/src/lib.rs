//! What a request costs, and what it would cost with no gateway in it.
//!
//! - [`floor`]: the gateway's stack, answering the gateway's bytes, with nothing in between.
//! - [`load`]: a closed loop of requests over one protocol, which also reads the server's CPU time.
//! - [`compare`]: floor, gateway and peers in turn on one pinned core under the same load, as paired ratios.
//!
//! - [`measure`]: instructions, allocations, system calls, latency, handshakes and memory of both, and
//!   the guard over the committed ones.
//!
//! - [`pipeline`]: the path of a request alone, without sockets: nanoseconds and allocations.
//!
//! The gateway is measured from outside, as the process that partners meet: only [`pipeline`] and
//! [`seed`] know its insides, and only [`ready`] and [`start`] its command line. What the peers are is known
//! to [`compare`] alone; those that are libraries are programs of `benches/peers`.

pub mod answer;
pub mod compare;
pub mod cpu;
pub mod dates;
pub mod documents;
pub mod floor;
pub mod load;
pub mod measure;
pub mod pin;
pub mod pipeline;
pub mod protocol;
pub mod ready;
pub mod seed;
pub mod server;
pub mod start;
pub mod statistics;
