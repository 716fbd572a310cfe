//! The ready file: what a server writes once it listens, so that others find its ports and its CA.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::protocol::Protocol;

/// The content of a ready file. Other members of the gateway's file are ignored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ready {
    /// Every address that is listened on.
    pub listeners: Vec<Listener>,
    /// The process that listens.
    pub pid: u32,
    /// The PEM file to trust for its certificates.
    pub ca: Option<PathBuf>,
}

/// A listening address.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Listener {
    /// The address that was bound; the same port for TCP and UDP.
    pub address: SocketAddr,
    /// Some of `http1`, `http2` and `http3`.
    pub protocols: Vec<String>,
    /// Whether it is encrypted.
    pub tls: bool,
    /// The sites that it serves, such as `api` and `operations`.
    #[serde(default)]
    pub serves: Vec<String>,
}

impl Listener {
    /// A listener for the API.
    pub(crate) fn api(address: SocketAddr, protocols: impl IntoIterator<Item = Protocol>, tls: bool) -> Self {
        let protocols = protocols.into_iter().map(|protocol| protocol.ready_name().to_owned()).collect();
        Self { address, protocols, tls, serves: vec!["api".to_owned()] }
    }
}

impl Ready {
    /// Reads and parses the file.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} is not a ready file", path.display()))
    }

    /// Writes the file under another name and renames it, so that a reader never sees half of it.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let unfinished = path.with_extension("unfinished");
        fs::write(&unfinished, serde_json::to_vec(self)?)
            .and_then(|()| fs::rename(&unfinished, path))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// The address of the first API listener for the protocol.
    pub fn address(&self, protocol: Protocol) -> anyhow::Result<SocketAddr> {
        let serves = |listener: &&Listener| {
            listener.tls == protocol.is_encrypted()
                && listener.protocols.iter().any(|name| name == protocol.ready_name())
                && listener.serves.iter().any(|name| name == "api")
        };
        let listener = self.listeners.iter().find(serves);
        Ok(listener.with_context(|| format!("no listener of the API for {protocol}"))?.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_protocol_finds_its_listener_of_the_api() -> anyhow::Result<()> {
        let mut ready: Ready = serde_json::from_str(
            r#"{"listeners":[
            {"name":"operations","address":"127.0.0.1:1","protocols":["http1"],"tls":false,"serves":["operations"]},
            {"name":"http","address":"127.0.0.1:2","protocols":["http1","http2"],"tls":false,"serves":["api"]},
            {"name":"https","address":"[::1]:3","protocols":["http1","http2","http3"],"tls":true,"serves":["api"],
             "environments":["staging"],"later":1}],"pid":7,"ca":"/tmp/ca.pem"}"#,
        )?;
        let port = |protocol| anyhow::Ok(ready.address(protocol)?.port());
        let ports: Vec<u16> = Protocol::ALL.into_iter().map(port).collect::<Result<_, _>>()?;
        assert_eq!(ports, [2, 3, 3, 3]);
        ready.listeners.truncate(2);
        assert!(ready.address(Protocol::H3).is_err());
        Ok(())
    }
}
