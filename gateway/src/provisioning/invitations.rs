//! Invitations: a link by which one person becomes a member of an organization, once.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use permissions::{Identity, InvitationId, MembershipId, PartnerId, RoleOf, ServerSecret, User, UserId};
use rand::CryptoRng;
use serde_json::json;

use super::links::{self, LinkState, NewLink};
use super::organizations::find_organization;
use super::people::{join, record, require_role, role_name};
use super::rules::{check_email, check_name, not_found};
use super::{Actor, Committed, ProvisioningError, Who, new_uuid, now, write};
use crate::clock::Clock;
use crate::store::people::Member;
use crate::store::requests::{Invitation, LinkKind};
use crate::store::{Store, Write};

/// Open invitations of one organization.
pub const INVITATIONS_OPEN_MAX: usize = 100;
/// Invitations in one answer.
pub const INVITATIONS_LIST_MAX: usize = 100;
/// How long an invitation is kept after its end.
const KEPT_AFTER_END: SignedDuration = SignedDuration::from_hours(90 * 24);

/// An invitation to make.
#[derive(Clone, Debug)]
pub struct NewInvitation {
    /// The organization.
    pub organization: PartnerId,
    /// The e-mail address of the invited person; nobody of another one can accept it.
    pub email: Option<String>,
    /// The role.
    pub role: RoleOf,
    /// How long it can be accepted.
    pub lifetime: Duration,
}

/// An invitation that was made. The code of its link is available only here.
#[derive(Clone, Debug)]
pub struct Invited {
    /// The invitation.
    pub invitation: Invitation,
    /// Its link.
    pub link: NewLink,
    /// The write.
    pub change: Committed,
}

/// Who accepts an invitation.
#[derive(Clone, Debug)]
pub enum Invitee {
    /// A user who exists and is signed in.
    User(UserId),
    /// Somebody new. Where the identity is that of a user, it is that user.
    New {
        /// The name that others see.
        name: String,
        /// An e-mail address that the identity provider has verified, of a domain for which it speaks. Without an identity,
        /// the invitation's is used.
        email: Option<String>,
        /// How the identity provider names the person, where one vouches.
        identity: Option<Identity>,
    },
}

/// What an invitation is to, before it is accepted.
#[derive(Clone, Debug)]
pub struct InvitationInfo {
    /// The invitation.
    pub invitation: Invitation,
    /// The organization's name.
    pub organization: String,
    /// The role's name.
    pub role: String,
    /// What has become of its link.
    pub state: LinkState,
}

/// Invites somebody to an organization.
///
/// # Errors
/// A role with more than the actor has, no authentication of the last minutes, too many open invitations, or an error of
/// the store.
pub fn invite(
    store: &mut Store,
    clock: &dyn Clock,
    rng: &mut dyn CryptoRng,
    secret: &ServerSecret,
    actor: &Actor,
    new: &NewInvitation,
) -> Result<Invited, ProvisioningError> {
    let now = now(clock);
    let email = new.email.as_deref().map(check_email).transpose()?;
    let id = InvitationId(new_uuid(rng, now));
    let drawn = links::draw(rng, LinkKind::Invitation, new.lifetime, now)?;
    let (invitation, change) = write(store, clock, now, |write| {
        require_manager(actor, new.organization)?;
        let organization = find_organization(write, new.organization)?;
        actor.require_for_people(now)?;
        require_role(write, actor, &organization, new.role)?;
        let kept_since = now.checked_sub(KEPT_AFTER_END).unwrap_or(Timestamp::MIN);
        write.forget_invitations(organization.id, kept_since)?;
        if write.count_open_invitations(organization.id, now)? >= INVITATIONS_OPEN_MAX {
            let (what, max) = ("open invitations", INVITATIONS_OPEN_MAX);
            return Err(ProvisioningError::TooMany { what, max });
        }
        let invitation = Invitation {
            id,
            organization: organization.id,
            email,
            role: new.role,
            created: now,
            expires: drawn.1.expires,
            accepted: None,
            revoked: None,
        };
        write.insert_invitation(&invitation)?;
        links::insert(write, secret, (drawn.0, &drawn.1), id.0)?;
        let after = json!({ "email": invitation.email, "role": role_name(write, new.role)? });
        let target = format!("invitation:{id}");
        record(write, actor, "invitation.create", organization.id, target, (None, Some(&after)))?;
        Ok(invitation)
    })?;
    Ok(Invited { invitation, link: drawn.1, change })
}

/// The invitations of an organization after this one, the oldest first, at most [`INVITATIONS_LIST_MAX`].
///
/// # Errors
/// Errors of the store.
pub fn list_invitations(
    store: &mut Store,
    actor: &Actor,
    organization: PartnerId,
    after: Option<InvitationId>,
    count: usize,
) -> Result<Vec<Invitation>, ProvisioningError> {
    if require_manager(actor, organization).is_err() {
        return Ok(Vec::new());
    }
    Ok(store.list_invitations(organization, after, count.min(INVITATIONS_LIST_MAX))?)
}

/// Revokes an invitation. Revoking it again changes nothing.
///
/// # Errors
/// No such invitation that the actor sees, one that was accepted, or an error of the store.
pub fn revoke_invitation(
    store: &mut Store,
    clock: &dyn Clock,
    actor: &Actor,
    id: InvitationId,
) -> Result<(Invitation, Committed), ProvisioningError> {
    let now = now(clock);
    write(store, clock, now, |write| {
        let before = write.invitation(id)?;
        let before = before.filter(|invitation| require_manager(actor, invitation.organization).is_ok());
        let before = before.ok_or_else(|| not_found("invitation", id))?;
        actor.require_for_people(now)?;
        if before.accepted.is_some() {
            return Err(ProvisioningError::MemberExists);
        }
        if write.revoke_invitation(id)? {
            write.end_links(LinkKind::Invitation, id.0)?;
            let target = format!("invitation:{id}");
            record(write, actor, "invitation.revoke", before.organization, target, (None, None))?;
        }
        write.invitation(id)?.ok_or_else(|| not_found("invitation", id))
    })
}

/// What the link of an invitation leads to. It changes nothing.
///
/// # Errors
/// [`ProvisioningError::UnknownLink`], or an error of the store.
pub fn invitation_info(
    store: &mut Store,
    clock: &dyn Clock,
    secret: &ServerSecret,
    code: &str,
) -> Result<InvitationInfo, ProvisioningError> {
    let link = links::find(&mut **store, secret, LinkKind::Invitation, code)?;
    let invitation = store.invitation(InvitationId(link.subject))?.ok_or(ProvisioningError::UnknownLink)?;
    let organization = store.find_partner(&invitation.organization.to_string())?;
    Ok(InvitationInfo {
        organization: organization.ok_or(ProvisioningError::UnknownLink)?.name,
        role: role_name(&mut **store, invitation.role)?,
        invitation,
        state: LinkState::of(&link, now(clock)),
    })
}

/// Accepts an invitation, once: the person becomes a member.
///
/// # Errors
/// [`ProvisioningError::UnknownLink`], [`ProvisioningError::LinkUsed`], [`ProvisioningError::LinkExpired`], an invitation
/// that was revoked or is for another address, a member already, or an error of the store.
pub fn accept_invitation(
    store: &mut Store,
    clock: &dyn Clock,
    rng: &mut dyn CryptoRng,
    secret: &ServerSecret,
    actor: &Actor,
    code: &str,
    invitee: &Invitee,
) -> Result<(Member, Committed), ProvisioningError> {
    let now = now(clock);
    let (user, membership) = (UserId(new_uuid(rng, now)), MembershipId(new_uuid(rng, now)));
    write(store, clock, now, |write| {
        let link = links::find(write, secret, LinkKind::Invitation, code)?;
        let id = InvitationId(link.subject);
        let invitation = write.invitation(id)?.ok_or(ProvisioningError::UnknownLink)?;
        if let Some(at) = invitation.revoked {
            return Err(ProvisioningError::InvitationRevoked { at });
        }
        links::take(write, secret, LinkKind::Invitation, code)?;
        let user = match invitee {
            Invitee::User(id) => {
                let user = write.user(*id)?.ok_or_else(|| not_found("user", id))?;
                require_invited(&invitation, user.email.as_deref())?;
                user
            }
            Invitee::New { name, email, identity } => {
                // Without a provider nobody can vouch for an address; the link was sent to it.
                if identity.is_some() {
                    require_invited(&invitation, email.as_deref())?;
                }
                let email = email.as_ref().or(invitation.email.as_ref());
                find_or_create(write, now, user, name, email, identity.as_ref())?
            }
        };
        write.accept_invitation(id)?;
        // The inviter's rights were checked then.
        join(write, actor, now, user, membership, (invitation.organization, invitation.role))
    })
}

/// Checks that an invitation to an address is accepted by the person of that address.
fn require_invited(invitation: &Invitation, address: Option<&str>) -> Result<(), ProvisioningError> {
    let Some(invited) = &invitation.email else { return Ok(()) };
    let is_invited = address.is_some_and(|address| address.eq_ignore_ascii_case(invited));
    if is_invited { Ok(()) } else { Err(ProvisioningError::InvitedAddress) }
}

/// The user of an identity, or a new one.
fn find_or_create(
    write: &mut dyn Write,
    now: Timestamp,
    id: UserId,
    name: &str,
    email: Option<&String>,
    identity: Option<&Identity>,
) -> Result<User, ProvisioningError> {
    let known = match identity {
        Some(identity) => write.find_user(identity)?,
        None => None,
    };
    if let Some(user) = known {
        return Ok(user);
    }
    let email = email.map(|email| check_email(email)).transpose()?;
    let user = User { id, name: check_name(name)?, email, created: now };
    write.insert_user(&user)?;
    if let Some(identity) = identity {
        write.add_identity(user.id, identity)?;
    }
    Ok(user)
}

/// Checks that the actor manages this organization: the operator, or a caller of its own.
fn require_manager(actor: &Actor, organization: PartnerId) -> Result<(), ProvisioningError> {
    let is_contact = matches!(actor.who, Who::Contact);
    if !is_contact && actor.acts_for(organization) {
        Ok(())
    } else {
        Err(not_found("organization", organization))
    }
}
