//! People: users, who is a member of which organization, and roles.

use jiff::Timestamp;
use permissions::{
    ApiAccessPermission, BuiltInRole, CustomRole, Environment, Identity, Membership, MembershipId, PartnerId,
    RoleId, RoleOf, User, UserId,
};
use rand::CryptoRng;
use serde_json::{Value, json};

use super::organizations::find_organization;
use super::rules::{check_email, check_name, not_found};
use super::{Actor, Committed, Done, ProvisioningError, audit, new_uuid, now, write};
use crate::clock::Clock;
use crate::store::people::{Member, MemberFilter};
use crate::store::{Partner, Store, Write};

/// A person to be made a member.
#[derive(Clone, Debug)]
pub struct NewMember {
    /// The name that others see.
    pub name: String,
    /// An e-mail address.
    pub email: Option<String>,
    /// How the identity provider names the person, where one vouches.
    pub identity: Option<Identity>,
    /// The organization.
    pub organization: PartnerId,
    /// The role there.
    pub role: RoleOf,
}

/// Creates a user as a member of an organization.
///
/// # Errors
/// A rule that it would break, or an error of the store.
pub fn create_user(
    store: &mut Store,
    clock: &dyn Clock,
    rng: &mut dyn CryptoRng,
    actor: &Actor,
    new: NewMember,
) -> Result<(Member, Committed), ProvisioningError> {
    let now = now(clock);
    let (user, membership) = (UserId(new_uuid(rng, now)), MembershipId(new_uuid(rng, now)));
    write(store, clock, now, |write| add_member(write, actor, now, (user, membership), &new))
}

/// Adds a member, creating the user unless the identity is that of one. For transactions that do more than this.
pub(super) fn add_member(
    write: &mut dyn Write,
    actor: &Actor,
    now: Timestamp,
    (user, membership): (UserId, MembershipId),
    new: &NewMember,
) -> Result<Member, ProvisioningError> {
    if !actor.acts_for(new.organization) {
        return Err(not_found("organization", new.organization));
    }
    let organization = find_organization(write, new.organization)?;
    actor.require_for_people(now)?;
    require_role(write, actor, &organization, new.role)?;
    let known = match &new.identity {
        Some(identity) => write.find_user(identity)?,
        None => None,
    };
    let user = match known {
        Some(user) => user,
        None => {
            let email = new.email.as_deref().map(check_email).transpose()?;
            let user = User { id: user, name: check_name(&new.name)?, email, created: now };
            write.insert_user(&user)?;
            if let Some(identity) = &new.identity {
                write.add_identity(user.id, identity)?;
            }
            user
        }
    };
    join(write, actor, now, user, membership, (organization.id, new.role))
}

/// Makes a user a member. Whether the actor may do so was checked before.
pub(super) fn join(
    write: &mut dyn Write,
    actor: &Actor,
    now: Timestamp,
    user: User,
    membership: MembershipId,
    (organization, role): (PartnerId, RoleOf),
) -> Result<Member, ProvisioningError> {
    let membership = Membership { id: membership, user: user.id, organization, role, created: now };
    if !write.insert_membership(&membership)? {
        return Err(ProvisioningError::MemberExists);
    }
    let after = json!({ "user": user.id, "name": user.name, "role": role_name(write, role)? });
    record(
        write,
        actor,
        "member.add",
        organization,
        format!("member:{}", membership.id),
        (None, Some(&after)),
    )?;
    Ok(Member { membership, user })
}

/// The members of an organization, the oldest first.
///
/// # Errors
/// Errors of the store.
pub fn list_members(
    store: &mut Store,
    actor: &Actor,
    organization: PartnerId,
) -> Result<Vec<Member>, ProvisioningError> {
    if !actor.acts_for(organization) {
        return Ok(Vec::new());
    }
    let filter = MemberFilter { organization: Some(organization), ..MemberFilter::default() };
    Ok(store.list_members(filter)?)
}

/// Changes a member's role. It acts on all of the member's tokens and sessions at once.
///
/// # Errors
/// No such member or role, a role with more than the actor has, the last owner, or an error of the store.
pub fn change_member(
    store: &mut Store,
    clock: &dyn Clock,
    actor: &Actor,
    id: MembershipId,
    role: RoleOf,
) -> Result<(Member, Committed), ProvisioningError> {
    let now = now(clock);
    write(store, clock, now, |write| {
        let member = find_member(write, actor, id)?;
        actor.require_for_people(now)?;
        let organization = find_organization(write, member.membership.organization)?;
        require_role(write, actor, &organization, role)?;
        // Nobody takes a role away that exceeds their own.
        require_role(write, actor, &organization, member.membership.role)?;
        if member.membership.role != role {
            require_another_owner(write, &member, Some(role))?;
            write.set_role_of(id, role)?;
            let name =
                |write: &mut dyn Write, role| role_name(write, role).map(|name| json!({ "role": name }));
            let (before, after) = (name(write, member.membership.role)?, name(write, role)?);
            let target = format!("member:{id}");
            record(write, actor, "member.change", organization.id, target, (Some(&before), Some(&after)))?;
        }
        find_member(write, actor, id)
    })
}

/// Removes a member, and with the membership every app token and session in this organization.
///
/// # Errors
/// No such member, one with a role that exceeds the actor's, the last owner, or an error of the store.
pub fn remove_member(
    store: &mut Store,
    clock: &dyn Clock,
    actor: &Actor,
    id: MembershipId,
) -> Result<(Member, Committed), ProvisioningError> {
    let now = now(clock);
    write(store, clock, now, |write| {
        let member = find_member(write, actor, id)?;
        let is_self =
            actor.caller().and_then(|caller| caller.person).is_some_and(|person| person.membership == id);
        if !is_self {
            actor.require_for_people(now)?;
            let organization = find_organization(write, member.membership.organization)?;
            require_role(write, actor, &organization, member.membership.role)?;
        }
        require_another_owner(write, &member, None)?;
        write.remove_membership(id)?;
        let role = role_name(write, member.membership.role)?;
        let before = json!({ "user": member.user.id, "name": member.user.name, "role": role });
        let organization = member.membership.organization;
        record(write, actor, "member.remove", organization, format!("member:{id}"), (Some(&before), None))?;
        Ok(member)
    })
}

/// The roles that an organization has made, by name. The built-in ones are [`BuiltInRole::ALL`].
///
/// # Errors
/// Errors of the store.
pub fn list_roles(
    store: &mut Store,
    actor: &Actor,
    organization: PartnerId,
) -> Result<Vec<CustomRole>, ProvisioningError> {
    if !actor.acts_for(organization) {
        return Ok(Vec::new());
    }
    Ok(store.list_roles(Some(organization))?)
}

/// Creates a role.
///
/// # Errors
/// A name that breaks the rules or is taken, permissions that the actor does not have, or an error of the store.
pub fn create_role(
    store: &mut Store,
    clock: &dyn Clock,
    rng: &mut dyn CryptoRng,
    actor: &Actor,
    organization: PartnerId,
    name: &str,
    permissions: ApiAccessPermission,
) -> Result<(CustomRole, Committed), ProvisioningError> {
    let now = now(clock);
    let name = check_name(name)?;
    if BuiltInRole::ALL.iter().any(|role| role.name() == name) || name.parse::<RoleId>().is_ok() {
        return Err(ProvisioningError::RoleExists(name));
    }
    let id = RoleId(new_uuid(rng, now));
    write(store, clock, now, |write| {
        let organization = find_organization(write, organization)?;
        if !actor.acts_for(organization.id) {
            return Err(not_found("organization", organization.id));
        }
        actor.require_for_people(now)?;
        require_within_either(write, actor, &organization, permissions)?;
        let role =
            CustomRole { id, organization: organization.id, name: name.clone(), permissions, created: now };
        if !write.insert_role(&role)? {
            return Err(ProvisioningError::RoleExists(name.clone()));
        }
        let after = json!({ "name": name, "permissions": permissions });
        record(write, actor, "role.create", organization.id, format!("role:{id}"), (None, Some(&after)))?;
        Ok(role)
    })
}

/// Changes the permissions of a role. It acts on every member who has it, at once.
///
/// # Errors
/// No such role, permissions that the actor does not have, or an error of the store.
pub fn change_role(
    store: &mut Store,
    clock: &dyn Clock,
    actor: &Actor,
    id: RoleId,
    permissions: ApiAccessPermission,
) -> Result<(CustomRole, Committed), ProvisioningError> {
    let now = now(clock);
    write(store, clock, now, |write| {
        let role = find_role(write, actor, id)?;
        actor.require_for_people(now)?;
        let organization = find_organization(write, role.organization)?;
        require_within_either(write, actor, &organization, permissions - role.permissions)?;
        write.set_role(id, permissions)?;
        let (before, after) =
            (json!({ "permissions": role.permissions }), json!({ "permissions": permissions }));
        let target = format!("role:{id}");
        record(write, actor, "role.change", role.organization, target, (Some(&before), Some(&after)))?;
        find_role(write, actor, id)
    })
}

/// Removes a role that nobody has.
///
/// # Errors
/// No such role, one in use, or an error of the store.
pub fn remove_role(
    store: &mut Store,
    clock: &dyn Clock,
    actor: &Actor,
    id: RoleId,
) -> Result<(CustomRole, Committed), ProvisioningError> {
    let now = now(clock);
    write(store, clock, now, |write| {
        let role = find_role(write, actor, id)?;
        actor.require_for_people(now)?;
        if !write.remove_role(id)? {
            return Err(ProvisioningError::RoleInUse);
        }
        let before = json!({ "name": role.name, "permissions": role.permissions });
        record(write, actor, "role.remove", role.organization, format!("role:{id}"), (Some(&before), None))?;
        Ok(role)
    })
}

/// The role of this name in an organization: a built-in one, or one of its own.
///
/// # Errors
/// There is none, or an error of the store.
pub fn find_role_by_name(
    store: &mut (impl crate::store::people::People + ?Sized),
    organization: PartnerId,
    name: &str,
) -> Result<RoleOf, ProvisioningError> {
    if let Some(role) = BuiltInRole::ALL.into_iter().find(|role| role.name() == name) {
        return Ok(RoleOf::BuiltIn(role));
    }
    let own = store.list_roles(Some(organization))?.into_iter().find(|role| role.name == name);
    Ok(RoleOf::Custom(own.ok_or_else(|| not_found("role", name))?.id))
}

/// The name by which people know a role.
///
/// # Errors
/// Errors of the store.
pub fn role_name(
    store: &mut (impl crate::store::people::People + ?Sized),
    role: RoleOf,
) -> Result<String, ProvisioningError> {
    Ok(match role {
        RoleOf::BuiltIn(role) => role.name().to_owned(),
        RoleOf::Custom(id) => store.role(id)?.map_or_else(|| id.to_string(), |role| role.name),
    })
}

/// Checks that a role exists in the organization, and that the actor has everything that it allows there.
pub(super) fn require_role(
    write: &mut dyn Write,
    actor: &Actor,
    organization: &Partner,
    role: RoleOf,
) -> Result<(), ProvisioningError> {
    let permissions = match role {
        RoleOf::BuiltIn(role) => role.permissions(),
        RoleOf::Custom(id) => {
            let role = write.role(id)?.filter(|role| role.organization == organization.id);
            role.ok_or_else(|| not_found("role", id))?.permissions
        }
    };
    // A role's permissions beyond the ceiling grant nothing; what counts is what they grant.
    Environment::ALL.into_iter().try_for_each(|environment| {
        let effective = permissions & organization.ceiling(environment);
        actor.require_within(write, organization, environment, effective)
    })
}

/// Checks that the actor may give permissions that apply in whichever environment they were granted.
fn require_within_either(
    write: &mut dyn Write,
    actor: &Actor,
    organization: &Partner,
    permissions: ApiAccessPermission,
) -> Result<(), ProvisioningError> {
    let [staging, production] = Environment::ALL.map(|environment| organization.ceiling(environment));
    let missing = permissions - (staging | production);
    if !missing.is_empty() {
        return Err(ProvisioningError::Exceeds { missing, environment: Environment::Production });
    }
    Environment::ALL.into_iter().try_for_each(|environment| {
        let effective = permissions & organization.ceiling(environment);
        actor.require_within(write, organization, environment, effective)
    })
}

/// Checks that an owner is left when this member gets another role, or none.
fn require_another_owner(
    write: &mut dyn Write,
    member: &Member,
    next: Option<RoleOf>,
) -> Result<(), ProvisioningError> {
    const OWNER: RoleOf = RoleOf::BuiltIn(BuiltInRole::Owner);
    if member.membership.role != OWNER || next == Some(OWNER) {
        return Ok(());
    }
    let filter =
        MemberFilter { organization: Some(member.membership.organization), ..MemberFilter::default() };
    let members = write.list_members(filter)?;
    let is_other_owner =
        |other: &Member| other.membership.role == OWNER && other.membership.id != member.membership.id;
    if members.iter().any(is_other_owner) { Ok(()) } else { Err(ProvisioningError::LastOwner) }
}

/// The member, if the actor sees it.
pub(super) fn find_member(
    write: &mut dyn Write,
    actor: &Actor,
    id: MembershipId,
) -> Result<Member, ProvisioningError> {
    let member = write.member(id)?.filter(|member| actor.acts_for(member.membership.organization));
    member.ok_or_else(|| not_found("member", id))
}

fn find_role(write: &mut dyn Write, actor: &Actor, id: RoleId) -> Result<CustomRole, ProvisioningError> {
    let role = write.role(id)?.filter(|role| actor.acts_for(role.organization));
    role.ok_or_else(|| not_found("role", id))
}

pub(super) fn record(
    write: &mut dyn Write,
    actor: &Actor,
    action: &'static str,
    organization: PartnerId,
    target: String,
    (before, after): (Option<&Value>, Option<&Value>),
) -> Result<(), ProvisioningError> {
    audit(write, actor, &Done { action, organization: Some(organization), target, before, after })
}
