//! One open connection, whatever carries it, and the pool of all of them.

mod encryption;
mod peer;
mod pool;
mod round_trip;

pub use encryption::Encryption;
pub(super) use peer::{Carrier, InFlight, Phase};
pub use peer::{Close, Peer};
pub(super) use pool::Open;
pub use pool::{Connections, Settings, network};
pub(super) use round_trip::SocketPair;
