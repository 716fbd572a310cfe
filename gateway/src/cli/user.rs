//! `user list|create|sign-in`, and a member as commands print it.

use clap::Subcommand;
use jiff::Timestamp;
use permissions::{BuiltInRole, MembershipId, PartnerId, RoleOf, UserId};
use serde::Serialize;

use super::applied::{self, After, Applied};
use super::org::not_found;
use super::output::{pairs, print, print_json, second, table};
use super::{Form, Session, operator};
use crate::clock::SystemClock;
use crate::provisioning::{self, Committed};
use crate::store::Store;
use crate::store::people::{Member, MemberFilter};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List users with their memberships
    #[command(after_help = "\
Examples:
  partner-gateway user list --json")]
    List(Form),
    /// Create a user: of the operator, or as a member of an organization
    #[command(after_help = operator::EXAMPLES)]
    Create(Box<operator::Create>),
    /// Make a link that signs a user in, once
    #[command(after_help = operator::SIGN_IN_EXAMPLES)]
    SignIn(operator::SignIn),
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
        Command::Create(arguments) => operator::create(*arguments, session),
        Command::SignIn(arguments) => operator::sign_in(&arguments, session),
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
