//! What an organization manages of its own: the functions behind the management endpoints, as handlers see them.
//!
//! They check what the caller may reach, so an endpoint does nothing but convert. Most of them wait for the store.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use jiff::Timestamp;
use permissions::{
    ApiAccessPermission, AppToken, Credential, CustomRole, Environment, InvitationId, KeyId, KeyRecord,
    KeySecret, Membership, MembershipId, OnRetired, PartnerId, Rate, RequestId, RoleId, TokenId, User,
};

use crate::{Caller, ServiceFuture};

/// Who asks, and from where.
#[derive(Clone, Debug)]
pub struct Requester {
    /// The caller.
    pub caller: Caller,
    /// The client's address.
    pub address: IpAddr,
    /// The id of the request, for the audit log.
    pub request_id: String,
}

/// The part of a list that is wanted.
#[derive(Clone, Debug)]
pub struct Page {
    /// Only what follows this, the last item of the page before.
    pub after: Option<String>,
    /// At most this many.
    pub count: usize,
}

/// The organization of a caller, and the person.
#[derive(Clone, Debug)]
pub struct Account {
    /// The organization's name.
    pub organization: String,
    /// The person, where the credential is a person's, with the name of the role.
    pub person: Option<(User, String)>,
}

/// Settings of a new key.
#[derive(Clone, Debug)]
pub struct KeySettings {
    /// Its name; may be empty.
    pub name: String,
    /// Its environment.
    pub environment: Environment,
    /// Its permissions; at least one.
    pub permissions: ApiAccessPermission,
    /// When it expires.
    pub expires: Option<Timestamp>,
    /// The networks it may be used from; empty means any.
    pub allow: Vec<IpNet>,
    /// Its rate; `None` means the default rate.
    pub rate: Option<Rate>,
    /// How its calls to a retired version are handled.
    pub on_retired: OnRetired,
}

/// Changes to a key. `None` leaves a setting as it is, `Some(None)` clears it.
#[derive(Clone, Debug, Default)]
pub struct KeyChange {
    /// Its name.
    pub name: Option<String>,
    /// Its permissions.
    pub permissions: Option<ApiAccessPermission>,
    /// The networks it may be used from; empty means any.
    pub allow: Option<Vec<IpNet>>,
    /// When it expires.
    pub expires: Option<Option<Timestamp>>,
    /// How its calls to a retired version are handled.
    pub on_retired: Option<OnRetired>,
}

/// A member of an organization.
#[derive(Clone, Debug)]
pub struct MemberInfo {
    /// The membership.
    pub membership: Membership,
    /// The user.
    pub user: User,
    /// The name of the role.
    pub role: String,
}

/// An entry of the audit log.
#[derive(Clone, Debug)]
pub struct AuditInfo {
    /// Its number; numbers rise.
    pub number: i64,
    /// When it was written.
    pub at: Timestamp,
    /// Who did it, such as `user:019a…`.
    pub actor: String,
    /// What was done, such as `key.create`.
    pub action: String,
    /// On what, such as `key:019a…`.
    pub target: String,
    /// The target before.
    pub before: Option<serde_json::Value>,
    /// The target after.
    pub after: Option<serde_json::Value>,
    /// From which address.
    pub address: Option<String>,
    /// In which request.
    pub request_id: Option<String>,
}

/// Why a call was refused.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The id of the call.
    pub request_id: String,
    /// When it was made.
    pub at: Timestamp,
    /// The credential that it had.
    pub credential: Credential,
    /// The environment of that credential.
    pub environment: Environment,
    /// The method.
    pub method: String,
    /// The endpoint with its version, if one was found.
    pub endpoint: Option<String>,
    /// The status of the response.
    pub status: u16,
    /// The code of the error.
    pub error: &'static str,
    /// Why the credential was refused.
    pub reason: Option<&'static str>,
    /// What the response said.
    pub detail: String,
    /// Every step, in their order.
    pub steps: Vec<DecisionStep>,
}

/// One step of a refused call.
#[derive(Clone, Debug)]
pub struct DecisionStep {
    /// Its name.
    pub step: &'static str,
    /// What became of it.
    pub result: StepResult,
    /// How long it took.
    pub microseconds: u64,
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepResult {
    /// The call passed it.
    Passed,
    /// The call was refused here.
    Refused,
    /// The call did not come so far.
    NotReached,
}

/// An invitation to an organization.
#[derive(Clone, Debug)]
pub struct InvitationInfo {
    /// Its id.
    pub id: InvitationId,
    /// The e-mail address of the person.
    pub email: Option<String>,
    /// The name of the role.
    pub role: String,
    /// When it was created.
    pub created: Timestamp,
    /// When it expires.
    pub expires: Timestamp,
    /// Whether it was accepted.
    pub accepted: bool,
    /// Whether it was revoked.
    pub revoked: bool,
}

/// Permissions in staging and in production.
pub type PerEnvironment = (ApiAccessPermission, ApiAccessPermission);

/// An access request.
#[derive(Clone, Debug)]
pub struct AccessRequestInfo {
    /// Its id.
    pub id: RequestId,
    /// The name of the organization that asks.
    pub organization: String,
    /// The id of the organization that asks, or that it was approved for.
    pub organization_id: Option<PartnerId>,
    /// Who asks.
    pub contact: String,
    /// The e-mail address of the contact.
    pub email: String,
    /// What the permissions are for.
    pub use_case: String,
    /// What is wanted.
    pub wanted: PerEnvironment,
    /// What was granted.
    pub granted: Option<PerEnvironment>,
    /// The name of the state.
    pub state: &'static str,
    /// When it was filed.
    pub created: Timestamp,
    /// When something last happened to it.
    pub updated: Timestamp,
}

/// Something that happened to an access request.
#[derive(Clone, Debug)]
pub struct RequestEventInfo {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub actor: String,
    /// What.
    pub action: &'static str,
    /// The text that belongs to it.
    pub text: String,
}

/// The approval of an access request.
#[derive(Clone, Debug)]
pub struct Approval {
    /// What is granted in staging; `None` for what was asked for.
    pub staging: Option<ApiAccessPermission>,
    /// What is granted in production; `None` for what was asked for.
    pub production: Option<ApiAccessPermission>,
    /// Whether this may be more than was asked for.
    pub wider: bool,
    /// The existing organization that the contact belongs to.
    pub organization: Option<String>,
    /// The message to the contact.
    pub text: String,
}

/// The functions. Errors are those of the API: whatever the caller may not see does not exist for it.
pub trait Management: Send + Sync {
    /// Why a recent call of the caller's organization was refused.
    fn decision(&self, caller: &Caller, request_id: &str) -> Option<Decision>;

    /// Who the caller is.
    fn account(&self, requester: Requester) -> ServiceFuture<'_, Account>;

    /// The keys of the organization, the oldest first.
    fn list_keys(
        &self,
        requester: Requester,
        environment: Option<Environment>,
        page: Page,
    ) -> ServiceFuture<'_, Vec<KeyRecord>>;

    /// One key.
    fn show_key(&self, requester: Requester, id: KeyId) -> ServiceFuture<'_, KeyRecord>;

    /// Creates a key.
    fn create_key(
        &self,
        requester: Requester,
        settings: KeySettings,
    ) -> ServiceFuture<'_, (KeyRecord, KeySecret)>;

    /// Changes a key.
    fn change_key(&self, requester: Requester, id: KeyId, change: KeyChange) -> ServiceFuture<'_, KeyRecord>;

    /// Replaces a key; the old one ends after the overlap. Returns the new key, and the old one as it is now.
    fn rotate_key(
        &self,
        requester: Requester,
        id: KeyId,
        overlap: Duration,
    ) -> ServiceFuture<'_, (KeyRecord, KeySecret, KeyRecord)>;

    /// Revokes a key.
    fn revoke_key(&self, requester: Requester, id: KeyId) -> ServiceFuture<'_, KeyRecord>;

    /// The members of the organization, the oldest first.
    fn list_members(&self, requester: Requester, page: Page) -> ServiceFuture<'_, Vec<MemberInfo>>;

    /// Gives a member another role, by its name or its id.
    fn change_member(
        &self,
        requester: Requester,
        id: MembershipId,
        role: String,
    ) -> ServiceFuture<'_, MemberInfo>;

    /// Removes a member.
    fn remove_member(&self, requester: Requester, id: MembershipId) -> ServiceFuture<'_, ()>;

    /// The roles that the organization has made, by name.
    fn list_roles(&self, requester: Requester) -> ServiceFuture<'_, Vec<CustomRole>>;

    /// Creates a role.
    fn create_role(
        &self,
        requester: Requester,
        name: String,
        permissions: ApiAccessPermission,
    ) -> ServiceFuture<'_, CustomRole>;

    /// Changes the permissions of a role.
    fn change_role(
        &self,
        requester: Requester,
        id: RoleId,
        permissions: ApiAccessPermission,
    ) -> ServiceFuture<'_, CustomRole>;

    /// Removes a role that nobody has.
    fn remove_role(&self, requester: Requester, id: RoleId) -> ServiceFuture<'_, ()>;

    /// The invitations to the organization, the oldest first.
    fn list_invitations(&self, requester: Requester, page: Page) -> ServiceFuture<'_, Vec<InvitationInfo>>;

    /// Invites a person; returns the link too, which is shown once.
    fn create_invitation(
        &self,
        requester: Requester,
        role: String,
        email: Option<String>,
    ) -> ServiceFuture<'_, (InvitationInfo, String)>;

    /// Revokes an invitation.
    fn revoke_invitation(&self, requester: Requester, id: InvitationId) -> ServiceFuture<'_, ()>;

    /// The access requests that the caller sees, the oldest first.
    fn list_access_requests(
        &self,
        requester: Requester,
        state: Option<&'static str>,
        page: Page,
    ) -> ServiceFuture<'_, Vec<AccessRequestInfo>>;

    /// Files an access request of the organization.
    fn create_access_request(
        &self,
        requester: Requester,
        use_case: String,
        wanted: PerEnvironment,
    ) -> ServiceFuture<'_, AccessRequestInfo>;

    /// An access request with all that happened to it.
    fn show_access_request(
        &self,
        requester: Requester,
        id: RequestId,
    ) -> ServiceFuture<'_, (AccessRequestInfo, Vec<RequestEventInfo>)>;

    /// Adds something to an open access request.
    fn add_to_access_request(
        &self,
        requester: Requester,
        id: RequestId,
        text: String,
    ) -> ServiceFuture<'_, AccessRequestInfo>;

    /// Withdraws an access request.
    fn withdraw_access_request(
        &self,
        requester: Requester,
        id: RequestId,
    ) -> ServiceFuture<'_, AccessRequestInfo>;

    /// Approves an access request; returns the link to the keys too, if there is one.
    fn approve_access_request(
        &self,
        requester: Requester,
        id: RequestId,
        approval: Approval,
    ) -> ServiceFuture<'_, (AccessRequestInfo, Option<String>)>;

    /// Asks the requester a question.
    fn ask_about_access_request(
        &self,
        requester: Requester,
        id: RequestId,
        question: String,
    ) -> ServiceFuture<'_, AccessRequestInfo>;

    /// Rejects an access request.
    fn reject_access_request(
        &self,
        requester: Requester,
        id: RequestId,
        reason: String,
    ) -> ServiceFuture<'_, AccessRequestInfo>;

    /// The caller's own app tokens in this organization, the oldest first.
    fn list_devices(&self, requester: Requester, page: Page) -> ServiceFuture<'_, Vec<AppToken>>;

    /// Revokes one of them.
    fn revoke_device(&self, requester: Requester, id: TokenId) -> ServiceFuture<'_, ()>;

    /// The organization's audit log, the newest first.
    fn list_audit(
        &self,
        requester: Requester,
        action: Option<String>,
        target: Option<String>,
        page: Page,
    ) -> ServiceFuture<'_, Vec<AuditInfo>>;
}
