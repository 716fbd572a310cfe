//! The gateway from outside: the real binary, real sockets, real clients.

mod bad_input;
mod contract;
mod coverage;
mod drain;
mod hostile_h1;
mod hostile_h2;
mod hostile_h3;
mod log;
mod protocols;
mod reload;
mod revocation;
