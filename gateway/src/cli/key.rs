//! `key create|list|show|rotate|revoke|update`.
//!
//! Each change is on disk before it is reported, and the report lists the running servers that have applied
//! it. Only `create` and `rotate` print the text of a key, once.

use std::time::Duration;

use clap::{Args, Subcommand};
use ipnet::IpNet;
use jiff::Timestamp;
use permissions::{ApiAccessPermission, Environment, KeyId, KeyRecord, OnRetired, Rate};
use serde::Serialize;

use super::applied::{self, After};
use super::arguments::{self, Setting};
use super::change_report::{ChangeReport, Replaced};
use super::exit::eprintln_quietly;
use super::key_view::{KeyState, KeyView, lines, permission_list};
use super::output::{print, print_json, second_or_dash, table};
use super::{Form, Session, org};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Sources};
use crate::provisioning::{self, Actor, Created, KeyUpdate, NewKey, Provisioning, ProvisioningError};
use crate::store::{KeyFilter, Store};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create a key, and its partner if that is new; prints the key's text, once
    #[command(after_help = concat!(applied::exit_code!(), "\
Examples:
  partner-gateway key create --partner acme --environment staging --permission ping:read
  partner-gateway key create --partner acme --environment production \\
      --permission ping:read,connection:read --expires 2027-01-01T00:00:00Z \\
      --allow 192.0.2.0/24 --rate 50/s+100 --name 'billing' --json"))]
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
        #[arg(value_parser = arguments::Id)]
        id: KeyId,
        #[command(flatten)]
        form: Form,
    },
    /// Replace a key by a new one with the same settings; prints the new key's text, once
    #[command(after_help = concat!("\
The new key has another id. Without --overlap the old key is revoked at once and its
connections are closed; with it, both are accepted until the overlap ends.

", applied::exit_code!(), "\
Examples:
  partner-gateway key rotate 019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b --overlap 24h"))]
    Rotate {
        /// The old key's id
        #[arg(value_parser = arguments::Id)]
        id: KeyId,
        /// How long the old key stays valid
        #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = arguments::span)]
        overlap: Duration,
        #[command(flatten)]
        after: After,
    },
    /// Revoke a key permanently and close its connections
    #[command(after_help = concat!(applied::exit_code!(), "\
Examples:
  partner-gateway key revoke 019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b --json"))]
    Revoke {
        /// The key's id
        #[arg(value_parser = arguments::Id)]
        id: KeyId,
        #[command(flatten)]
        after: After,
    },
    /// Change settings of a key; those that are not named stay
    #[command(
        override_usage = "partner-gateway key update <ID> [OPTIONS]",
        after_help = concat!(applied::exit_code!(), "\
Examples:
  partner-gateway key update 019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b --permission ping:read
  partner-gateway key update 019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b --allow any --expires never --rate default")
    )]
    Update {
        /// The key's id
        #[arg(value_parser = arguments::Id)]
        id: KeyId,
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        after: After,
    },
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// The partner that holds it, by name or id; created if the name is new
    #[arg(long, value_name = "NAME")]
    partner: String,
    /// Its environment
    #[arg(long, value_name = "NAME", value_parser = arguments::environment())]
    environment: Environment,
    /// Its permissions, separated by spaces or commas
    #[arg(long = "permission", value_name = "NAME", required = true, num_args = 1.., value_delimiter = ',', value_parser = arguments::Permission)]
    permissions: Vec<ApiAccessPermission>,
    /// When it expires
    #[arg(long, value_name = "RFC3339", value_parser = arguments::moment)]
    expires: Option<Timestamp>,
    /// When it becomes valid
    #[arg(long, value_name = "RFC3339", value_parser = arguments::moment)]
    not_before: Option<Timestamp>,
    /// The networks that it can be used from, separated by spaces or commas [default: any]
    #[arg(long, value_name = "CIDR", num_args = 1.., value_delimiter = ',', value_parser = arguments::network)]
    allow: Vec<IpNet>,
    /// Its rate limit: 50/s, or 50/s+100 with a burst of 100
    #[arg(long, value_name = "N/s", value_parser = arguments::rate)]
    rate: Option<Rate>,
    /// How its calls to a retired version are handled: 410, or a response of the successor
    #[arg(long, value_name = "ANSWER", value_parser = arguments::on_retired(), default_value = OnRetired::Refuse.name())]
    on_retired: OnRetired,
    /// Its name
    #[arg(long, value_name = "TEXT", default_value = "")]
    name: String,
    #[command(flatten)]
    after: After,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Only keys of this partner, by name or id
    #[arg(long, value_name = "NAME")]
    partner: Option<String>,
    /// Only keys of this environment
    #[arg(long, value_name = "NAME", value_parser = arguments::environment())]
    environment: Option<Environment>,
    #[command(flatten)]
    form: Form,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(super) struct Settings {
    /// Its new permissions, all of them, separated by spaces or commas
    #[arg(long = "permission", value_name = "NAME", num_args = 1.., value_delimiter = ',', value_parser = arguments::Permission)]
    permissions: Option<Vec<ApiAccessPermission>>,
    /// The networks that it can be used from, all of them, separated by spaces or commas; or `any`
    #[arg(long, value_name = "CIDR", num_args = 1.., value_delimiter = ',', value_parser = arguments::network_or_any)]
    allow: Option<Vec<Setting<IpNet>>>,
    /// When it becomes valid, or `none`
    #[arg(long, value_name = "RFC3339", value_parser = arguments::not_before)]
    not_before: Option<Setting<Timestamp>>,
    /// When it expires, or `never`
    #[arg(long, value_name = "RFC3339", value_parser = arguments::expires)]
    expires: Option<Setting<Timestamp>>,
    /// Its rate limit, or `default`
    #[arg(long, value_name = "N/s", value_parser = arguments::rate_or_default)]
    rate: Option<Setting<Rate>>,
    /// How its calls to a retired version are handled: 410, or a response of the successor
    #[arg(long, value_name = "ANSWER", value_parser = arguments::on_retired())]
    on_retired: Option<OnRetired>,
    /// Its name
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
}

/// `key list --json`.
#[derive(Serialize)]
struct Keys<'a> {
    keys: Vec<KeyView<'a>>,
}

pub(super) fn run(command: Command, session: &Session) -> anyhow::Result<()> {
    match command {
        Command::Create(arguments) => create(arguments, session),
        Command::List(arguments) => list(arguments, session),
        Command::Show { id, form } => show(id, form, session),
        Command::Rotate { id, overlap, after } => {
            Store::require(&session.folder)?;
            let (mut store, created) = create_key(session, |keys| keys.rotate(id, overlap))?;
            let replaced =
                store.key(id)?.map(|old| Replaced { id, expires: old.expires, revoked: old.revoked });
            let report = ChangeReport {
                replaced,
                ..ChangeReport::new(&created.record, Some(&created.secret), created.change)
            };
            report.print(&mut store, session, after)
        }
        Command::Revoke { id, after } => {
            let mut store = session.open_to_write()?;
            let revoked = provisioning::revoke(&mut store, &SystemClock, &Actor::operator(), id)?;
            let report = ChangeReport {
                already_revoked: Some(revoked.already),
                ..ChangeReport::new(&revoked.record, None, revoked.change)
            };
            report.print(&mut store, session, after)
        }
        Command::Update { id, settings, after } => {
            let update = settings.try_into()?;
            let mut store = session.open_to_write()?;
            let updated = provisioning::update(&mut store, &SystemClock, &Actor::operator(), id, update)?;
            ChangeReport::new(&updated.record, None, updated.change).print(&mut store, session, after)
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
        on_retired: arguments.on_retired,
    };
    let (mut store, created) = create_key(session, |keys| keys.create(new))?;
    if created.partner_created {
        // The key exists: nothing may prevent that its text is printed.
        let partners = store.list_partners().unwrap_or_default();
        eprintln_quietly(&org::created_with_a_key(&created.record.partner, &partners));
    }
    let report = ChangeReport {
        partner_created: Some(created.partner_created),
        ..ChangeReport::new(&created.record, Some(&created.secret), created.change)
    };
    report.print(&mut store, session, after)
}

fn list(arguments: List, session: &Session) -> anyhow::Result<()> {
    let mut store = Store::open_existing(&session.folder, session.busy_timeout())?;
    let mut filter = KeyFilter { environment: arguments.environment, ..KeyFilter::default() };
    if let Some(name) = arguments.partner {
        filter.partner = Some(store.find_partner(&name)?.ok_or(ProvisioningError::UnknownPartner(name))?.id);
    }
    let keys = store.list_keys(&filter)?;
    let now = SystemClock.now();
    if arguments.form.json {
        let keys: Vec<KeyView<'_>> = keys.iter().map(|key| KeyView::new(key, None, now)).collect();
        return print_json(&Keys { keys });
    }
    let head =
        ["ID", "PARTNER", "ENVIRONMENT", "STATE", "ENDS WITH", "EXPIRES", "LAST USED", "PERMISSIONS", "NAME"];
    let row = |key: &KeyRecord| {
        vec![
            key.id.to_string(),
            key.partner.clone(),
            key.environment.to_string(),
            KeyState::of(key, now).name().to_owned(),
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
    let mut store = Store::open_existing(&session.folder, session.busy_timeout())?;
    let key = store.key(id)?.ok_or(ProvisioningError::Unknown(id))?;
    let now = SystemClock.now();
    if form.json { print_json(&KeyView::new(&key, None, now)) } else { print(&lines(&key, now)) }
}

/// Opens the store with its secret and creates a key of the store's brand: the server would refuse any other
/// brand.
fn create_key(
    session: &Session,
    work: impl FnOnce(&mut Provisioning<'_>) -> Result<Created, ProvisioningError>,
) -> anyhow::Result<(Store, Created)> {
    let (mut store, secret) = Store::open_with_secret(&session.folder, session.busy_timeout())?;
    let configured = &session.config.api.brand;
    // A brand that is only the configuration's default does not conflict with the store's.
    let is_default = *configured == Config::load(&Sources::default())?.api.brand;
    let brand = if is_default { store.brand(configured)? } else { store.require_brand(configured)? };
    let created = work(&mut Provisioning {
        actor: &Actor::operator(),
        store: &mut store,
        secret: &secret,
        brand: &brand,
        clock: &SystemClock,
        rng: &mut rand::rng(),
    })?;
    Ok((store, created))
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
            on_retired: settings.on_retired,
            name: settings.name,
        })
    }
}

fn union(permissions: &[ApiAccessPermission]) -> ApiAccessPermission {
    permissions.iter().fold(ApiAccessPermission::empty(), |all, one| all | *one)
}
