//! Links that commands print, and mails that they send.

use jiff::Timestamp;
use serde::Serialize;

use super::Session;
use super::exit::eprintln_quietly;
use crate::clock::SystemClock;
use crate::mail::{self, Letter};
use crate::provisioning::{NewLink, link_path};

/// A link that was made, in `--json`.
#[derive(Serialize)]
pub(super) struct LinkView {
    /// Its URL; only its path where the portal's address is not configured.
    link: String,
    expires: Timestamp,
    /// Whether it is a whole URL, so that it may be sent.
    #[serde(skip)]
    is_url: bool,
}

impl LinkView {
    pub(super) fn new(session: &Session, link: &NewLink) -> Self {
        let base = session.config.portal.public_url.trim_end_matches('/');
        if base.is_empty() {
            eprintln_quietly(
                "note: `portal.public_url` is not set, so this is only the path of the link; put the address of the portal before it",
            );
        }
        let link_text = format!("{base}{}{}", link_path(link.kind), link.code.expose());
        Self { link: link_text, expires: link.expires, is_url: !base.is_empty() }
    }

    pub(super) fn text(&self) -> &str {
        &self.link
    }

    pub(super) fn is_url(&self) -> bool {
        self.is_url
    }

    /// The link for a person, with what it is.
    pub(super) fn lines(&self, what: &str) -> String {
        let expires = super::output::second(self.expires);
        format!("{what}, printed only now; it works once, until {expires}:\n\n  {}\n\n", self.link)
    }
}

/// Whether a mail was sent to a person.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mailed {
    /// The mail server took the mail.
    Sent,
    /// No mail is configured, or nothing to send it to.
    NotSent,
    /// The mail was not sent, and why.
    Failed(String),
}

impl Mailed {
    /// Sends a mail, if there is one to send and mail is configured. It never fails the command: what the command did is
    /// stored, and the operator can pass a link on.
    pub(super) fn send(session: &Session, letter: Option<Letter>) -> Self {
        let config = &session.config.mail;
        let Some(letter) = letter.filter(|_| config.is_enabled()) else { return Self::NotSent };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let sent = runtime.map_err(|error| error.to_string()).and_then(|runtime| {
            let mut rng = rand::rng();
            let sending = mail::send_now(config, &SystemClock, &mut rng, &letter);
            runtime.block_on(sending).map_err(|error| error.to_string())
        });
        match sent {
            Ok(()) => Self::Sent,
            Err(reason) => Self::Failed(reason),
        }
    }

    /// One line for a person.
    pub(super) fn line(&self, to: &str) -> String {
        match self {
            Self::Sent => format!("mail sent to {to}\n"),
            Self::NotSent => "no mail was sent: pass it on yourself\n".to_owned(),
            Self::Failed(reason) => format!("no mail was sent: {reason}; pass it on yourself\n"),
        }
    }
}
