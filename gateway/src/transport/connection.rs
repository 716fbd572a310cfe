//! Connections, independent of their protocol, and the pools of open ones.

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
