//! `org create|list|rename|suspend|resume|remove|grant|members|change-member|remove-member`.
//!
//! A partner is an organization that calls the API; the operator's own is one too.

use clap::Subcommand;
use permissions::{ApiAccessPermission, Environment, MembershipId};
use serde::Serialize;

use super::applied::{self, After, Applied};
use super::member_view::{self, find};
use super::output::{print, print_json, second, table};
use super::{Form, Session, arguments, invite};
use crate::clock::SystemClock;
use crate::provisioning::{
    self, Actor, PartnerChange, create_partner, find_role_by_name, grant, not_found, remove_partner,
    rename_partner, resume_partner, suspend_partner,
};
use crate::store::{Partner, Store};

/// How many partners with a similar name are mentioned.
const NEAR_MAX: usize = 3;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create an organization
    #[command(after_help = "\
Examples:
  partner-gateway org create 'Acme GmbH' --json")]
    Create {
        /// The organization's name
        name: String,
        /// It is the operator's own: its members may review access requests
        #[arg(long)]
        operator: bool,
        #[command(flatten)]
        form: Form,
    },
    /// List organizations by name
    #[command(after_help = "\
Examples:
  partner-gateway org list --json")]
    List(Form),
    /// Rename an organization; its id and its keys stay
    #[command(after_help = concat!(applied::exit_code!(), "\
Examples:
  partner-gateway org rename acme 'Acme GmbH'"))]
    Rename {
        /// The organization's name or id
        #[arg(value_name = "ORG")]
        partner: String,
        /// The new name
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        after: After,
    },
    /// Refuse every key and token of an organization and close their connections, until it is resumed
    #[command(after_help = concat!(applied::exit_code!(), "\
Examples:
  partner-gateway org suspend acme"))]
    Suspend {
        /// The organization's name or id
        #[arg(value_name = "ORG")]
        partner: String,
        #[command(flatten)]
        after: After,
    },
    /// Accept the keys and tokens of a suspended organization again
    #[command(after_help = concat!(applied::exit_code!(), "\
Examples:
  partner-gateway org resume acme"))]
    Resume {
        /// The organization's name or id
        #[arg(value_name = "ORG")]
        partner: String,
        #[command(flatten)]
        after: After,
    },
    /// Remove an organization with all its keys and members
    #[command(after_help = concat!("\
Keys that are neither revoked nor expired keep an organization from being removed, unless
--revoke-keys is given. To keep the keys, suspend the organization instead.

", applied::exit_code!(), "\
Examples:
  partner-gateway org remove acme
  partner-gateway org remove acme --revoke-keys"))]
    Remove {
        /// The organization's name or id
        #[arg(value_name = "ORG")]
        partner: String,
        /// Also revoke the keys that are still active
        #[arg(long)]
        revoke_keys: bool,
        #[command(flatten)]
        after: After,
    },
    /// Set what an organization is granted in an environment
    #[command(after_help = concat!("\
No key, role or member of it exceeds that. What a key has beyond it, the key keeps but cannot use.

", applied::exit_code!(), "\
Examples:
  partner-gateway org grant acme --environment production --permission ping:read
  partner-gateway org grant acme --environment production --nothing"))]
    Grant {
        /// The organization's name or id
        #[arg(value_name = "ORG")]
        partner: String,
        /// The environment
        #[arg(long, value_name = "NAME", value_parser = arguments::environment())]
        environment: Environment,
        /// All that it is granted there; repeat for more than one
        #[arg(long = "permission", value_name = "NAME", value_delimiter = ',', required_unless_present = "nothing",
              value_parser = arguments::Permission)]
        permissions: Vec<ApiAccessPermission>,
        /// Grant nothing there
        #[arg(long, conflicts_with = "permissions")]
        nothing: bool,
        #[command(flatten)]
        after: After,
    },
    /// List the members of an organization
    #[command(after_help = "\
Examples:
  partner-gateway org members acme --json")]
    Members {
        /// The organization's name or id
        #[arg(value_name = "ORG")]
        partner: String,
        #[command(flatten)]
        form: Form,
    },
    /// Invite a person to an organization; prints the invitation's link, once
    #[command(after_help = invite::EXAMPLES)]
    Invite(invite::Invite),
    /// List and revoke invitations
    #[command(subcommand)]
    Invitation(invite::Command),
    /// Give a member another role; it applies at once to all of the member's tokens
    #[command(after_help = concat!(applied::exit_code!(), "\
Examples:
  partner-gateway org change-member 019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5e --role admin"))]
    ChangeMember {
        /// The id of the membership
        #[arg(value_name = "MEMBER")]
        member: MembershipId,
        /// The name of the role
        #[arg(long, value_name = "ROLE")]
        role: String,
        #[command(flatten)]
        after: After,
    },
    /// Remove a member, and revoke all of the member's tokens in the organization
    #[command(after_help = concat!(applied::exit_code!(), "\
Examples:
  partner-gateway org remove-member 019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5e"))]
    RemoveMember {
        /// The id of the membership
        #[arg(value_name = "MEMBER")]
        member: MembershipId,
        #[command(flatten)]
        after: After,
    },
}

/// A change to an organization in `--json`.
#[derive(Serialize)]
struct Json<'a> {
    #[serde(flatten)]
    partner: &'a Partner,
    changed: bool,
    applied: &'a Applied,
}

pub(super) fn run(command: Command, session: &Session) -> anyhow::Result<()> {
    match command {
        Command::Create { name, operator, form } => {
            // With the secret, which an empty store gets now.
            let (mut store, _) = Store::open_with_secret(&session.folder, session.busy_timeout())?;
            let created = create_partner(
                &mut store,
                &SystemClock,
                &mut rand::rng(),
                &Actor::operator(),
                &name,
                operator,
            )?;
            if form.json {
                return print_json(&created.partner);
            }
            print(&format!("organization {} was created\n", created.partner.name))
        }
        Command::List(form) => list(form, session),
        Command::Rename { partner, name, after } => {
            let mut store = session.open_to_write()?;
            let change = rename_partner(&mut store, &SystemClock, &Actor::operator(), &partner, &name)?;
            report(&mut store, session, &change, &format!("was renamed; it was `{partner}`"), after)
        }
        Command::Suspend { partner, after } => {
            let mut store = session.open_to_write()?;
            let change = suspend_partner(&mut store, &SystemClock, &Actor::operator(), &partner)?;
            report(&mut store, session, &change, "is suspended; its keys and tokens are refused", after)
        }
        Command::Resume { partner, after } => {
            let mut store = session.open_to_write()?;
            let change = resume_partner(&mut store, &SystemClock, &Actor::operator(), &partner)?;
            report(&mut store, session, &change, "is not suspended", after)
        }
        Command::Remove { partner, revoke_keys, after } => {
            let mut store = session.open_to_write()?;
            let change = remove_partner(&mut store, &SystemClock, &Actor::operator(), &partner, revoke_keys)?;
            report(&mut store, session, &change, "was removed with all its keys", after)
        }
        Command::Grant { partner, environment, permissions, nothing: _, after } => {
            let mut store = session.open_to_write()?;
            let granted = permissions.into_iter().fold(ApiAccessPermission::empty(), |all, one| all | one);
            let actor = Actor::operator();
            let change = grant(&mut store, &SystemClock, &actor, &partner, environment, granted)?;
            let what = if granted.is_empty() { "nothing".to_owned() } else { granted.to_string() };
            report(&mut store, session, &change, &format!("is granted in {environment}: {what}"), after)
        }
        Command::Invite(arguments) => invite::invite(arguments, session),
        Command::Invitation(command) => invite::run(command, session),
        Command::Members { partner, form } => members(&partner, form, session),
        Command::ChangeMember { member, role, after } => {
            let mut store = session.open_to_write()?;
            let found = store.member(member)?;
            let found = found.ok_or_else(|| not_found("member", member))?;
            let role = find_role_by_name(&mut *store, found.membership.organization, &role)?;
            let (member, change) =
                provisioning::change_member(&mut store, &SystemClock, &Actor::operator(), member, role)?;
            member_view::report(&mut store, session, &member, change, "has another role", after)
        }
        Command::RemoveMember { member, after } => {
            let mut store = session.open_to_write()?;
            let (member, change) =
                provisioning::remove_member(&mut store, &SystemClock, &Actor::operator(), member)?;
            member_view::report(&mut store, session, &member, change, "was removed with all tokens", after)
        }
    }
}

fn list(form: Form, session: &Session) -> anyhow::Result<()> {
    let mut store = Store::open_existing(&session.folder, session.busy_timeout())?;
    let partners = store.list_partners()?;
    if form.json {
        return print_json(&serde_json::json!({ "organizations": partners }));
    }
    let row = |partner: Partner| {
        let state = if partner.suspended.is_some() { "suspended" } else { "active" };
        let (created, keys) = (second(partner.created), partner.keys.to_string());
        vec![partner.name, state.to_owned(), created, keys, partner.id.to_string()]
    };
    let rows: Vec<Vec<String>> = partners.into_iter().map(row).collect();
    print(&table(&["NAME", "STATE", "CREATED", "KEYS", "ID"], &rows))
}

fn members(partner: &str, form: Form, session: &Session) -> anyhow::Result<()> {
    let mut store = Store::open_existing(&session.folder, session.busy_timeout())?;
    let organization = find(&mut store, partner)?;
    let members = provisioning::list_members(&mut store, &Actor::operator(), organization.id)?;
    let views = members.iter().map(|member| member_view::MemberView::new(&mut store, member));
    let views = views.collect::<anyhow::Result<Vec<_>>>()?;
    if form.json {
        return print_json(&serde_json::json!({ "members": views }));
    }
    print(&member_view::table_of(&views))
}

/// Waits for the running servers and prints the report.
fn report(
    store: &mut Store,
    session: &Session,
    PartnerChange { partner, changed, change }: &PartnerChange,
    done: &str,
    after: After,
) -> anyhow::Result<()> {
    let applied = applied::wait(store, session.stale_after(), &SystemClock, *change, after.wait)?;
    if after.form.json {
        print_json(&Json { partner, changed: *changed, applied: &applied })?;
    } else if *changed {
        print(&format!("organization {} {done}\n{}", partner.name, applied.lines()))?;
    } else {
        print(&format!("organization {}: nothing was changed\n", partner.name))?;
    }
    applied.require_all()
}

/// The note about a partner that was created because a key named it, which may be a typing error.
pub(super) fn created_with_a_key(name: &str, partners: &[Partner]) -> String {
    let near = near(name, partners);
    if near.is_empty() {
        return format!("note: `{name}` is a new partner; it was created with this key");
    }
    let near: Vec<String> = near.iter().map(|name| format!("`{name}`")).collect();
    format!(
        "note: `{name}` is a new partner; it was created with this key. There was {} before: if that was meant, revoke this key and create another",
        near.join(", ")
    )
}

/// The other partners whose names may have been meant, the most similar first.
fn near<'a>(name: &str, partners: &'a [Partner]) -> Vec<&'a str> {
    let plain = |name: &str| name.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase();
    let wanted = plain(name);
    let mut near: Vec<(usize, &str)> = partners
        .iter()
        .filter(|partner| partner.name != name)
        .map(|partner| {
            let other = plain(&partner.name);
            let letters = wanted.chars().count().max(other.chars().count());
            (strsim::damerau_levenshtein(&wanted, &other), letters, partner.name.as_str())
        })
        .filter(|(distance, letters, _)| *distance <= letters / 4 + usize::from(*letters < 8))
        .map(|(distance, _, name)| (distance, name))
        .collect();
    near.sort_unstable();
    near.into_iter().take(NEAR_MAX).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::{NOW, PARTNER};

    fn partners(names: &[&str]) -> Vec<Partner> {
        let partner = |name: &&str| Partner {
            is_operator: false,
            granted: Default::default(),
            id: PARTNER,
            name: (*name).to_owned(),
            created: NOW,
            suspended: None,
            keys: 1,
        };
        names.iter().map(partner).collect()
    }

    #[test]
    fn a_typing_error_is_similar() {
        let partners = partners(&["acme", "Acme GmbH", "first-partner", "Zürich", "b"]);
        for (name, expected) in [
            ("acne", &["acme"][..]),
            ("ACME", &["acme"]),
            ("amce", &["acme"]),
            ("acme gmbh", &["Acme GmbH"]),
            ("AcmeGmbH", &["Acme GmbH"]),
            ("firstpartner", &["first-partner"]),
            ("Zurich", &["Zürich"]),
            ("Globex", &[]),
            ("acme", &[]),
        ] {
            assert_eq!(near(name, &partners), expected, "{name}");
        }
    }

    #[test]
    fn the_note_names_both_partners() {
        let note = created_with_a_key("acne", &partners(&["acme", "acne"]));
        assert!(note.contains("`acne` is a new partner") && note.contains("`acme`"), "{note}");
        assert!(!created_with_a_key("new", &partners(&["new"])).contains("before"));
    }
}
