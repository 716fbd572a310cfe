//! `role list|create|update|remove`.

use clap::Subcommand;
use permissions::{ApiAccessPermission, BuiltInRole, CustomRole, RoleId};
use serde_json::json;

use super::applied::{self, After};
use super::member_view::find;
use super::output::{print, print_json, table};
use super::{Form, Session, arguments};
use crate::clock::SystemClock;
use crate::provisioning::{self, Actor, Committed};
use crate::store::Store;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the roles of an organization, built-in ones first
    #[command(after_help = "\
Examples:
  partner-gateway role list --org acme --json")]
    List {
        /// The organization's name or id; without one, only the built-in roles
        #[arg(long, value_name = "ORG")]
        org: Option<String>,
        #[command(flatten)]
        form: Form,
    },
    /// Create a role of an organization's own
    #[command(after_help = concat!(applied::exit_code!(), "\
Examples:
  partner-gateway role create monitoring --org acme --permission ping:read"))]
    Create {
        /// The role's name
        name: String,
        /// The organization's name or id
        #[arg(long, value_name = "ORG")]
        org: String,
        /// Its permissions; repeat for more than one
        #[arg(long = "permission", value_name = "NAME", value_delimiter = ',', required = true,
              value_parser = arguments::Permission)]
        permissions: Vec<ApiAccessPermission>,
        #[command(flatten)]
        after: After,
    },
    /// Change the permissions of a role; it applies at once to every member who has it
    #[command(after_help = concat!(applied::exit_code!(), "\
Examples:
  partner-gateway role update 019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5f --permission ping:read"))]
    Update {
        /// The role's id
        #[arg(value_name = "ROLE")]
        role: RoleId,
        /// All of its permissions; repeat for more than one
        #[arg(long = "permission", value_name = "NAME", value_delimiter = ',', required = true,
              value_parser = arguments::Permission)]
        permissions: Vec<ApiAccessPermission>,
        #[command(flatten)]
        after: After,
    },
    /// Remove a role that nobody has
    #[command(after_help = concat!(applied::exit_code!(), "\
Examples:
  partner-gateway role remove 019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5f"))]
    Remove {
        /// The role's id
        #[arg(value_name = "ROLE")]
        role: RoleId,
        #[command(flatten)]
        after: After,
    },
}

pub(super) fn run(command: Command, session: &Session) -> anyhow::Result<()> {
    let (clock, actor) = (&SystemClock, &Actor::operator());
    let union = |permissions: Vec<ApiAccessPermission>| {
        permissions.into_iter().fold(ApiAccessPermission::empty(), |all, one| all | one)
    };
    match command {
        Command::List { org, form } => list(org.as_deref(), form, session),
        Command::Create { name, org, permissions, after } => {
            let mut store = session.open_to_write()?;
            let organization = find(&mut store, &org)?.id;
            let permissions = union(permissions);
            let rng = &mut rand::rng();
            let (role, change) =
                provisioning::create_role(&mut store, clock, rng, actor, organization, &name, permissions)?;
            report(&mut store, session, &role, change, "was created", after)
        }
        Command::Update { role, permissions, after } => {
            let mut store = session.open_to_write()?;
            let (role, change) =
                provisioning::change_role(&mut store, clock, actor, role, union(permissions))?;
            report(&mut store, session, &role, change, "was changed", after)
        }
        Command::Remove { role, after } => {
            let mut store = session.open_to_write()?;
            let (role, change) = provisioning::remove_role(&mut store, clock, actor, role)?;
            report(&mut store, session, &role, change, "was removed", after)
        }
    }
}

fn view(role: &CustomRole) -> serde_json::Value {
    json!({
        "id": role.id,
        "name": role.name,
        "organization_id": role.organization,
        "permissions": role.permissions,
        "created": role.created,
    })
}

fn list(org: Option<&str>, form: Form, session: &Session) -> anyhow::Result<()> {
    let custom = match org {
        Some(org) => {
            let mut store = Store::open_existing(&session.folder, session.busy_timeout())?;
            let organization = find(&mut store, org)?.id;
            store.list_roles(Some(organization))?
        }
        None => Vec::new(),
    };
    if form.json {
        let built_in = BuiltInRole::ALL
            .map(|role| json!({ "id": null, "name": role.name(), "permissions": role.permissions() }));
        let roles: Vec<_> = built_in.into_iter().chain(custom.iter().map(view)).collect();
        return print_json(&json!({ "roles": roles }));
    }
    let built_in = BuiltInRole::ALL
        .map(|role| vec![role.name().to_owned(), "built in".to_owned(), role.permissions().to_string()]);
    let own =
        custom.iter().map(|role| vec![role.name.clone(), role.id.to_string(), role.permissions.to_string()]);
    let rows: Vec<_> = built_in.into_iter().chain(own).collect();
    print(&table(&["NAME", "ID", "PERMISSIONS"], &rows))
}

fn report(
    store: &mut Store,
    session: &Session,
    role: &CustomRole,
    change: Committed,
    done: &str,
    after: After,
) -> anyhow::Result<()> {
    let applied = applied::wait(store, session.stale_after(), &SystemClock, change, after.wait)?;
    if after.form.json {
        let mut json = view(role);
        json["applied"] = serde_json::to_value(&applied)?;
        print_json(&json)?;
    } else {
        let CustomRole { name, id, permissions, .. } = role;
        print(&format!(
            "role {name} {done}\n  id           {id}\n  permissions  {permissions}\n\n{}",
            applied.lines()
        ))?;
    }
    applied.require_all()
}
