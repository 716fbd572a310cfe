//! Links that commands print, and mails that they send.

use jiff::Timestamp;
use serde::Serialize;

use super::Session;
use super::exit::eprintln_quietly;
use super::health::Listener;
use crate::clock::{Clock, SystemClock};
use crate::config::{Service, portal_url};
use crate::mail::{self, Letter};
use crate::provisioning::{NewLink, link_path};
use crate::store::Store;

/// A link that was made, in `--json`.
#[derive(Serialize)]
pub(super) struct LinkView {
    /// Its URL; only its path where nothing serves the portal.
    link: String,
    expires: Timestamp,
    /// Whether it is a whole URL, so that it may be sent.
    #[serde(skip)]
    is_url: bool,
}

impl LinkView {
    pub(super) fn new(session: &Session, store: &mut Store, link: &NewLink) -> Self {
        let base = portal_address(session, store);
        if base.is_none() {
            eprintln_quietly(
                "note: no listener serves the portal and `portal.public_url` is not set, so this is only the path of the link; put the address of the portal before it",
            );
        }
        let path = format!("{}{}", link_path(link.kind), link.code.expose());
        let is_url = base.is_some();
        Self { link: base.unwrap_or_default() + &path, expires: link.expires, is_url }
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

/// Where the portal is: as configured, or else where a server that runs has bound it, or else where one would.
fn portal_address(session: &Session, store: &mut Store) -> Option<String> {
    let config = &session.config;
    let configured = config.portal.public_url.trim_end_matches('/');
    if !configured.is_empty() {
        return Some(configured.to_owned());
    }
    // The link is made already, and shown even where the servers cannot be read.
    let nodes = store.live_nodes(SystemClock.now(), session.stale_after()).unwrap_or_default();
    let bound: Vec<_> = nodes.iter().flat_map(|node| Listener::of(node, Service::Portal)).collect();
    let bound = bound.iter().map(|found| (found.tls, found.hosts(config, Service::Portal), found.address));
    let configured = config.listeners.values().filter(|listener| listener.enabled);
    let would = configured.filter(|listener| listener.serves(Service::Portal)).filter_map(|listener| {
        let address = listener.addresses.iter().find(|address| address.port() != 0)?;
        Some((!listener.certificate.is_empty(), listener.hosts_of(Service::Portal), *address))
    });
    portal_url(bound).or_else(|| portal_url(would))
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
