//! The caller, as authentication has established it and handlers see it.

use permissions::{ApiAccessPermission, Environment, KeyId};

/// The caller of one request.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The credential.
    pub credential: Credential,
    /// The environment that the credential is tagged with.
    pub environment: Environment,
    /// The caller's effective permissions.
    pub permissions: ApiAccessPermission,
}

/// The id of the credential that a caller presented, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// A partner's key.
    Key(KeyId),
}
