//! `user list|create`, and a member as commands print it.

use clap::Subcommand;
use jiff::Timestamp;
use permissions::{BuiltInRole, Identity, MembershipId, PartnerId, RoleOf, UserId};
use serde::Serialize;

use super::applied::{self, After, Applied};
use super::org::{find, not_found};
use super::output::{pairs, print, print_json, second, table};
use super::{Form, Session};
use crate::clock::SystemClock;
use crate::provisioning::{self, Actor, Committed, NewMember};
use crate::store::Store;
use crate::store::people::{Member, MemberFilter};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List users with their memberships
    #[command(after_help = "\
Examples:
  partner-gateway user list --json")]
    List(Form),
    /// Create a user as a member of an organization
    #[command(after_help = concat!(applied::exit_code!(), "\
Examples:
  partner-gateway user create 'Ada Lovelace' --org acme --role owner --email ada@example.com
  partner-gateway user create Bob --org acme --role viewer --issuer https://id.example.com --subject 42"))]
    Create {
        /// The person's name
        name: String,
        /// The organization's name or id
        #[arg(long, value_name = "ORG")]
        org: String,
        /// The name of the role: owner, admin, developer, viewer, or one of the organization's own
        #[arg(long, value_name = "ROLE")]
        role: String,
        /// The person's e-mail address
        #[arg(long, value_name = "ADDRESS")]
        email: Option<String>,
        /// The identity provider that vouches for the person, as it is in `iss`
        #[arg(long, value_name = "URL", requires = "subject")]
        issuer: Option<String>,
        /// The person's identifier there, as it is in `sub`
        #[arg(long, value_name = "TEXT", requires = "issuer")]
        subject: Option<String>,
        #[command(flatten)]
        after: After,
    },
}

/// A member in `--json`.
#[derive(Serialize)]
pub(super) struct MemberView {
    id: MembershipId,
    user_id: UserId,
    name: String,
    email: Option<String>,
    organization: String,
    organization_id: PartnerId,
    role: String,
    joined: Timestamp,
}

impl MemberView {
    pub(super) fn new(store: &mut Store, member: &Member) -> anyhow::Result<Self> {
        let Member { membership, user } = member;
        let organization = store.find_partner(&membership.organization.to_string())?;
        Ok(Self {
            id: membership.id,
            user_id: user.id,
            name: user.name.clone(),
            email: user.email.clone(),
            organization: organization.map(|found| found.name).unwrap_or_default(),
            organization_id: membership.organization,
            role: provisioning::role_name(&mut **store, membership.role)?,
            joined: membership.created,
        })
    }
}

/// Members as a table.
pub(super) fn table_of(members: &[MemberView]) -> String {
    let row = |member: &MemberView| {
        let email = member.email.clone().unwrap_or_else(|| "-".to_owned());
        vec![
            member.name.clone(),
            email,
            member.organization.clone(),
            member.role.clone(),
            second(member.joined),
            member.id.to_string(),
        ]
    };
    let rows: Vec<_> = members.iter().map(row).collect();
    table(&["NAME", "E-MAIL", "ORGANIZATION", "ROLE", "JOINED", "MEMBER"], &rows)
}

pub(super) fn run(command: Command, session: &Session) -> anyhow::Result<()> {
    match command {
        Command::List(form) => {
            let mut store = Store::open_existing(&session.folder, session.busy_timeout())?;
            let members = store.list_members(MemberFilter::default())?;
            let views = members.iter().map(|member| MemberView::new(&mut store, member));
            let views = views.collect::<anyhow::Result<Vec<_>>>()?;
            if form.json {
                return print_json(&serde_json::json!({ "users": store.list_users()?.iter().map(|user| {
                    let of: Vec<_> = views.iter().filter(|view| view.user_id == user.id).collect();
                    serde_json::json!({
                        "id": user.id, "name": user.name, "email": user.email, "created": user.created,
                        "memberships": of,
                    })
                }).collect::<Vec<_>>() }));
            }
            print(&table_of(&views))
        }
        Command::Create { name, org, role, email, issuer, subject, after } => {
            let mut store = session.open_to_write()?;
            let organization = find(&mut store, &org)?.id;
            let role = find_role(&mut store, organization, &role)?;
            let identity = issuer.zip(subject).map(|(issuer, subject)| Identity { issuer, subject });
            let new = NewMember { name, email, identity, organization, role };
            let (member, change) = provisioning::create_user(
                &mut store,
                &SystemClock,
                &mut rand::rng(),
                &Actor::operator(),
                new,
            )?;
            report(&mut store, session, &member, change, "was created", after)
        }
    }
}

/// The role of this name in an organization.
pub(super) fn find_role(store: &mut Store, organization: PartnerId, name: &str) -> anyhow::Result<RoleOf> {
    if let Some(role) = BuiltInRole::ALL.into_iter().find(|role| role.name() == name) {
        return Ok(RoleOf::BuiltIn(role));
    }
    let own = store.list_roles(Some(organization))?.into_iter().find(|role| role.name == name);
    Ok(RoleOf::Custom(own.ok_or_else(|| not_found("role", name.to_owned()))?.id))
}

/// Waits for the running servers and prints the member.
pub(super) fn report(
    store: &mut Store,
    session: &Session,
    member: &Member,
    change: Committed,
    done: &str,
    after: After,
) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Json<'a> {
        #[serde(flatten)]
        member: &'a MemberView,
        applied: &'a Applied,
    }
    let view = MemberView::new(store, member)?;
    let applied = applied::wait(store, session.stale_after(), &SystemClock, change, after.wait)?;
    if after.form.json {
        print_json(&Json { member: &view, applied: &applied })?;
    } else {
        let lines = pairs(&[
            ("organization", view.organization.clone()),
            ("role", view.role.clone()),
            ("member", view.id.to_string()),
            ("user", view.user_id.to_string()),
        ]);
        print(&format!("{} {done}\n{lines}\n{}", view.name, applied.lines()))?;
    }
    applied.require_all()
}
