//! Mail, access requests and invitations.
//!
//! `config/gateway.toml` says what each option does.

use std::path::PathBuf;
use std::time::Duration;

use lettre::message::Mailbox;
use serde::{Deserialize, Serialize};

use super::values::{self, DAY, Kind, MINUTE, SECOND};

/// The SMTP server through which mail is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mail {
    /// Its host name; empty sends no mail.
    #[serde(deserialize_with = "values::text::<MailHost, _>")]
    pub host: String,
    /// Its port; 0 is the usual one. See [`Mail::port_number`].
    #[serde(deserialize_with = "values::count::<0, 65_535, _, _>")]
    pub port: u16,
    /// How the connection is encrypted.
    pub tls: MailTls,
    /// The user name; empty for none.
    #[serde(deserialize_with = "values::text::<UserName, _>")]
    pub username: String,
    /// The file with the password.
    pub password_file: PathBuf,
    /// Certificate authorities to trust beside the system's, PEM; empty for none.
    pub ca_file: PathBuf,
    /// The sender, such as `Partner Gateway <gateway@example.com>`.
    #[serde(deserialize_with = "values::text::<Sender, _>")]
    pub from: String,
    /// The whole of one attempt to send a mail.
    #[serde(
        deserialize_with = "values::duration::<SECOND, { 5 * MINUTE }, _>",
        serialize_with = "values::write_duration"
    )]
    pub timeout: Duration,
    /// From a failed attempt to the next one; each further one is four times as long.
    #[serde(
        deserialize_with = "values::duration::<10, { 10 * MINUTE }, _>",
        serialize_with = "values::write_duration"
    )]
    pub retry_interval: Duration,
}

impl Mail {
    /// Whether mail is sent.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        !self.host.is_empty()
    }

    /// The port, with 0 resolved to the one of the encryption (RFC 8314 §3.3, RFC 6409 §3.1, RFC 5321).
    #[must_use]
    pub const fn port_number(&self) -> u16 {
        match (self.port, self.tls) {
            (0, MailTls::Implicit) => 465,
            (0, MailTls::StartTls) => 587,
            (0, MailTls::None) => 25,
            (port, _) => port,
        }
    }
}

/// How a connection to an SMTP server is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailTls {
    /// With TLS from its first byte.
    Implicit,
    /// From `STARTTLS` on, without which nothing is sent (RFC 3207).
    StartTls,
    /// Not at all.
    None,
}

/// Access requests and invitations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requests {
    /// Open access requests of everybody together.
    #[serde(deserialize_with = "values::count::<1, 1_048_576, _, _>")]
    pub open_max: usize,
    /// How long a link to keys works.
    #[serde(
        deserialize_with = "values::duration::<MINUTE, { 90 * DAY }, _>",
        serialize_with = "values::write_duration"
    )]
    pub claim_lifetime: Duration,
    /// How long an invitation can be accepted.
    #[serde(
        deserialize_with = "values::duration::<MINUTE, { 90 * DAY }, _>",
        serialize_with = "values::write_duration"
    )]
    pub invitation_lifetime: Duration,
}

/// The host of an SMTP server, or nothing.
enum MailHost {}

impl Kind for MailHost {
    type Value = String;
    const EXPECTED: &str =
        "a host name or an IP address without port, such as `smtp.example.com`; \"\" sends no mail";

    fn read(text: &str) -> Option<String> {
        if text.is_empty() { Some(String::new()) } else { values::Host::read(text) }
    }
}

/// A user name for SMTP.
enum UserName {}

impl Kind for UserName {
    type Value = String;
    const EXPECTED: &str = "up to 255 printable characters";

    fn read(text: &str) -> Option<String> {
        (text.len() <= 255 && !text.contains(char::is_control)).then(|| text.to_owned())
    }
}

/// A sender of mail, or nothing.
enum Sender {}

impl Kind for Sender {
    type Value = String;
    const EXPECTED: &str =
        "an e-mail address, such as `gateway@example.com` or `Partner Gateway <gateway@example.com>`";

    fn read(text: &str) -> Option<String> {
        let is_plain = text.len() <= 320 && !text.contains(char::is_control);
        (is_plain && (text.is_empty() || text.parse::<Mailbox>().is_ok())).then(|| text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_is_one_address() {
        for sender in ["", "a@example.com", "Partner Gateway <a@example.com>"] {
            assert_eq!(Sender::read(sender).as_deref(), Some(sender));
        }
        for wrong in ["a", "a@example.com, b@example.com", "a@example.com\r\nBcc: b@example.com", "<>"] {
            assert_eq!(Sender::read(wrong), None, "{wrong}");
        }
    }
}
