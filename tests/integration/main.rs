//! The gateway from outside: the real binary, real sockets, real clients.

mod bad_input;
mod contract;
mod coverage;
mod hostile_h1;
mod protocols;
