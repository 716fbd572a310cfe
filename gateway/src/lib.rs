//! How it is served: sockets, storage, clocks and randomness live here and nowhere else.

pub mod config;
pub mod transport;
