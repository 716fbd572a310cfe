//! The report of a change to a key: the key as it is now, and which running servers have applied the change.

use jiff::Timestamp;
use permissions::{KeyId, KeyRecord, KeySecret};
use serde::Serialize;

use super::Session;
use super::applied::{self, After, Applied};
use super::key_view::{KeyView, lines};
use super::output::{print, print_json, second, second_or_dash};
use crate::clock::{Clock, SystemClock};
use crate::provisioning::Committed;
use crate::store::Store;

/// The report in `--json`.
#[derive(Serialize)]
struct Json<'a> {
    #[serde(flatten)]
    key: KeyView<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replaced: Option<Replaced>,
    #[serde(skip_serializing_if = "Option::is_none")]
    already_revoked: Option<bool>,
    #[serde(rename = "partnerCreated", skip_serializing_if = "Option::is_none")]
    partner_created: Option<bool>,
    applied: &'a Applied,
}

/// When the old key of a rotation expires.
#[derive(Serialize)]
pub(super) struct Replaced {
    pub(super) id: KeyId,
    pub(super) expires: Option<Timestamp>,
    pub(super) revoked: Option<Timestamp>,
}

/// A change to report.
pub(super) struct ChangeReport<'a> {
    pub(super) record: &'a KeyRecord,
    pub(super) secret: Option<&'a KeySecret>,
    pub(super) change: Committed,
    /// In a rotation: when the old key expires.
    pub(super) replaced: Option<Replaced>,
    /// In a revocation: whether the key was revoked before.
    pub(super) already_revoked: Option<bool>,
    /// When a key is created: whether its partner was created with it.
    pub(super) partner_created: Option<bool>,
}

impl<'a> ChangeReport<'a> {
    pub(super) fn new(record: &'a KeyRecord, secret: Option<&'a KeySecret>, change: Committed) -> Self {
        Self { record, secret, change, replaced: None, already_revoked: None, partner_created: None }
    }

    /// Waits for the running servers and prints the report. If a new key's text cannot be printed, the
    /// command fails, because the key exists and is accepted.
    pub(super) fn print(self, store: &mut Store, session: &Session, after: After) -> anyhow::Result<()> {
        let made = self.secret.map(|_| self.record.id);
        let applied = applied::wait(store, session.stale_after(), &SystemClock, self.change, after.wait)?;
        match (self.print_with(&applied, after), made) {
            (Err(error), Some(id)) => {
                // Without the cause as a source: a closed pipe must not count as success here.
                let why = error.to_string();
                Err(anyhow::anyhow!(
                    "key {id} was created, but its text could not be printed ({why}); revoke it and create another"
                ))
            }
            (printed, _) => printed.and_then(|()| applied.require_all()),
        }
    }

    fn print_with(self, applied: &Applied, after: After) -> anyhow::Result<()> {
        let now = SystemClock.now();
        if after.form.json {
            let key = KeyView::new(self.record, self.secret, now);
            let Self { replaced, already_revoked, partner_created, .. } = self;
            return print_json(&Json { key, replaced, already_revoked, partner_created, applied });
        }
        if let (Some(true), Some(at)) = (self.already_revoked, self.record.revoked) {
            // Which server applied it, and when, was reported the first time.
            return print(&format!(
                "key {} was already revoked, at {}; nothing was changed\n",
                self.record.id,
                second(at)
            ));
        }
        let mut text = String::new();
        if let Some(secret) = self.secret {
            text.push_str(&format!("The key, printed only now:\n\n  {}\n\n", secret.expose()));
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
