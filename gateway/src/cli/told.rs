//! How a change of a key is told: what it is now, and which running servers have applied it.

use jiff::Timestamp;
use permissions::{KeyId, KeyRecord, KeySecret};
use serde::Serialize;

use super::Session;
use super::applied::{self, Applied};
use super::exit::eprintln_quietly;
use super::key::After;
use super::output::{print, print_json, second, second_or_dash};
use super::shown::{Shown, lines};
use crate::clock::{Clock, SystemClock};
use crate::keys::Committed;
use crate::store::Store;

/// The answer to a change.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    key: Shown<'a>,
    /// In a rotation: how the old key ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    replaced: Option<Replaced>,
    /// In a revocation: whether the key was revoked before.
    #[serde(skip_serializing_if = "Option::is_none")]
    already_revoked: Option<bool>,
    /// In a making: whether the key's partner was made with it.
    #[serde(rename = "partnerCreated", skip_serializing_if = "Option::is_none")]
    partner_created: Option<bool>,
    applied: Applied,
}

/// How the old key of a rotation ends.
#[derive(Serialize)]
pub(super) struct Replaced {
    pub(super) id: KeyId,
    pub(super) expires: Option<Timestamp>,
    pub(super) revoked: Option<Timestamp>,
}

/// A change that is to be told.
pub(super) struct Told<'a> {
    pub(super) record: &'a KeyRecord,
    pub(super) secret: Option<&'a KeySecret>,
    pub(super) change: Committed,
    /// In a rotation: how the old key ends.
    pub(super) replaced: Option<Replaced>,
    /// In a revocation: whether the key was revoked before.
    pub(super) already_revoked: Option<bool>,
    /// In a making: whether the key's partner was made with it.
    pub(super) partner_created: Option<bool>,
}

impl<'a> Told<'a> {
    pub(super) fn of(record: &'a KeyRecord, secret: Option<&'a KeySecret>, change: Committed) -> Self {
        Self { record, secret, change, replaced: None, already_revoked: None, partner_created: None }
    }

    /// Waits for the running servers and tells what was done. A key whose text nobody could read is a
    /// failure, whatever became of the output: it is there, and it is good.
    pub(super) fn tell(self, store: &Store, session: &Session, after: After) -> anyhow::Result<()> {
        let made = self.secret.map(|_| self.record.id);
        let told = self.tell_all(store, session, after);
        match (told, made) {
            (Err(error), Some(id)) => {
                // In words, so that it is not taken for a reader who has seen enough.
                let why = error.to_string();
                Err(anyhow::anyhow!(
                    "key {id} was made, but its text could not be shown ({why}); revoke it and make another"
                ))
            }
            (told, _) => told,
        }
    }

    fn tell_all(self, store: &Store, session: &Session, after: After) -> anyhow::Result<()> {
        let applied = applied::wait(store, session, &SystemClock, self.change, after.wait)?;
        if let Some(warning) = applied.warning() {
            eprintln_quietly(&warning);
        }
        let now = SystemClock.now();
        if after.form.json {
            let key = Shown::new(self.record, self.secret, now);
            let Self { replaced, already_revoked, partner_created, .. } = self;
            return print_json(&Answer { key, replaced, already_revoked, partner_created, applied });
        }
        if let (Some(true), Some(at)) = (self.already_revoked, self.record.revoked) {
            // Who applied it, and when, was told the first time.
            return print(&format!(
                "key {} was revoked already, at {}; nothing was changed\n",
                self.record.id,
                second(at)
            ));
        }
        let mut text = String::new();
        if let Some(secret) = self.secret {
            let shown = format!("The key, shown this once:\n\n  {}\n\n", secret.expose());
            text.push_str(&shown);
        }
        text.push_str(&lines(self.record, now));
        if let Some(old) = &self.replaced {
            let end = match (old.revoked, old.expires) {
                (Some(_), _) => "is revoked".to_owned(),
                (None, expires) => format!("expires at {}", second_or_dash(expires)),
            };
            text.push_str(&format!("\nthe old key {} {end}\n", old.id));
        }
        text.push('\n');
        text.push_str(&applied.lines());
        print(&text)
    }
}
