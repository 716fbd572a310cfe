//! What a request costs, and what it would cost with no gateway.
//!
//! - [`floor`]: the gateway's stack, answering the gateway's bytes, with nothing in between.
//! - [`load`]: requests over one protocol; it also reads the server's CPU time.
//! - [`compare`]: floor, gateway and peers on one pinned core under the same load, as paired ratios.
//! - [`settings`]: the cost of the gateway's settings, by the same comparison.
//! - [`revocations`]: how long a revocation takes while many keys are in use.
//! - [`guard`]: instructions and allocations beside the committed ones.
//! - [`pipeline`], [`dates`], [`documents`], [`sessions`]: parts of the gateway alone, without sockets.
//!
//! The gateway is measured from outside, as a process: `contestant` has its command line, [`seed`] its store. `peers`
//! has the other servers; those that are libraries are programs of `benches/peers`.

mod callgrind;
pub mod compare;
mod contestant;
pub mod dates;
pub mod documents;
pub mod floor;
pub mod guard;
mod identity;
pub mod load;
mod options;
mod peers;
pub mod pipeline;
mod proc;
pub mod protocol;
pub mod ready;
pub mod response;
pub mod revocations;
mod runner;
pub mod seed;
mod server;
pub mod sessions;
pub mod settings;
mod statistics;
