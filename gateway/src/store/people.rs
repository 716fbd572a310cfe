//! What a storage engine answers about people: users, memberships, roles, app tokens, and the audit log of what they
//! and the operator changed.

use jiff::Timestamp;
use permissions::{
    ApiAccessPermission, AppToken, CustomRole, Environment, Identity, KeyHash, Membership, MembershipId,
    PartnerId, RoleId, RoleOf, TokenId, User, UserId,
};
use serde::Serialize;
use serde_json::Value;

use super::StoreError;

/// An app token as it is stored: its record, and the hash by which it is looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredToken {
    /// Everything but the hash.
    pub record: AppToken,
    /// The keyed hash of the token.
    pub hash: KeyHash,
}

/// A membership, with the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The membership.
    pub membership: Membership,
    /// The user.
    pub user: User,
}

/// Which memberships to list; the default is all of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemberFilter {
    /// Only those of this user.
    pub user: Option<UserId>,
    /// Only those in this organization.
    pub organization: Option<PartnerId>,
}

/// Which app tokens to list; the default is all of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokenFilter {
    /// Only those of this user.
    pub user: Option<UserId>,
    /// Only those in this organization.
    pub organization: Option<PartnerId>,
    /// Only those of this environment.
    pub environment: Option<Environment>,
}

/// An entry of the audit log, as it is appended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AuditEntry {
    /// Who did it: `operator` at the command line, `user:<id>`, `key:<id>`, `contact`, or `gateway`.
    pub actor: String,
    /// The organization that it concerns.
    pub organization: Option<PartnerId>,
    /// What was done, such as `key.create`.
    pub action: String,
    /// On what, such as `key:<id>`.
    pub target: String,
    /// The target before, as far as it changed; never a secret.
    pub before: Option<Value>,
    /// The target after.
    pub after: Option<Value>,
    /// From which address.
    pub address: Option<String>,
    /// In which request.
    pub request_id: Option<String>,
}

/// An entry of the audit log, as it stands there.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AuditRecord {
    /// Its number; numbers rise and have no gaps.
    pub number: i64,
    /// When it was written.
    pub at: Timestamp,
    /// What it says.
    #[serde(flatten)]
    pub entry: AuditEntry,
}

/// Which entries of the audit log to list, the newest first.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Only those of this organization.
    pub organization: Option<PartnerId>,
    /// Only those of this target.
    pub target: Option<String>,
    /// Only those of this action.
    pub action: Option<String>,
    /// Only those before this number.
    pub before: Option<i64>,
    /// At most this many.
    pub count: usize,
}

/// What the check of the audit log's chain found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditCheck {
    /// How many entries there are.
    pub entries: i64,
    /// The hash of the last one, in hexadecimal; keep it elsewhere, to notice that the end was cut off.
    pub last_hash: Option<String>,
    /// The first entry that is missing, or that was changed.
    pub broken_at: Option<i64>,
}

/// What became of a call with an `Idempotency-Key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Idempotency {
    /// It is the first: make the call.
    New,
    /// The first is still running.
    Running,
    /// The key was used for another call.
    Different,
    /// The reply to the first: its status and body.
    Done(u16, Vec<u8>),
}

/// Reads people, inside or outside a transaction.
pub trait People {
    /// Every user, the oldest first.
    fn list_users(&mut self) -> Result<Vec<User>, StoreError>;

    /// The user of this id.
    fn user(&mut self, id: UserId) -> Result<Option<User>, StoreError>;

    /// The user whom a provider names so.
    fn find_user(&mut self, identity: &Identity) -> Result<Option<User>, StoreError>;

    /// How providers name a user.
    fn identities(&mut self, user: UserId) -> Result<Vec<Identity>, StoreError>;

    /// How providers name all users.
    fn list_identities(&mut self) -> Result<Vec<(UserId, Identity)>, StoreError>;

    /// The memberships that pass the filter, the oldest first.
    fn list_members(&mut self, filter: MemberFilter) -> Result<Vec<Member>, StoreError>;

    /// The membership of this id.
    fn member(&mut self, id: MembershipId) -> Result<Option<Member>, StoreError>;

    /// The roles that this organization has made; of every organization without one. By name.
    fn list_roles(&mut self, organization: Option<PartnerId>) -> Result<Vec<CustomRole>, StoreError>;

    /// The role of this id.
    fn role(&mut self, id: RoleId) -> Result<Option<CustomRole>, StoreError>;

    /// The app tokens that pass the filter, the oldest first.
    fn list_tokens(&mut self, filter: TokenFilter) -> Result<Vec<AppToken>, StoreError>;

    /// The app token of this id.
    fn token(&mut self, id: TokenId) -> Result<Option<AppToken>, StoreError>;

    /// Calls `visit` with every readable app token.
    fn each_token(&mut self, visit: &mut dyn FnMut(StoredToken)) -> Result<(), StoreError>;

    /// Entries of the audit log, the newest first.
    fn list_audit(&mut self, filter: &AuditFilter) -> Result<Vec<AuditRecord>, StoreError>;

    /// Checks the chain of the audit log.
    fn check_audit(&mut self) -> Result<AuditCheck, StoreError>;
}

/// Writes people, in a transaction. What servers keep in memory (memberships, roles, tokens) adds a row to the feed.
pub trait WritePeople: People {
    /// Sets what an organization was granted in an environment; returns whether that changed anything.
    fn set_granted(
        &mut self,
        organization: PartnerId,
        environment: Environment,
        granted: ApiAccessPermission,
    ) -> Result<bool, StoreError>;

    /// Makes an organization the operator's.
    fn set_operator(&mut self, organization: PartnerId) -> Result<bool, StoreError>;

    /// Adds a user.
    fn insert_user(&mut self, user: &User) -> Result<(), StoreError>;

    /// Lets a provider's user sign in as this one; `false` where that identity is somebody's already.
    fn add_identity(&mut self, user: UserId, identity: &Identity) -> Result<bool, StoreError>;

    /// Adds a membership; `false` where the user is a member already.
    fn insert_membership(&mut self, membership: &Membership) -> Result<bool, StoreError>;

    /// Changes the role of a membership; returns whether there is such a membership.
    fn set_role_of(&mut self, membership: MembershipId, role: RoleOf) -> Result<bool, StoreError>;

    /// Removes a membership with all its app tokens; returns whether there was one.
    fn remove_membership(&mut self, membership: MembershipId) -> Result<bool, StoreError>;

    /// Adds a role; `false` where the organization has one of this name.
    fn insert_role(&mut self, role: &CustomRole) -> Result<bool, StoreError>;

    /// Changes the permissions of a role; returns whether there is such a role.
    fn set_role(&mut self, role: RoleId, permissions: ApiAccessPermission) -> Result<bool, StoreError>;

    /// Removes a role that nobody has; returns whether there was one.
    fn remove_role(&mut self, role: RoleId) -> Result<bool, StoreError>;

    /// Adds an app token.
    fn insert_token(&mut self, token: &StoredToken) -> Result<(), StoreError>;

    /// Revokes an app token from now on; returns whether it was not revoked before.
    fn revoke_token(&mut self, token: TokenId) -> Result<bool, StoreError>;

    /// Appends to the audit log; returns the entry's number.
    fn append_audit(&mut self, entry: &AuditEntry) -> Result<i64, StoreError>;

    /// Begins a call with an `Idempotency-Key`, whose keyed hash this is. Records from before `since` are forgotten.
    fn begin_idempotent(
        &mut self,
        caller: &str,
        key: &KeyHash,
        fingerprint: &[u8; 32],
        since: Timestamp,
    ) -> Result<Idempotency, StoreError>;

    /// Keeps the reply to a call that was begun; without one, forgets the call, so that it may be made again.
    fn end_idempotent(
        &mut self,
        caller: &str,
        key: &KeyHash,
        reply: Option<(u16, &[u8])>,
    ) -> Result<(), StoreError>;
}
