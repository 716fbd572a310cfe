//! The gateway from outside: the real binary, real sockets, real clients.

mod contract;
mod coverage;
mod protocols;
