//! The members of all organizations in memory: what each may do now.
//!
//! A credential of a person refers to its member, whose rights are computed once when a role, a membership or an
//! organization changes. So a change acts on all credentials of all members at once, whatever their number.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use arc_swap::ArcSwap;
use permissions::{
    ApiAccessPermission, CustomRole, Denial, Environment, Identity, MembershipId, PartnerId, RoleId, RoleOf,
    UserId,
};

use crate::store::people::Member as StoredMember;
use crate::store::{Granted, Partner};

/// A user's place in an organization, as requests use it.
pub struct Member {
    /// The membership.
    pub id: MembershipId,
    /// The user.
    pub user: UserId,
    /// The organization.
    pub organization: PartnerId,
    rights: ArcSwap<Rights>,
}

/// What a member may do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rights {
    staging: ApiAccessPermission,
    production: ApiAccessPermission,
    refused: Option<Denial>,
}

impl Rights {
    const REMOVED: Self = Self {
        staging: ApiAccessPermission::empty(),
        production: ApiAccessPermission::empty(),
        refused: Some(Denial::NotAMember),
    };
}

impl Member {
    /// The effective permissions in an environment: those of the current role, within what the organization was
    /// granted there.
    #[must_use]
    pub fn permissions(&self, environment: Environment) -> ApiAccessPermission {
        let rights = self.rights.load();
        match environment {
            Environment::Staging => rights.staging,
            Environment::Production => rights.production,
        }
    }

    /// Checks that the user is a member still, and the organization is not suspended.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self) -> Result<(), Denial> {
        self.rights.load().refused.map_or(Ok(()), Err)
    }

    /// Whether the credentials of this member are refused everywhere.
    pub(crate) fn is_refused(&self) -> bool {
        self.check().is_err()
    }
}

/// All members, with the organizations and roles from which their rights follow. Only the thread that follows the
/// store changes it.
#[derive(Default)]
pub struct People {
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    members: HashMap<MembershipId, (RoleOf, Arc<Member>)>,
    by_user: HashMap<(UserId, PartnerId), Arc<Member>>,
    roles: HashMap<RoleId, ApiAccessPermission>,
    organizations: HashMap<PartnerId, Organization>,
    /// The organizations by name.
    names: HashMap<String, PartnerId>,
    users: HashMap<Identity, UserId>,
}

/// What of an organization decides about its members.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Organization {
    is_operator: bool,
    is_suspended: bool,
    granted: Granted,
}

impl People {
    /// The member of this id.
    #[must_use]
    pub fn member(&self, id: MembershipId) -> Option<Arc<Member>> {
        self.read(|state| state.members.get(&id).map(|(_, member)| Arc::clone(member)))
    }

    /// This user in this organization.
    #[must_use]
    pub fn member_of(&self, user: UserId, organization: PartnerId) -> Option<Arc<Member>> {
        self.read(|state| state.by_user.get(&(user, organization)).map(Arc::clone))
    }

    /// The member whom a provider names so, in the first of these organizations, named by name or id, that the user is a
    /// member of; without any, in the only organization of the user.
    #[must_use]
    pub fn member_by_identity(&self, identity: &Identity, organizations: &[String]) -> Option<Arc<Member>> {
        self.read(|state| {
            let user = *state.users.get(identity)?;
            if organizations.is_empty() {
                let mut all = state.by_user.values().filter(|member| member.user == user);
                return all.next().filter(|_| all.next().is_none()).map(Arc::clone);
            }
            organizations.iter().find_map(|name| {
                let named = state.names.get(name).copied();
                let id = named.or_else(|| name.parse().ok())?;
                state.by_user.get(&(user, id)).map(Arc::clone)
            })
        })
    }

    /// Sets how providers name a user.
    pub fn apply_identities(&self, user: UserId, identities: impl IntoIterator<Item = Identity>) {
        self.change(|state| {
            state.users.retain(|_, known| *known != user);
            state.users.extend(identities.into_iter().map(|identity| (identity, user)));
        });
    }

    /// Sets how providers name all users.
    pub fn set_identities(&self, all: Vec<(UserId, Identity)>) {
        self.change(|state| state.users = all.into_iter().map(|(user, identity)| (identity, user)).collect());
    }

    /// Sets an organization; its members' rights follow.
    pub fn apply_organization(&self, partner: &Partner) {
        self.change(|state| {
            let organization = Organization {
                is_operator: partner.is_operator,
                is_suspended: partner.suspended.is_some(),
                granted: partner.granted,
            };
            state.organizations.insert(partner.id, organization);
            state.names.retain(|_, id| *id != partner.id);
            state.names.insert(partner.name.clone(), partner.id);
            state.compute(|_, member| member.organization == partner.id);
        });
    }

    /// Removes organizations; those who were their members are none any more.
    pub fn remove_organizations(&self, ids: &[PartnerId]) {
        self.change(|state| {
            for id in ids {
                state.organizations.remove(id);
            }
            state.names.retain(|_, id| !ids.contains(id));
            state.compute(|_, member| ids.contains(&member.organization));
        });
    }

    /// Sets a role of an organization; the rights of those who have it follow.
    pub fn apply_role(&self, role: &CustomRole) {
        self.change(|state| {
            state.roles.insert(role.id, role.permissions);
            state.compute(|of, _| of == RoleOf::Custom(role.id));
        });
    }

    /// Removes roles. Members who had one lose every permission.
    pub fn remove_roles(&self, ids: &[RoleId]) {
        self.change(|state| {
            for id in ids {
                state.roles.remove(id);
            }
            state.compute(|of, _| matches!(of, RoleOf::Custom(id) if ids.contains(&id)));
        });
    }

    /// Sets a membership.
    pub fn apply_member(&self, stored: &StoredMember) {
        let membership = &stored.membership;
        self.change(|state| {
            let known = state.members.get(&membership.id).map(|(_, member)| Arc::clone(member));
            let member = known.unwrap_or_else(|| {
                Arc::new(Member {
                    id: membership.id,
                    user: membership.user,
                    organization: membership.organization,
                    rights: ArcSwap::from_pointee(Rights::REMOVED),
                })
            });
            state.by_user.insert((member.user, member.organization), Arc::clone(&member));
            state.members.insert(membership.id, (membership.role, member));
            state.compute(|_, member| member.id == membership.id);
        });
    }

    /// Removes memberships: their credentials are refused from now on.
    pub fn remove_members(&self, ids: &[MembershipId]) {
        self.change(|state| {
            for (_, member) in ids.iter().filter_map(|id| state.members.remove(id)) {
                member.rights.store(Arc::new(Rights::REMOVED));
                // The user may have joined again meanwhile.
                let place = (member.user, member.organization);
                if state.by_user.get(&place).is_some_and(|now| now.id == member.id) {
                    state.by_user.remove(&place);
                }
            }
        });
    }

    /// Removes every membership and role but these, after everything was loaded again.
    pub fn retain(
        &self,
        members: impl Fn(MembershipId) -> bool,
        roles: impl Fn(RoleId) -> bool,
        organizations: impl Fn(PartnerId) -> bool,
    ) {
        let gone = self.read(|state| {
            let members: Vec<_> = state.members.keys().copied().filter(|id| !members(*id)).collect();
            let roles: Vec<_> = state.roles.keys().copied().filter(|id| !roles(*id)).collect();
            let organizations: Vec<_> =
                state.organizations.keys().copied().filter(|id| !organizations(*id)).collect();
            (members, roles, organizations)
        });
        self.remove_members(&gone.0);
        self.remove_roles(&gone.1);
        self.remove_organizations(&gone.2);
    }

    fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner));
    }
}

impl State {
    /// Computes the rights of some members anew.
    fn compute(&self, concerns: impl Fn(RoleOf, &Member) -> bool) {
        for (role, member) in self.members.values().filter(|(role, member)| concerns(*role, member)) {
            let rights = self.rights(*role, member);
            if **member.rights.load() != rights {
                member.rights.store(Arc::new(rights));
            }
        }
    }

    fn rights(&self, role: RoleOf, member: &Member) -> Rights {
        let Some(organization) = self.organizations.get(&member.organization) else { return Rights::REMOVED };
        let of_role = match role {
            RoleOf::BuiltIn(role) => role.permissions(),
            RoleOf::Custom(id) => self.roles.get(&id).copied().unwrap_or_default(),
        };
        let within = |environment| {
            of_role & permissions::ceiling(organization.is_operator, organization.granted.of(environment))
        };
        Rights {
            staging: within(Environment::Staging),
            production: within(Environment::Production),
            refused: organization.is_suspended.then_some(Denial::Suspended),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use permissions::{BuiltInRole, Membership, User};
    use uuid::Uuid;

    use super::*;

    const HERE: PartnerId = PartnerId(Uuid::from_u128(1));

    fn organization() -> Partner {
        Partner {
            id: HERE,
            name: "acme".to_owned(),
            created: Timestamp::UNIX_EPOCH,
            suspended: None,
            keys: 0,
            is_operator: false,
            granted: Granted {
                staging: Some(ApiAccessPermission::grantable()),
                production: Some(ApiAccessPermission::empty()),
            },
        }
    }

    fn stored(role: RoleOf) -> StoredMember {
        let user = UserId(Uuid::from_u128(2));
        let created = Timestamp::UNIX_EPOCH;
        let id = MembershipId(Uuid::from_u128(3));
        StoredMember {
            membership: Membership { id, user, organization: HERE, role, created },
            user: User { id: user, name: "Ada".to_owned(), email: None, created },
        }
    }

    #[test]
    fn rights_follow_role_organization_and_membership() {
        let people = People::default();
        people.apply_organization(&organization());
        people.apply_member(&stored(RoleOf::BuiltIn(BuiltInRole::Developer)));
        let member = people.member_of(UserId(Uuid::from_u128(2)), HERE).unwrap();
        let ping = ApiAccessPermission::PING_READ;
        assert!(member.permissions(Environment::Staging).contains(ping));
        assert!(!member.permissions(Environment::Production).contains(ping), "it was not granted there");
        assert!(!member.permissions(Environment::Staging).contains(ApiAccessPermission::MEMBERS_WRITE));

        let role = CustomRole {
            id: RoleId(Uuid::from_u128(9)),
            organization: HERE,
            name: "pinger".to_owned(),
            permissions: ping | ApiAccessPermission::REQUESTS_REVIEW,
            created: Timestamp::UNIX_EPOCH,
        };
        people.apply_member(&stored(RoleOf::Custom(role.id)));
        assert!(member.permissions(Environment::Staging).is_empty(), "the role is not known yet");
        people.apply_role(&role);
        assert_eq!(member.permissions(Environment::Staging), ping, "and reviewing is the operator's");
        people.apply_role(&CustomRole { permissions: ApiAccessPermission::empty(), ..role });
        assert!(member.permissions(Environment::Staging).is_empty());

        people.apply_organization(&Partner { suspended: Some(Timestamp::UNIX_EPOCH), ..organization() });
        assert_eq!(member.check(), Err(Denial::Suspended));
        people.apply_organization(&organization());
        assert_eq!(member.check(), Ok(()));
        people.remove_members(&[member.id]);
        assert_eq!(member.check(), Err(Denial::NotAMember));
        assert!(people.member_of(member.user, HERE).is_none());
    }

    #[test]
    fn a_removed_organization_has_no_members() {
        let people = People::default();
        people.apply_organization(&organization());
        people.apply_member(&stored(RoleOf::BuiltIn(BuiltInRole::Owner)));
        let member = people.member(MembershipId(Uuid::from_u128(3))).unwrap();
        assert!(!member.is_refused());
        people.retain(|_| true, |_| true, |_| false);
        assert!(member.is_refused());
    }
}
