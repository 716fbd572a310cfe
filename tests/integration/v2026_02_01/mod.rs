//! 2026-02-01: a file per endpoint.

mod connection;
mod ping;
