//! How it is served: sockets, storage, time and the command line of the partner gateway.

pub mod cli;
pub mod clock;
pub mod config;
pub mod folder;
pub mod keys;
pub mod store;
