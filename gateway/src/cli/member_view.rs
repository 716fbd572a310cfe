//! Organizations, roles and members as commands name and print them.

use jiff::Timestamp;
use permissions::{MembershipId, PartnerId, UserId};
use serde::Serialize;

use super::Session;
use super::applied::{self, After, Applied};
use super::output::{pairs, print, print_json, second, table};
use crate::clock::SystemClock;
use crate::provisioning::{self, Committed, ProvisioningError};
use crate::store::people::Member;
use crate::store::{Partner, Store};

/// The organization of this name or id.
pub(super) fn find(store: &mut Store, name_or_id: &str) -> Result<Partner, ProvisioningError> {
    let found = store.find_partner(name_or_id)?;
    found.ok_or_else(|| ProvisioningError::UnknownPartner(name_or_id.to_owned()))
}

/// A member in `--json`.
#[derive(Serialize)]
pub(super) struct MemberView {
    id: MembershipId,
    pub(super) user_id: UserId,
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
