//! The gateway from outside: the real binary, real sockets, real clients.

mod bad_input;
mod cli;
mod connections;
mod contract;
mod coverage;
mod dates;
mod drain;
mod first_launch;
mod foreign;
mod hostile_h1;
mod hostile_h2;
mod hostile_h3;
mod log;
mod migration;
mod mistakes;
mod openapi;
mod operations;
mod protocols;
mod proxies;
mod reload;
mod revocation;
mod smuggling;
mod store;
mod tls;
mod v2026_11_01;
mod versions;
