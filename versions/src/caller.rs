//! Who calls: what `authenticate` has established, as a handler sees it.

use permissions::{ApiAccessPermission, Environment, KeyId};

/// The caller of one request.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Whose credential it was.
    pub credential: Credential,
    /// The environment that the credential is tagged with.
    pub environment: Environment,
    /// What the caller may do: the credential's permissions, after all that limits them.
    pub permissions: ApiAccessPermission,
}

/// The credential that a caller presented. Its secret is never kept here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// A partner's key.
    Key(KeyId),
}
