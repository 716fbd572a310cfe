//! `key create|list|show|rotate|revoke|update`.
//!
//! Each change is on disk when it is told, and the answer says which running servers have applied
//! it. Only `create` and `rotate` ever show the text of a key, once.

use std::time::Duration;

use clap::{Args, Subcommand};
use ipnet::IpNet;
use jiff::Timestamp;
use permissions::{ApiAccessPermission, Environment, KeyId, KeyRecord, KeySecret, Rate};
use serde::Serialize;

use super::applied::{self, Applied};
use super::arguments::{self, Setting};
use super::exit::eprintln_quietly;
use super::output::{print, print_json, second_or_dash, table};
use super::shown::{Shown, State, lines, permission_list};
use super::{Form, Session};
use crate::clock::{Clock, SystemClock};
use crate::keys::{Committed, KeyError, KeyUpdate, NewKey, Provisioning};
use crate::store::{KeyFilter, Store};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a key, and its partner if that is new; shows the key's text, once
    #[command(after_help = "\
Examples:
  partner-gateway key create --partner acme --environment staging --permission ping:read
  partner-gateway key create --partner acme --environment production \\
      --permission ping:read,connection:read --expires 2027-01-01T00:00:00Z \\
      --allow 192.0.2.0/24 --rate 50/s+100 --name 'billing' --json")]
    Create(Create),
    /// List keys, the oldest first
    #[command(after_help = "\
Examples:
  partner-gateway key list
  partner-gateway key list --partner acme --environment production --json")]
    List(List),
    /// Show one key
    #[command(after_help = "\
Examples:
  partner-gateway key show 019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b --json")]
    Show {
        /// The key's id
        id: KeyId,
        #[command(flatten)]
        form: Form,
    },
    /// Make a key with the same settings in the place of another; shows the new key's text, once
    #[command(after_help = "\
The new key has an id of its own. Without --overlap the old key is revoked at once and its
connections are closed; with it, both are good until the overlap ends.

Examples:
  partner-gateway key rotate 019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b --overlap 24h")]
    Rotate {
        /// The old key's id
        id: KeyId,
        /// How long the old key stays good
        #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = arguments::span)]
        overlap: Duration,
        #[command(flatten)]
        after: After,
    },
    /// Revoke a key for ever; its connections are closed
    #[command(after_help = "\
Examples:
  partner-gateway key revoke 019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b --json")]
    Revoke {
        /// The key's id
        id: KeyId,
        #[command(flatten)]
        after: After,
    },
    /// Change what a key may do; what is not named stays
    #[command(after_help = "\
Examples:
  partner-gateway key update 019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b --permission ping:read
  partner-gateway key update 019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b --allow any --expires never --rate default")]
    Update {
        /// The key's id
        id: KeyId,
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        after: After,
    },
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// Who holds it; made if it is new
    #[arg(long, value_name = "NAME")]
    partner: String,
    /// Where it is good: staging or production
    #[arg(long)]
    environment: Environment,
    /// What it may do; several names stand one behind the other, or separated by commas
    #[arg(long = "permission", value_name = "NAME", required = true, num_args = 1.., value_delimiter = ',')]
    permissions: Vec<ApiAccessPermission>,
    /// Good until this moment
    #[arg(long, value_name = "RFC3339", value_parser = arguments::moment)]
    expires: Option<Timestamp>,
    /// Good from this moment on
    #[arg(long, value_name = "RFC3339", value_parser = arguments::moment)]
    not_before: Option<Timestamp>,
    /// Good only from these networks, one behind the other, or separated by commas
    #[arg(long, value_name = "CIDR", num_args = 1.., value_delimiter = ',', value_parser = arguments::network)]
    allow: Vec<IpNet>,
    /// Its own rate: 50/s, or 50/s+100 with a burst of 100
    #[arg(long, value_name = "N/s", value_parser = arguments::rate)]
    rate: Option<Rate>,
    /// What its holder calls it
    #[arg(long, value_name = "TEXT", default_value = "")]
    name: String,
    #[command(flatten)]
    after: After,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Only this partner's
    #[arg(long, value_name = "NAME")]
    partner: Option<String>,
    /// Only this environment's
    #[arg(long)]
    environment: Option<Environment>,
    #[command(flatten)]
    form: Form,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(super) struct Settings {
    /// All it may do from now on; repeat it, or separate by commas
    #[arg(long = "permission", value_name = "NAME", value_delimiter = ',')]
    permissions: Option<Vec<ApiAccessPermission>>,
    /// All networks it is good from, or `any`; repeat it, or separate by commas
    #[arg(long, value_name = "CIDR", value_delimiter = ',', value_parser = arguments::network_or_any)]
    allow: Option<Vec<Setting<IpNet>>>,
    /// Good from this moment on, or `none`
    #[arg(long, value_name = "RFC3339", value_parser = arguments::not_before)]
    not_before: Option<Setting<Timestamp>>,
    /// Good until this moment, or `never`
    #[arg(long, value_name = "RFC3339", value_parser = arguments::expires)]
    expires: Option<Setting<Timestamp>>,
    /// Its own rate, or `default`
    #[arg(long, value_name = "N/s", value_parser = arguments::rate_or_default)]
    rate: Option<Setting<Rate>>,
    /// What its holder calls it
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
}

/// What every change takes.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct After {
    /// How long to wait for the running server to apply the change
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = arguments::span)]
    wait: Duration,
    #[command(flatten)]
    form: Form,
}

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
    applied: Applied,
}

/// The answer to `key list`.
#[derive(Serialize)]
struct Keys<'a> {
    keys: Vec<Shown<'a>>,
}

/// How the old key of a rotation ends.
#[derive(Serialize)]
struct Replaced {
    id: KeyId,
    expires: Option<Timestamp>,
    revoked: Option<Timestamp>,
}

pub(super) fn run(command: Command, session: &Session) -> anyhow::Result<()> {
    match command {
        Command::Create(arguments) => create(arguments, session),
        Command::List(arguments) => list(arguments, session),
        Command::Show { id, form } => show(id, form, session),
        Command::Rotate { id, overlap, after } => {
            Store::require(&session.folder)?;
            let (store, created) = provision(session, |keys| keys.rotate(id, overlap))?;
            let replaced =
                store.key(id)?.map(|old| Replaced { id, expires: old.expires, revoked: old.revoked });
            let told = Told { replaced, ..Told::of(&created.record, Some(&created.secret), created.change) };
            told.tell(&store, session, after)
        }
        Command::Revoke { id, after } => {
            Store::require(&session.folder)?;
            let (store, revoked) = provision(session, |keys| keys.revoke(id))?;
            let told = Told {
                already_revoked: Some(revoked.already),
                ..Told::of(&revoked.record, None, revoked.change)
            };
            told.tell(&store, session, after)
        }
        Command::Update { id, settings, after } => {
            Store::require(&session.folder)?;
            let update = settings.try_into()?;
            let (store, updated) = provision(session, |keys| keys.update(id, update))?;
            Told::of(&updated.record, None, updated.change).tell(&store, session, after)
        }
    }
}

fn create(arguments: Create, session: &Session) -> anyhow::Result<()> {
    let after = arguments.after;
    let new = NewKey {
        partner: arguments.partner,
        name: arguments.name,
        environment: arguments.environment,
        permissions: union(&arguments.permissions),
        not_before: arguments.not_before,
        expires: arguments.expires,
        allow: arguments.allow,
        rate: arguments.rate,
    };
    let (store, created) = provision(session, |keys| keys.create(new))?;
    Told::of(&created.record, Some(&created.secret), created.change).tell(&store, session, after)
}

fn list(arguments: List, session: &Session) -> anyhow::Result<()> {
    let store = Store::open_existing(&session.folder, session.busy_timeout())?;
    let filter = KeyFilter { partner: arguments.partner, environment: arguments.environment };
    let keys = store.list_keys(&filter)?;
    let now = SystemClock.now();
    if arguments.form.json {
        let keys: Vec<Shown<'_>> = keys.iter().map(|key| Shown::new(key, None, now)).collect();
        return print_json(&Keys { keys });
    }
    let head =
        ["ID", "PARTNER", "ENVIRONMENT", "STATE", "ENDS WITH", "EXPIRES", "LAST USED", "PERMISSIONS", "NAME"];
    let row = |key: &KeyRecord| {
        vec![
            key.id.to_string(),
            key.partner.clone(),
            key.environment.to_string(),
            State::of(key, now).name().to_owned(),
            format!("…{}", key.hint),
            second_or_dash(key.expires),
            second_or_dash(key.last_used),
            permission_list(key.permissions),
            key.name.clone(),
        ]
    };
    print(&table(&head, &keys.iter().map(row).collect::<Vec<_>>()))
}

fn show(id: KeyId, form: Form, session: &Session) -> anyhow::Result<()> {
    let store = Store::open_existing(&session.folder, session.busy_timeout())?;
    let key = store.key(id)?.ok_or(KeyError::Unknown(id))?;
    let now = SystemClock.now();
    if form.json { print_json(&Shown::new(&key, None, now)) } else { print(&lines(&key, now)) }
}

/// Opens the store with its secret and runs one piece of provisioning.
pub(super) fn provision<T>(
    session: &Session,
    work: impl FnOnce(&mut Provisioning<'_>) -> Result<T, KeyError>,
) -> anyhow::Result<(Store, T)> {
    let (mut store, secret) = Store::open_with_secret(&session.folder, session.busy_timeout())?;
    let value = work(&mut Provisioning {
        store: &mut store,
        secret: &secret,
        brand: &session.config.api.brand,
        clock: &SystemClock,
        rng: &mut rand::rng(),
    })?;
    Ok((store, value))
}

/// A change that is to be told.
struct Told<'a> {
    record: &'a KeyRecord,
    secret: Option<&'a KeySecret>,
    change: Committed,
    replaced: Option<Replaced>,
    already_revoked: Option<bool>,
}

impl<'a> Told<'a> {
    fn of(record: &'a KeyRecord, secret: Option<&'a KeySecret>, change: Committed) -> Self {
        Self { record, secret, change, replaced: None, already_revoked: None }
    }

    /// Waits for the running servers and tells what was done. A key whose text nobody could read is a
    /// failure, whatever became of the output: it is there, and it is good.
    fn tell(self, store: &Store, session: &Session, after: After) -> anyhow::Result<()> {
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
            let (replaced, already_revoked) = (self.replaced, self.already_revoked);
            return print_json(&Answer { key, replaced, already_revoked, applied });
        }
        let mut text = String::new();
        if let Some(secret) = self.secret {
            let shown = format!("The key, shown this once:\n\n  {}\n\n", secret.expose());
            text.push_str(&shown);
        }
        text.push_str(&lines(self.record, now));
        if self.already_revoked == Some(true) {
            text.push_str("\nit was revoked before; nothing was changed\n");
        }
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

impl TryFrom<Settings> for KeyUpdate {
    type Error = clap::Error;

    fn try_from(settings: Settings) -> Result<Self, Self::Error> {
        let allow = settings.allow.map(|networks| {
            let any = networks.contains(&Setting::Unset);
            let listed: Vec<IpNet> = networks.into_iter().filter_map(Into::into).collect();
            if any && !listed.is_empty() {
                let text = "--allow takes networks or `any`, not both\n";
                return Err(clap::Error::raw(clap::error::ErrorKind::ArgumentConflict, text));
            }
            Ok(listed)
        });
        Ok(Self {
            permissions: settings.permissions.map(|permissions| union(&permissions)),
            allow: allow.transpose()?,
            not_before: settings.not_before.map(Into::into),
            expires: settings.expires.map(Into::into),
            rate: settings.rate.map(Into::into),
            name: settings.name,
        })
    }
}

fn union(permissions: &[ApiAccessPermission]) -> ApiAccessPermission {
    permissions.iter().fold(ApiAccessPermission::empty(), |all, one| all | *one)
}
