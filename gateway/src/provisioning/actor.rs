//! Who asks for a change, and what they may reach.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use permissions::{ApiAccessPermission, Credential, Environment, Membership, PartnerId, RoleOf};
use versions::{Caller, Person};

use super::ProvisioningError;
use crate::store::{Partner, Write};

/// How old an authentication may be for a change that can do harm: production keys, rotation, revocation, members and
/// roles.
pub const STEP_UP_AGE_MAX: Duration = Duration::from_secs(15 * 60);

/// Who asks for a change, and from where.
#[derive(Clone, Debug)]
pub struct Actor {
    /// Who.
    pub who: Who,
    /// From which address.
    pub address: Option<IpAddr>,
    /// In which request.
    pub request_id: Option<String>,
}

/// Who asks.
#[derive(Clone, Debug)]
pub enum Who {
    /// The operator at the command line of this machine, who may do everything.
    Operator,
    /// A caller of an endpoint, or a person on a page, who acts for one organization.
    Caller(Caller),
    /// Somebody without a credential, by a link of theirs.
    Contact,
    /// The gateway by itself, such as at the first launch.
    Gateway,
}

/// As the audit log names it.
impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.who {
            Who::Operator => f.write_str("operator"),
            Who::Caller(Caller { person: Some(person), .. }) => write!(f, "user:{}", person.user),
            Who::Caller(caller) => caller.credential.fmt(f),
            Who::Contact => f.write_str("contact"),
            Who::Gateway => f.write_str("gateway"),
        }
    }
}

impl Actor {
    /// The operator at the command line.
    #[must_use]
    pub const fn operator() -> Self {
        Self { who: Who::Operator, address: None, request_id: None }
    }

    /// A person on a page, as a member of an organization.
    #[must_use]
    pub const fn member(
        membership: &Membership,
        environment: Environment,
        authenticated: Timestamp,
        address: Option<IpAddr>,
    ) -> Self {
        let person = Person { user: membership.user, membership: membership.id, authenticated };
        let caller = Caller {
            credential: Credential::Session(membership.user),
            organization: membership.organization,
            person: Some(person),
            environment,
            // What a person may is looked up in the transaction that does it.
            permissions: ApiAccessPermission::empty(),
        };
        Self { who: Who::Caller(caller), address, request_id: None }
    }

    /// The gateway itself.
    #[must_use]
    pub const fn gateway() -> Self {
        Self { who: Who::Gateway, address: None, request_id: None }
    }

    /// Somebody without a credential, at this address.
    #[must_use]
    pub const fn contact(address: Option<IpAddr>) -> Self {
        Self { who: Who::Contact, address, request_id: None }
    }

    /// The same, in a request of this id.
    #[must_use]
    pub fn in_request(self, id: &str) -> Self {
        Self { request_id: Some(id.to_owned()), ..self }
    }

    /// The caller of an endpoint; `None` for those who act for no organization.
    pub(super) const fn caller(&self) -> Option<&Caller> {
        match &self.who {
            Who::Caller(caller) => Some(caller),
            Who::Operator | Who::Contact | Who::Gateway => None,
        }
    }

    /// Whether the actor may see things of this organization and environment: the operator everything, a caller those of
    /// its own organization, and with a credential of staging those of staging only.
    #[must_use]
    pub fn sees(&self, organization: PartnerId, environment: Environment) -> bool {
        self.acts_for(organization)
            && self.caller().is_none_or(|caller| {
                caller.environment == Environment::Production || environment == Environment::Staging
            })
    }

    /// Whether the actor acts for this organization, or is the operator.
    #[must_use]
    pub fn acts_for(&self, organization: PartnerId) -> bool {
        match &self.who {
            Who::Operator | Who::Gateway => true,
            Who::Caller(caller) => caller.organization == organization,
            Who::Contact => false,
        }
    }

    /// Checks that the actor has authenticated recently.
    ///
    /// # Errors
    /// [`ProvisioningError::StepUpRequired`] for an older authentication, and for credentials that no person has.
    pub fn require_step_up(&self, now: Timestamp) -> Result<(), ProvisioningError> {
        let caller = match &self.who {
            Who::Operator | Who::Gateway => return Ok(()),
            Who::Contact => return Err(ProvisioningError::StepUpRequired),
            Who::Caller(caller) => caller,
        };
        let age_max = SignedDuration::try_from(STEP_UP_AGE_MAX).unwrap_or(SignedDuration::ZERO);
        match caller.person {
            Some(person) if now.duration_since(person.authenticated) <= age_max => Ok(()),
            _ => Err(ProvisioningError::StepUpRequired),
        }
    }

    /// Checks what a change of members, invitations and roles needs. Those are of both environments, so a credential of
    /// staging does not do.
    ///
    /// # Errors
    /// [`ProvisioningError::StepUpRequired`] or [`ProvisioningError::StagingOnly`].
    pub(super) fn require_for_people(&self, now: Timestamp) -> Result<(), ProvisioningError> {
        self.require_step_up(now)?;
        self.require_environment(Environment::Production)
    }

    /// Checks that a change of production is asked for with a credential of production.
    ///
    /// # Errors
    /// [`ProvisioningError::StagingOnly`].
    pub(super) fn require_environment(&self, environment: Environment) -> Result<(), ProvisioningError> {
        match self.caller() {
            Some(caller)
                if caller.environment == Environment::Staging && environment == Environment::Production =>
            {
                Err(ProvisioningError::StagingOnly)
            }
            _ => Ok(()),
        }
    }

    /// Checks that the actor may give `permissions` away in an environment: nobody gives more than they have, and nothing
    /// exceeds what the organization was granted there.
    pub(super) fn require_within(
        &self,
        write: &mut dyn Write,
        organization: &Partner,
        environment: Environment,
        permissions: ApiAccessPermission,
    ) -> Result<(), ProvisioningError> {
        let ceiling = organization.ceiling(environment);
        let limit = match &self.who {
            Who::Operator | Who::Gateway => ceiling,
            Who::Caller(caller) => ceiling & self.own(write, caller)?,
            Who::Contact => ApiAccessPermission::empty(),
        };
        let missing = permissions - limit;
        if missing.is_empty() { Ok(()) } else { Err(ProvisioningError::Exceeds { missing, environment }) }
    }

    /// What the caller has, whatever the environment: a person's role as it is now, a key's own set.
    fn own(&self, write: &mut dyn Write, caller: &Caller) -> Result<ApiAccessPermission, ProvisioningError> {
        let Some(person) = caller.person else {
            return Ok(match caller.credential {
                Credential::Key(id) => write.key(id)?.map(|key| key.permissions).unwrap_or_default(),
                Credential::Token(_) | Credential::Session(_) => caller.permissions,
            });
        };
        let role = write.member(person.membership)?.map(|member| member.membership.role);
        Ok(match role {
            Some(RoleOf::BuiltIn(role)) => role.permissions(),
            Some(RoleOf::Custom(id)) => write.role(id)?.map(|role| role.permissions).unwrap_or_default(),
            None => ApiAccessPermission::empty(),
        })
    }
}
