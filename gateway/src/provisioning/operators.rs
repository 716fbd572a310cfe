//! Signing in without an identity provider: the first operator, and links that sign a user in once.

use std::time::Duration;

use permissions::{BuiltInRole, MembershipId, PartnerId, RoleOf, ServerSecret, User, UserId};
use rand::CryptoRng;

use super::links::{self, LinkState, NewLink};
use super::organizations;
use super::people::{NewMember, add_member};
use super::rules::{check_partner_name, not_found};
use super::{Actor, Committed, Done, ProvisioningError, audit, new_uuid, now, write};
use crate::clock::Clock;
use crate::store::people::Member;
use crate::store::requests::LinkKind;
use crate::store::{Partner, Store};

/// How long a sign-in link works.
pub const SIGN_IN_LIFETIME: Duration = Duration::from_secs(10 * 60);
/// The operator's organization, unless it gets another name.
pub const OPERATOR_ORGANIZATION: &str = "operator";

/// A person of the operator's.
#[derive(Clone, Debug)]
pub struct NewOperator {
    /// The name that others see.
    pub name: String,
    /// An e-mail address.
    pub email: Option<String>,
    /// The name of the operator's organization, if there is none yet.
    pub organization: String,
}

/// A user of the operator's organization, who can sign in once by the link.
#[derive(Clone, Debug)]
pub struct NewOperatorUser {
    /// The user as a member.
    pub member: Member,
    /// The operator's organization.
    pub organization: Partner,
    /// Whether it was created.
    pub organization_created: bool,
    /// The link. Its code is available only here.
    pub link: NewLink,
    /// The write.
    pub change: Committed,
}

/// Creates an owner of the operator's organization, and that too if there is none.
///
/// # Errors
/// A name or an address that breaks the rules, the name of another organization, or an error of the store.
pub fn create_operator(
    store: &mut Store,
    clock: &dyn Clock,
    rng: &mut dyn CryptoRng,
    secret: &ServerSecret,
    actor: &Actor,
    new: &NewOperator,
) -> Result<NewOperatorUser, ProvisioningError> {
    actor.require_operator()?;
    let now = now(clock);
    let name = check_partner_name(&new.organization)?;
    let new_organization = PartnerId(new_uuid(rng, now));
    let ids = (UserId(new_uuid(rng, now)), MembershipId(new_uuid(rng, now)));
    let drawn = links::draw(rng, LinkKind::SignIn, SIGN_IN_LIFETIME, now)?;
    let ((member, organization, organization_created), change) = write(store, clock, now, |write| {
        let existing = write.list_partners()?.into_iter().find(|partner| partner.is_operator);
        let created = existing.is_none();
        let organization = match existing {
            Some(organization) => organization,
            None => {
                // A partner must not become the operator because it has this name.
                let added = organizations::add(write, actor, new_organization, &name, true)?;
                added.ok_or_else(|| ProvisioningError::PartnerExists(name.clone()))?
            }
        };
        let member = NewMember {
            name: new.name.clone(),
            email: new.email.clone(),
            identity: None,
            organization: organization.id,
            role: RoleOf::BuiltIn(BuiltInRole::Owner),
        };
        let member = add_member(write, actor, now, ids, &member)?;
        links::insert(write, secret, (drawn.0, &drawn.1), member.user.id.0)?;
        Ok((member, organization, created))
    })?;
    Ok(NewOperatorUser { member, organization, organization_created, link: drawn.1, change })
}

/// Makes a link that signs a user in once, within [`SIGN_IN_LIFETIME`]. One before it ends.
///
/// # Errors
/// No such user, an actor other than the operator, or an error of the store.
pub fn sign_in_link(
    store: &mut Store,
    clock: &dyn Clock,
    rng: &mut dyn CryptoRng,
    secret: &ServerSecret,
    actor: &Actor,
    user: UserId,
) -> Result<(User, NewLink, Committed), ProvisioningError> {
    actor.require_operator()?;
    let now = now(clock);
    let drawn = links::draw(rng, LinkKind::SignIn, SIGN_IN_LIFETIME, now)?;
    let (user, change) = write(store, clock, now, |write| {
        let user = write.user(user)?.ok_or_else(|| not_found("user", user))?;
        links::insert(write, secret, (drawn.0, &drawn.1), user.id.0)?;
        let target = format!("user:{}", user.id);
        let done = Done { action: "user.link", organization: None, target, before: None, after: None };
        audit(write, actor, &done)?;
        Ok(user)
    })?;
    Ok((user, drawn.1, change))
}

/// What has become of a sign-in link. It changes nothing.
///
/// # Errors
/// [`ProvisioningError::UnknownLink`], or an error of the store.
pub fn sign_in_link_state(
    store: &mut Store,
    clock: &dyn Clock,
    secret: &ServerSecret,
    code: &str,
) -> Result<LinkState, ProvisioningError> {
    let link = links::find(&mut **store, secret, LinkKind::SignIn, code)?;
    Ok(LinkState::of(&link, now(clock)))
}

/// Uses a sign-in link, once: the user who signs in.
///
/// # Errors
/// [`ProvisioningError::UnknownLink`], [`ProvisioningError::LinkUsed`], [`ProvisioningError::LinkExpired`], or an error of
/// the store.
pub fn use_sign_in_link(
    store: &mut Store,
    clock: &dyn Clock,
    secret: &ServerSecret,
    actor: &Actor,
    code: &str,
) -> Result<(User, Committed), ProvisioningError> {
    let now = now(clock);
    write(store, clock, now, |write| {
        let link = links::take(write, secret, LinkKind::SignIn, code)?;
        let user = write.user(UserId(link.subject))?.ok_or(ProvisioningError::UnknownLink)?;
        let target = format!("user:{}", user.id);
        let done = Done { action: "user.sign_in", organization: None, target, before: None, after: None };
        audit(write, actor, &done)?;
        Ok(user)
    })
}
