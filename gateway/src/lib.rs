//! The gateway: how the API is served. Only this crate uses sockets, storage, clocks and randomness.

pub mod app;
pub mod authority;
pub mod callers;
pub mod cli;
pub mod clock;
pub mod config;
pub mod folder;
pub mod http;
pub mod identity;
pub mod limits;
pub mod local;
pub mod mail;
pub mod node;
pub mod pipeline;
pub mod provisioning;
pub mod readiness;
pub mod sites;
pub mod snapshot;
pub mod store;
pub mod telemetry;
mod throttle;
pub mod transport;
pub mod warnings;
