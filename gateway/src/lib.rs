//! How it is served: sockets, storage, clocks and randomness live here and nowhere else.

pub mod app;
pub mod authority;
pub mod cli;
pub mod clock;
pub mod config;
pub mod documents;
pub mod folder;
pub mod keys;
pub mod limits;
pub mod node;
pub mod operations;
pub mod pipeline;
pub mod readiness;
pub mod store;
pub mod telemetry;
pub mod transport;
