//! The ready file: what a server writes once it listens, so that others find its ports and its CA.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::protocol::Protocol;

/// The whole file. Members that are not named here are ignored, so that the gateway may add some.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ready {
    /// Every address that is listened on.
    pub listeners: Vec<Listener>,
    /// The process that listens.
    pub pid: u32,
    /// The PEM file to trust for its certificates.
    pub ca: Option<PathBuf>,
}

/// One address.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Listener {
    /// Its name in the configuration.
    pub name: String,
    /// Where it was really bound; the same port for TCP and UDP.
    pub address: SocketAddr,
    /// Of `http1`, `http2` and `http3`.
    pub protocols: Vec<String>,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// Of `api` and `operations`.
    #[serde(default)]
    pub serves: Vec<String>,
    /// Of `staging` and `production`.
    #[serde(default)]
    pub environments: Vec<String>,
}

impl Ready {
    /// Reads and parses the file.
    ///
    /// # Errors
    /// If it cannot be read or is not a ready file.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} is not a ready file", path.display()))
    }

    /// Writes the file whole or not at all: it is renamed into place, so that nobody reads half of it.
    ///
    /// # Errors
    /// If the folder cannot be written to.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let unfinished = path.with_extension("unfinished");
        fs::write(&unfinished, serde_json::to_vec(self)?)
            .and_then(|()| fs::rename(&unfinished, path))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// The first listener of the API that speaks the protocol.
    ///
    /// # Errors
    /// If there is none.
    pub fn listener(&self, protocol: Protocol) -> anyhow::Result<&Listener> {
        self.listeners
            .iter()
            .find(|listener| {
                listener.tls == protocol.is_encrypted()
                    && listener.protocols.iter().any(|name| name == protocol.ready_name())
                    && listener.serves.iter().any(|name| name == "api")
            })
            .with_context(|| format!("no listener of the API speaks {}", protocol.name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{"listeners":[
        {"name":"operations","address":"127.0.0.1:1","protocols":["http1"],"tls":false,"serves":["operations"]},
        {"name":"http","address":"127.0.0.1:2","protocols":["http1","http2"],"tls":false,"serves":["api"]},
        {"name":"https","address":"[::1]:3","protocols":["http1","http2","http3"],"tls":true,"serves":["api"],
         "environments":["staging"],"later":1}],"pid":7,"ca":"/tmp/ca.pem"}"#;

    #[test]
    fn each_protocol_finds_its_listener_of_the_api() -> anyhow::Result<()> {
        let ready: Ready = serde_json::from_str(FILE)?;
        assert_eq!(ready.listener(Protocol::H1)?.address.port(), 2);
        for protocol in [Protocol::H1Tls, Protocol::H2Tls, Protocol::H3] {
            assert_eq!(ready.listener(protocol)?.address.port(), 3);
        }
        Ok(())
    }

    #[test]
    fn a_protocol_that_is_not_offered_is_an_error() -> anyhow::Result<()> {
        let mut ready: Ready = serde_json::from_str(FILE)?;
        ready.listeners.truncate(2);
        assert!(ready.listener(Protocol::H3).is_err());
        Ok(())
    }
}
