//! What a request costs, and what it would cost with no gateway.
//!
//! - [`floor`]: the gateway's stack, answering the gateway's bytes, with nothing in between.
//! - [`load`]: requests over one protocol; it also reads the server's CPU time.
//! - [`compare`]: floor, gateway and peers on one pinned core under the same load, as paired ratios.
//! - [`measure`]: the cost of the gateway's settings, and the guard over its instructions.
//! - [`pipeline`], [`dates`], [`documents`]: parts of the gateway alone, without sockets.
//!
//! The gateway is measured from outside, as a process: `contestant` knows its command line, [`seed`] its store. `peers`
//! knows what the peers are; those that are libraries are programs of `benches/peers`.

mod callgrind;
pub mod compare;
mod contestant;
pub mod dates;
pub mod documents;
pub mod floor;
mod identity;
mod launch;
pub mod load;
pub mod measure;
pub mod options;
pub mod peers;
pub mod pipeline;
pub mod proc;
pub mod protocol;
pub mod ready;
pub mod response;
mod role;
mod runner;
pub mod seed;
pub mod server;
pub mod statistics;

pub use role::Role;
