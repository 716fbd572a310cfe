//! The sections of the configuration as types.
//!
//! What each option does, its unit and its default stand in `config/gateway.toml`, once; the bounds
//! stand here, in the attribute that reads the value. A value that is here is therefore within them,
//! and no reader checks again.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use jiff::civil::Date;
use permissions::{Brand, Environments, Rate};
use serde::{Deserialize, Serialize};
use versions::{Lifecycle, Version};

use super::values::{self, DAY, HOUR, MINUTE, SECOND};

/// The whole configuration, read and checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What partners see: names and texts.
    pub api: Api,
    /// Threads.
    pub runtime: Runtime,
    /// Where the gateway listens, by the listener's name.
    pub listeners: BTreeMap<String, Listener>,
    /// Certificates that listeners refer to, by name.
    pub certificates: BTreeMap<String, Certificate>,
    /// The days of versions, by the version's name, where they are not those of its release.
    pub versions: BTreeMap<String, Days>,
    /// What all TLS listeners share.
    pub tls: Tls,
    /// How much of everything.
    pub limits: Limits,
    /// How long a peer may take.
    pub timeouts: Timeouts,
    /// How the process ends.
    pub drain: Drain,
    /// How the store is used.
    pub store: Store,
    /// What is logged, and how.
    pub log: Log,
}

/// What partners see: names and texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Api {
    /// The word that every key begins with.
    pub brand: Brand,
    /// The realm in `WWW-Authenticate`; fit for a quoted string as it is.
    #[serde(deserialize_with = "values::text::<values::Words, _>")]
    pub realm: String,
    /// What every 401 says.
    #[serde(deserialize_with = "values::text::<values::Words, _>")]
    pub invalid_token_message: String,
    /// What the `type` of an error body begins with: a path or a URL; empty for the first docs listener.
    #[serde(deserialize_with = "values::text::<values::Link, _>")]
    pub docs_url: String,
    /// Where partners reach the API: a URL; empty for the first listener of the API.
    #[serde(deserialize_with = "values::text::<values::Origin, _>")]
    pub public_url: String,
}

/// Threads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Runtime {
    /// Worker threads; 0 is one per core. See [`Runtime::worker_count`].
    #[serde(deserialize_with = "values::count::<0, 1024, _, _>")]
    pub workers: usize,
    /// How long a worker may not go round its loop before it counts as stalled.
    #[serde(
        deserialize_with = "values::duration::<2000, DAY, _>",
        serialize_with = "values::write_duration"
    )]
    pub stalled_after: Duration,
}

impl Runtime {
    /// The number of worker threads, with 0 resolved to the cores that this process may use.
    #[must_use]
    pub fn worker_count(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism().map_or(1, NonZeroUsize::get).min(1024),
            workers => workers,
        }
    }
}

/// One place where the gateway listens, and what it serves there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Listener {
    /// Whether it is opened at all.
    pub enabled: bool,
    /// Where it binds; port 0 takes a free one.
    #[serde(deserialize_with = "values::list::<values::Address, _>")]
    pub addresses: Vec<SocketAddr>,
    /// The protocols it speaks.
    pub protocols: Vec<Protocol>,
    /// Empty for cleartext, `local`, or a name from [`Config::certificates`].
    pub certificate: String,
    /// What is offered here, one of them.
    pub serves: Vec<Service>,
    /// Whose keys are accepted here.
    pub environments: Environments,
    /// The names it answers for, in lower case and without port; empty for every name.
    #[serde(deserialize_with = "values::list::<values::Host, _>")]
    pub hosts: Vec<String>,
    /// Networks whose forwarding headers are believed.
    #[serde(deserialize_with = "values::list::<values::Network, _>")]
    pub trusted_proxies: Vec<IpNet>,
    /// The one field that is believed of them for the client's address.
    pub forwarded_field: ForwardedField,
    /// The UDP port that `alt-svc` names; 0 is the one that was bound.
    #[serde(deserialize_with = "values::count::<0, 65535, _, _>")]
    pub alt_svc_port: u16,
}

/// What a new listener leaves out. It opens no UDP port and accepts no keys unless told so, and the
/// checks refuse one that says neither where it binds nor what it serves.
impl Default for Listener {
    fn default() -> Self {
        Self {
            enabled: true,
            addresses: Vec::new(),
            protocols: vec![Protocol::Http1, Protocol::Http2],
            certificate: String::new(),
            serves: Vec::new(),
            environments: Environments::empty(),
            hosts: Vec::new(),
            trusted_proxies: Vec::new(),
            forwarded_field: ForwardedField::XForwardedFor,
            alt_svc_port: 0,
        }
    }
}

/// A protocol that a listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP/1.1 and HTTP/1.0.
    Http1,
    /// HTTP/2, over TLS by ALPN or in cleartext by prior knowledge.
    Http2,
    /// HTTP/3 over QUIC.
    Http3,
}

/// The field in which a trusted proxy reports the client's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForwardedField {
    /// `X-Forwarded-For`: addresses in a list.
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// What a listener offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// The API of the partners.
    Api,
    /// The API's documentation, for everybody.
    Docs,
    /// Probes, metrics and the version, for operators.
    Operations,
}

/// Where a certificate and its key are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Certificate {
    /// The certificate chain, leaf first, PEM.
    pub chain_file: PathBuf,
    /// The private key, PEM.
    pub key_file: PathBuf,
}

/// The days of a version that are set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Days {
    /// From this day on every key may use it.
    #[serde(deserialize_with = "values::text::<values::Day, _>", serialize_with = "values::write_day")]
    pub published: Option<Date>,
    /// From this day on answers tell that it will end.
    #[serde(deserialize_with = "values::text::<values::Day, _>", serialize_with = "values::write_day")]
    pub deprecated: Option<Date>,
    /// From this day on it is answered with 410.
    #[serde(deserialize_with = "values::text::<values::Day, _>", serialize_with = "values::write_day")]
    pub sunset: Option<Date>,
}

impl Config {
    /// The days that are set for a version.
    #[must_use]
    pub fn days(&self, version: Version) -> Lifecycle {
        let days = self.versions.get(&version.to_string()).cloned().unwrap_or_default();
        Lifecycle { published: days.published, deprecated: days.deprecated, sunset: days.sunset }
    }
}

/// What all TLS listeners share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The oldest version that is spoken over TCP; QUIC is always 1.3.
    pub minimum_version: TlsVersion,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    #[serde(rename = "1.2")]
    V1_2,
    /// TLS 1.3 (RFC 8446).
    #[serde(rename = "1.3")]
    V1_3,
}

/// How much of everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Requests of a key that has no rate of its own.
    pub key_rate: Rate,
    /// Failed authentications of one client address before it gets 429.
    pub failures_per_address: Rate,
    /// Client addresses whose failures are counted at the same time.
    #[serde(deserialize_with = "values::count::<1, 1_048_576, _, _>")]
    pub failure_addresses_max: usize,
    /// Open connections in all.
    #[serde(deserialize_with = "values::count::<1, 16_777_216, _, _>")]
    pub connections_max: usize,
    /// Open connections of one client address.
    #[serde(deserialize_with = "values::count::<1, 16_777_216, _, _>")]
    pub connections_per_address_max: usize,
    /// Requests being answered at the same time.
    #[serde(deserialize_with = "values::count::<1, 16_777_216, _, _>")]
    pub requests_in_flight_max: usize,
    /// Requests of one caller at the same time, in force where more than half of the places are taken.
    #[serde(deserialize_with = "values::count::<1, 16_777_216, _, _>")]
    pub requests_in_flight_per_caller_max: usize,
    /// Requests whose content is being received at the same time.
    #[serde(deserialize_with = "values::count::<1, 16_777_216, _, _>")]
    pub uploads_in_flight_max: usize,
    /// Bytes of one request's fields.
    #[serde(deserialize_with = "values::size::<1024, 65_536, _>", serialize_with = "values::write_size")]
    pub header_bytes_max: usize,
    /// Fields of one request; over HTTP/1 hyper itself takes no more than 100.
    #[serde(deserialize_with = "values::count::<1, 100, _, _>")]
    pub header_fields_max: usize,
    /// Bytes of one request's target.
    #[serde(deserialize_with = "values::size::<64, 65_536, _>", serialize_with = "values::write_size")]
    pub uri_bytes_max: usize,
    /// Bytes of one request's body; 0 takes no bodies.
    #[serde(deserialize_with = "values::size::<0, 1_073_741_824, _>", serialize_with = "values::write_size")]
    pub body_bytes_max: usize,
    /// Bytes of the JSON Patch that a preview is answered with; 0 leaves all out.
    #[serde(deserialize_with = "values::size::<0, 65_536, _>", serialize_with = "values::write_size")]
    pub preview_patch_bytes_max: usize,
    /// Requests that one HTTP/2 or HTTP/3 connection may have open at the same time.
    #[serde(deserialize_with = "values::count::<1, 65_535, _, _>")]
    pub streams_per_connection_max: u32,
    /// QUIC connections in handshake, per worker.
    #[serde(deserialize_with = "values::count::<1, 1_048_576, _, _>")]
    pub quic_handshakes_max: usize,
    /// QUIC connections in handshake from which on a client must prove its address; 0 is always.
    #[serde(deserialize_with = "values::count::<0, 1_048_576, _, _>")]
    pub quic_retry_threshold: usize,
}

/// How long a peer may take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timeouts {
    /// From accept to the end of the TLS or QUIC handshake.
    #[serde(
        deserialize_with = "values::duration::<100, { 5 * MINUTE }, _>",
        serialize_with = "values::write_duration"
    )]
    pub handshake: Duration,
    /// From a request's first byte to the end of its head.
    #[serde(
        deserialize_with = "values::duration::<100, { 5 * MINUTE }, _>",
        serialize_with = "values::write_duration"
    )]
    pub header: Duration,
    /// A connection without a request.
    #[serde(deserialize_with = "values::duration::<1, DAY, _>", serialize_with = "values::write_duration")]
    pub idle: Duration,
    /// Between two pieces of a request's body.
    #[serde(
        deserialize_with = "values::duration::<100, HOUR, _>",
        serialize_with = "values::write_duration"
    )]
    pub body: Duration,
    /// From the end of a request's head to the end of its body.
    #[serde(deserialize_with = "values::duration::<100, DAY, _>", serialize_with = "values::write_duration")]
    pub request: Duration,
    /// A client that does not take what is sent to it.
    #[serde(
        deserialize_with = "values::duration::<100, HOUR, _>",
        serialize_with = "values::write_duration"
    )]
    pub write: Duration,
    /// From the farewell to the end of a connection whose key was revoked.
    #[serde(
        deserialize_with = "values::duration::<1, { 5 * MINUTE }, _>",
        serialize_with = "values::write_duration"
    )]
    pub goodbye: Duration,
}

/// How the process ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drain {
    /// How long the end is announced before connections are closed.
    #[serde(deserialize_with = "values::duration::<0, HOUR, _>", serialize_with = "values::write_duration")]
    pub announce: Duration,
    /// From SIGTERM to the end, whatever is still running.
    #[serde(deserialize_with = "values::duration::<1, HOUR, _>", serialize_with = "values::write_duration")]
    pub deadline: Duration,
}

/// How the store is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// How long a command waits for another's write.
    #[serde(
        deserialize_with = "values::duration::<1, { 5 * MINUTE }, _>",
        serialize_with = "values::write_duration"
    )]
    pub busy_timeout: Duration,
    /// How often the server looks for changes that another process made; more than a second would let
    /// a revoked key live on.
    #[serde(
        deserialize_with = "values::duration::<1, SECOND, _>",
        serialize_with = "values::write_duration"
    )]
    pub change_interval: Duration,
    /// How often `last_used` of the keys in use is written.
    #[serde(deserialize_with = "values::duration::<100, DAY, _>", serialize_with = "values::write_duration")]
    pub last_used_interval: Duration,
    /// How often the server shows that it is alive.
    #[serde(
        deserialize_with = "values::duration::<100, MINUTE, _>",
        serialize_with = "values::write_duration"
    )]
    pub heartbeat_interval: Duration,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// The least serious level that is written.
    pub level: Level,
    /// How a line looks.
    pub format: Format,
    /// Whether every request gets a line.
    pub access: bool,
    /// Lines that wait to be written before any is dropped.
    #[serde(deserialize_with = "values::count::<1, 1_048_576, _, _>")]
    pub queue_lines_max: usize,
}

/// How serious a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// What went wrong.
    Error,
    /// What may go wrong.
    Warn,
    /// What happened.
    Info,
    /// What helps to understand it.
    Debug,
    /// Everything.
    Trace,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object per line.
    Json,
    /// For people.
    Text,
    /// Text on a terminal, JSON elsewhere.
    Auto,
}
