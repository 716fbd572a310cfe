//! The sections of the configuration as types.
//!
//! `config/gateway.toml` says what each option does, its unit and its default. The bounds are here, in the attribute
//! that reads the value, so no other code checks them again.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use jiff::civil::Date;
use permissions::{Brand, Rate};
use serde::{Deserialize, Serialize};
use versions::{Lifecycle, Version};

use super::identity::Identity;
use super::listener::Listener;
use super::mail::{Mail, Requests};
use super::values::{self, DAY, HOUR, MINUTE, SECOND};

/// The configuration, read and validated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Names and texts that partners see.
    pub api: Api,
    /// What the documentation says beside the API.
    pub docs: Docs,
    /// What the first launch does.
    pub first_launch: FirstLaunch,
    /// Threads.
    pub runtime: Runtime,
    /// The listeners, by name.
    pub listeners: BTreeMap<String, Listener>,
    /// Certificates that listeners refer to, by name.
    pub certificates: BTreeMap<String, Certificate>,
    /// The days of versions, by the version's name, where they are not those of its release.
    pub versions: BTreeMap<String, Days>,
    /// Identity providers.
    pub identity: Identity,
    /// Sign-in of people, and of the devices that they approve.
    pub portal: Portal,
    /// App tokens.
    pub tokens: Tokens,
    /// Access requests and invitations.
    pub requests: Requests,
    /// The SMTP server through which mail is sent.
    pub mail: Mail,
    /// Settings of all TLS listeners.
    pub tls: Tls,
    /// Limits on requests and connections.
    pub limits: Limits,
    /// How long a peer may take.
    pub timeouts: Timeouts,
    /// How the process shuts down.
    pub drain: Drain,
    /// How the store is used.
    pub store: Store,
    /// What is logged, and in which form.
    pub log: Log,
}

/// Names and texts that partners see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Api {
    /// The prefix of every key.
    pub brand: Brand,
    /// The realm in `WWW-Authenticate`; needs no escaping in a quoted string.
    #[serde(deserialize_with = "values::text::<values::QuotedText, _>")]
    pub realm: String,
    /// The message of every 401.
    #[serde(deserialize_with = "values::text::<values::QuotedText, _>")]
    pub invalid_token_message: String,
    /// The start of `type` in an error body: a path or a URL; empty for the first docs listener.
    #[serde(deserialize_with = "values::text::<values::Link, _>")]
    pub docs_url: String,
    /// The URL of the API for partners; empty for the first API listener.
    #[serde(deserialize_with = "values::text::<values::Origin, _>")]
    pub public_url: String,
    /// Origins whose pages may call the API from a browser.
    #[serde(deserialize_with = "values::list::<values::WebOrigin, _>")]
    pub cors_origins: Vec<String>,
}

/// What the documentation says beside the API: its samples, and `/.well-known/security.txt` (RFC 9116).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Docs {
    /// The environment variable from which code samples read the key.
    #[serde(deserialize_with = "values::text::<values::Variable, _>")]
    pub key_variable: String,
    /// Where vulnerabilities are reported, the preferred address first; without one, the file is not served.
    #[serde(deserialize_with = "values::list::<values::Contact, _>")]
    pub security_contacts: Vec<String>,
    /// The URL of the policy for such reports; empty for none.
    #[serde(deserialize_with = "values::text::<values::SecureUrl, _>")]
    pub security_policy: String,
    /// The languages of reports; empty for any.
    #[serde(deserialize_with = "values::list::<values::Language, _>")]
    pub security_languages: Vec<String>,
}

/// What the first launch does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FirstLaunch {
    /// What happens to its keys.
    pub keys: FirstKeys,
}

/// What happens to the keys of the first launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FirstKeys {
    /// Print them where standard output is a terminal, otherwise write files.
    Auto,
    /// Print them.
    Show,
    /// Write each to a private file in the data folder.
    File,
    /// Create none.
    None,
}

/// Threads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Runtime {
    /// Worker threads; 0 is one per core. See [`Runtime::worker_count`].
    #[serde(deserialize_with = "values::count::<0, 1024, _, _>")]
    pub workers: usize,
    /// How long a worker's event loop may be blocked before the worker counts as stalled.
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

/// The files of a certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Certificate {
    /// The certificate chain, leaf first, PEM.
    pub chain_file: PathBuf,
    /// The private key, PEM.
    pub key_file: PathBuf,
}

/// The days of a version that the configuration sets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Days {
    /// From this day every key may use it.
    #[serde(deserialize_with = "values::text::<values::Day, _>", serialize_with = "values::write_day")]
    pub published: Option<Date>,
    /// From this day responses announce its end.
    #[serde(deserialize_with = "values::text::<values::Day, _>", serialize_with = "values::write_day")]
    pub deprecated: Option<Date>,
    /// From this day calls get 410.
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

/// Sign-in of people, and of the devices that they approve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Portal {
    /// The URL of the site, which is the issuer of its tokens; empty for the first portal listener.
    #[serde(deserialize_with = "values::text::<values::SiteOrigin, _>")]
    pub public_url: String,
    /// A session that is not used for so long ends.
    #[serde(
        deserialize_with = "values::duration::<MINUTE, { 31 * DAY }, _>",
        serialize_with = "values::write_duration"
    )]
    pub session_idle: Duration,
    /// How long a session lasts at most.
    #[serde(
        deserialize_with = "values::duration::<MINUTE, { 366 * DAY }, _>",
        serialize_with = "values::write_duration"
    )]
    pub session_lifetime: Duration,
    /// Devices that wait for approval.
    #[serde(deserialize_with = "values::count::<1, 100_000, _, _>")]
    pub devices_pending_max: usize,
    /// Devices of one client address that wait for approval.
    #[serde(deserialize_with = "values::count::<1, 100_000, _, _>")]
    pub devices_pending_per_address_max: usize,
    /// Requests to `/oauth/token` and `/oauth/revoke` of one client address.
    pub token_requests_per_address: Rate,
    /// Access requests that one client address may file.
    pub access_requests_per_address: Rate,
    /// Access requests that strangers may file in all.
    pub access_requests: Rate,
    /// Codes of devices and of links that one client address may enter.
    pub codes_per_address: Rate,
    /// Codes of devices and of links that may be entered in all.
    pub codes: Rate,
}

impl Portal {
    /// The host of its public URL.
    #[must_use]
    pub fn host(&self) -> Option<String> {
        let uri = self.public_url.parse::<http::Uri>().ok()?;
        uri.host().map(str::to_owned)
    }
}

/// App tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tokens {
    /// How long a new token is valid.
    #[serde(
        deserialize_with = "values::duration::<MINUTE, { 366 * DAY }, _>",
        serialize_with = "values::write_duration"
    )]
    pub lifetime: Duration,
}

/// Settings of all TLS listeners.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The oldest version that is accepted over TCP; QUIC is always 1.3.
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

/// Limits on requests and connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// The rate of a key that has none set.
    pub key_rate: Rate,
    /// Failed authentications of one client address before they get 429.
    pub failures_per_address: Rate,
    /// Client addresses whose failures are counted.
    #[serde(deserialize_with = "values::count::<1, 1_048_576, _, _>")]
    pub failure_addresses_max: usize,
    /// Open connections in total.
    #[serde(deserialize_with = "values::count::<1, 16_777_216, _, _>")]
    pub connections_max: usize,
    /// Open connections of one client address.
    #[serde(deserialize_with = "values::count::<1, 16_777_216, _, _>")]
    pub connections_per_address_max: usize,
    /// Requests in flight.
    #[serde(deserialize_with = "values::count::<1, 16_777_216, _, _>")]
    pub requests_in_flight_max: usize,
    /// Requests of one caller at the same time, enforced while more than half of the slots are taken.
    #[serde(deserialize_with = "values::count::<1, 16_777_216, _, _>")]
    pub requests_in_flight_per_caller_max: usize,
    /// Requests whose content is being received at the same time.
    #[serde(deserialize_with = "values::count::<1, 16_777_216, _, _>")]
    pub uploads_in_flight_max: usize,
    /// Bytes of a request's fields.
    #[serde(deserialize_with = "values::size::<1024, 65_536, _>", serialize_with = "values::write_size")]
    pub header_bytes_max: usize,
    /// Fields of a request; hyper itself accepts no more than 100 over HTTP/1.
    #[serde(deserialize_with = "values::count::<1, 100, _, _>")]
    pub header_fields_max: usize,
    /// Bytes of a request's target.
    #[serde(deserialize_with = "values::size::<64, 65_536, _>", serialize_with = "values::write_size")]
    pub uri_bytes_max: usize,
    /// Bytes of a request's body; 0 accepts none.
    #[serde(deserialize_with = "values::size::<0, 1_073_741_824, _>", serialize_with = "values::write_size")]
    pub body_bytes_max: usize,
    /// Bytes of the JSON Patch in a preview; 0 leaves every patch out.
    #[serde(deserialize_with = "values::size::<0, 65_536, _>", serialize_with = "values::write_size")]
    pub preview_patch_bytes_max: usize,
    /// Concurrent requests of an HTTP/2 or HTTP/3 connection.
    #[serde(deserialize_with = "values::count::<1, 65_535, _, _>")]
    pub streams_per_connection_max: u32,
    /// QUIC connections in handshake, per worker.
    #[serde(deserialize_with = "values::count::<1, 1_048_576, _, _>")]
    pub quic_handshakes_max: usize,
    /// QUIC connections in handshake from which a client must prove its address; 0 is always.
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
    /// Between two chunks of a request's body.
    #[serde(
        deserialize_with = "values::duration::<100, HOUR, _>",
        serialize_with = "values::write_duration"
    )]
    pub body: Duration,
    /// From the end of a request's head to the end of its body.
    #[serde(deserialize_with = "values::duration::<100, DAY, _>", serialize_with = "values::write_duration")]
    pub request: Duration,
    /// A client that does not read what is sent to it.
    #[serde(
        deserialize_with = "values::duration::<100, HOUR, _>",
        serialize_with = "values::write_duration"
    )]
    pub write: Duration,
    /// From GOAWAY to the end of a connection whose key was revoked.
    #[serde(
        deserialize_with = "values::duration::<1, { 5 * MINUTE }, _>",
        serialize_with = "values::write_duration"
    )]
    pub goodbye: Duration,
}

/// How the process shuts down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drain {
    /// How long idle connections are kept while responses announce the shutdown.
    #[serde(deserialize_with = "values::duration::<0, HOUR, _>", serialize_with = "values::write_duration")]
    pub announce: Duration,
    /// From SIGTERM to the exit, whatever is still running.
    #[serde(deserialize_with = "values::duration::<1, HOUR, _>", serialize_with = "values::write_duration")]
    pub deadline: Duration,
}

/// How the store is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// How long a command waits for another process' write.
    #[serde(
        deserialize_with = "values::duration::<1, { 5 * MINUTE }, _>",
        serialize_with = "values::write_duration"
    )]
    pub busy_timeout: Duration,
    /// How often the server looks for changes of other processes; more than a second would keep a revoked key valid
    /// for longer than is promised.
    #[serde(
        deserialize_with = "values::duration::<1, SECOND, _>",
        serialize_with = "values::write_duration"
    )]
    pub change_interval: Duration,
    /// How often `last_used` of the keys in use is written.
    #[serde(deserialize_with = "values::duration::<100, DAY, _>", serialize_with = "values::write_duration")]
    pub last_used_interval: Duration,
    /// How often the server writes that it is alive.
    #[serde(
        deserialize_with = "values::duration::<100, MINUTE, _>",
        serialize_with = "values::write_duration"
    )]
    pub heartbeat_interval: Duration,
    /// How old the keys in memory may be, where the store cannot be read, before `/readyz` says 503.
    #[serde(
        deserialize_with = "values::duration::<SECOND, DAY, _>",
        serialize_with = "values::write_duration"
    )]
    pub staleness_limit: Duration,
}

/// What is logged, and in which form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// The least severe level that is written.
    pub level: Level,
    /// The form of a line.
    pub format: Format,
    /// Whether every request is logged.
    #[serde(deserialize_with = "values::switch")]
    pub access: bool,
    /// Lines that may wait to be written; more are dropped.
    #[serde(deserialize_with = "values::count::<1, 1_048_576, _, _>")]
    pub queue_lines_max: usize,
}

/// The severity of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Failures.
    Error,
    /// Risks.
    Warn,
    /// Events.
    Info,
    /// Details.
    Debug,
    /// Everything.
    Trace,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object per line.
    Json,
    /// Plain text.
    Text,
    /// Text on a terminal, JSON elsewhere.
    Auto,
}
