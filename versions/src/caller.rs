//! The caller, as authentication has established it and handlers see it.

use jiff::Timestamp;
pub use permissions::Credential;
use permissions::{ApiAccessPermission, Environment, MembershipId, PartnerId, UserId};

/// The caller of one request.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The credential.
    pub credential: Credential,
    /// The organization that it acts for.
    pub organization: PartnerId,
    /// The person who acts, where the credential is a person's.
    pub person: Option<Person>,
    /// The environment that the credential is tagged with.
    pub environment: Environment,
    /// The caller's effective permissions.
    pub permissions: ApiAccessPermission,
}

/// The person behind a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Person {
    /// The user.
    pub user: UserId,
    /// The membership in the organization.
    pub membership: MembershipId,
    /// When the person last authenticated for this credential.
    pub authenticated: Timestamp,
}
