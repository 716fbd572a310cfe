//! The gateway: how the API is served.

pub mod config;
