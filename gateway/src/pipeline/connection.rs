//! The connection as endpoints see it.

use std::time::Duration;

use versions::{ConnectionInfo, Tls};

use crate::http::is_proxy;
use crate::transport::{Encryption, Peer};

impl ConnectionInfo for Peer {
    fn tls(&self) -> Option<Tls> {
        let Encryption { version, cipher_suite, key_exchange_group, resumed } = self.encryption()?;
        Some(Tls { version, cipher_suite, key_exchange_group, resumed })
    }

    fn round_trip_time(&self) -> Option<Duration> {
        Self::round_trip_time(self)
    }

    fn offers_http3(&self) -> bool {
        self.listener.alt_svc.is_some() || self.is_quic()
    }

    fn is_proxy(&self) -> bool {
        is_proxy(self)
    }
}
