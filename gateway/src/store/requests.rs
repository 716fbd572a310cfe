//! What a storage engine answers about access requests, invitations, and the links that work once.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use permissions::{ApiAccessPermission, InvitationId, KeyHash, KeyId, LinkId, PartnerId, RequestId, RoleOf};
use serde::Serialize;
use uuid::Uuid;

use super::StoreError;

/// A stored name that this build does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an unknown {0}")]
pub struct UnknownName(&'static str);

/// An enum whose variants are stored by their names.
macro_rules! named {
    ($what:literal $(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
        #[serde(into = "&'static str")]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its name in the store and in JSON.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }

        impl From<$name> for &'static str {
            fn from(value: $name) -> Self {
                value.name()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }

        impl FromStr for $name {
            type Err = UnknownName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::ALL.iter().copied().find(|value| value.name() == text).ok_or(UnknownName($what))
            }
        }
    };
}

named! {
    "state of an access request"
    /// The state of an access request.
    RequestState {
        /// Waits for an operator.
        Open = "open",
        /// Waits for an answer to an operator's question.
        AwaitingAnswer = "awaiting_answer",
        /// Approved, as it was filed or narrower.
        Approved = "approved",
        /// Rejected, with a reason.
        Rejected = "rejected",
        /// Withdrawn by the requester.
        Withdrawn = "withdrawn",
    }
}

impl RequestState {
    /// Whether more can be added and an operator may still decide.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Open | Self::AwaitingAnswer)
    }
}

named! {
    "event of an access request"
    /// What happened to an access request.
    RequestAction {
        /// It was filed.
        Filed = "filed",
        /// Its side added something.
        Added = "added",
        /// An operator asked back.
        Asked = "asked",
        /// An operator approved it.
        Approved = "approved",
        /// An operator rejected it.
        Rejected = "rejected",
        /// Its side withdrew it.
        Withdrawn = "withdrawn",
        /// An operator made another link to its keys.
        Linked = "linked",
        /// Its keys were claimed.
        Claimed = "claimed",
    }
}

named! {
    "kind of link"
    /// What a link is for.
    LinkKind {
        /// Signs a user in.
        SignIn = "sign-in",
        /// Shows the keys of an approved access request.
        Claim = "claim",
        /// Accepts an invitation.
        Invitation = "invitation",
    }
}

/// Permissions in each environment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PerEnvironment {
    /// In staging.
    pub staging: ApiAccessPermission,
    /// In production.
    pub production: ApiAccessPermission,
}

impl PerEnvironment {
    /// Those in this environment.
    #[must_use]
    pub const fn of(&self, environment: permissions::Environment) -> ApiAccessPermission {
        match environment {
            permissions::Environment::Staging => self.staging,
            permissions::Environment::Production => self.production,
        }
    }

    /// Whether there is none in either.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.staging.is_empty() && self.production.is_empty()
    }
}

/// A request for access.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AccessRequest {
    /// Its id.
    pub id: RequestId,
    /// Whether somebody without an organization filed it, by a link of its own.
    pub by_contact: bool,
    /// The organization that filed it, or that its approval provisioned.
    pub organization: Option<PartnerId>,
    /// The key that filed it, if one did.
    pub key: Option<KeyId>,
    /// The organization's name, as the request gives it.
    pub name: String,
    /// The contact's name.
    pub contact: String,
    /// The contact's e-mail address; empty where an organization without one asks.
    pub email: String,
    /// What the access is for.
    pub use_case: String,
    /// What was asked for.
    pub wanted: PerEnvironment,
    /// What was approved.
    pub granted: Option<PerEnvironment>,
    /// Its state.
    pub state: RequestState,
    /// When it was filed.
    pub created: Timestamp,
    /// When it last changed.
    pub updated: Timestamp,
}

/// Something that happened to an access request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RequestEvent {
    /// Its number; the events of a request are numbered from 1.
    pub number: i64,
    /// When.
    pub at: Timestamp,
    /// Who, as in the audit log. It is not for the other side.
    pub actor: String,
    /// What.
    pub action: RequestAction,
    /// The question, the reason, or what was added; may be empty.
    pub text: String,
}

/// Which access requests to list, the oldest first.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestFilter {
    /// Only those of this organization.
    pub organization: Option<PartnerId>,
    /// Only those in this state.
    pub state: Option<RequestState>,
    /// Only those that are open, whatever else.
    pub is_open: bool,
    /// Only those after this one.
    pub after: Option<RequestId>,
    /// At most this many.
    pub count: usize,
}

/// A link that works once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its id.
    pub id: LinkId,
    /// What it is for.
    pub kind: LinkKind,
    /// The id of the user, the access request or the invitation.
    pub subject: Uuid,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
    /// When it was used.
    pub used: Option<Timestamp>,
}

/// An invitation to an organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// Its id.
    pub id: InvitationId,
    /// The organization.
    pub organization: PartnerId,
    /// The e-mail address that it was made for.
    pub email: Option<String>,
    /// The role.
    pub role: RoleOf,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
    /// When it was accepted.
    pub accepted: Option<Timestamp>,
    /// When it was revoked.
    pub revoked: Option<Timestamp>,
}

impl Invitation {
    /// Whether it can still be accepted.
    #[must_use]
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.accepted.is_none() && self.revoked.is_none() && now < self.expires
    }
}

/// Reads access requests, links and invitations, inside or outside a transaction.
pub trait Requests {
    /// The access request of this id.
    fn request(&mut self, id: RequestId) -> Result<Option<AccessRequest>, StoreError>;

    /// The access request whose link has a code with this hash.
    fn find_request(&mut self, hash: &KeyHash) -> Result<Option<AccessRequest>, StoreError>;

    /// The access requests that pass the filter, the oldest first.
    fn list_requests(&mut self, filter: &RequestFilter) -> Result<Vec<AccessRequest>, StoreError>;

    /// How many access requests of this organization, or of everybody, are open.
    fn count_open_requests(&mut self, organization: Option<PartnerId>) -> Result<usize, StoreError>;

    /// The first `count` events of an access request after number `after`.
    fn list_request_events(
        &mut self,
        id: RequestId,
        after: i64,
        count: usize,
    ) -> Result<Vec<RequestEvent>, StoreError>;

    /// The link of this kind whose code has this hash.
    fn find_link(&mut self, kind: LinkKind, hash: &KeyHash) -> Result<Option<Link>, StoreError>;

    /// The newest link of this kind for a subject.
    fn newest_link(&mut self, kind: LinkKind, subject: Uuid) -> Result<Option<Link>, StoreError>;

    /// The invitation of this id.
    fn invitation(&mut self, id: InvitationId) -> Result<Option<Invitation>, StoreError>;

    /// The first `count` invitations of an organization after this one, the oldest first.
    fn list_invitations(
        &mut self,
        organization: PartnerId,
        after: Option<InvitationId>,
        count: usize,
    ) -> Result<Vec<Invitation>, StoreError>;

    /// How many invitations of an organization can still be accepted at this time.
    fn count_open_invitations(
        &mut self,
        organization: PartnerId,
        now: Timestamp,
    ) -> Result<usize, StoreError>;
}

/// Writes access requests, links and invitations, in a transaction. Servers keep none of them in memory, so they add
/// nothing to the feed.
pub trait WriteRequests: Requests {
    /// Adds an access request; `hash` is that of its link's code, where it has a link.
    fn insert_request(&mut self, request: &AccessRequest, hash: Option<&KeyHash>) -> Result<(), StoreError>;

    /// Writes what can change of an access request: its state, its organization, and what was granted.
    fn update_request(&mut self, request: &AccessRequest) -> Result<bool, StoreError>;

    /// Appends an event to an access request; returns its number.
    fn append_request_event(
        &mut self,
        id: RequestId,
        actor: &str,
        action: RequestAction,
        text: &str,
    ) -> Result<i64, StoreError>;

    /// Removes the oldest withdrawn access requests of strangers beyond the newest `kept`; returns how many.
    fn forget_withdrawn_requests(&mut self, kept: usize) -> Result<usize, StoreError>;

    /// Adds a link, whose code has this hash.
    fn insert_link(&mut self, link: &Link, hash: &KeyHash) -> Result<(), StoreError>;

    /// Uses a link; returns whether it was neither used before nor has expired.
    fn use_link(&mut self, id: LinkId) -> Result<bool, StoreError>;

    /// Ends the links of this kind for a subject that were not used; returns how many.
    fn end_links(&mut self, kind: LinkKind, subject: Uuid) -> Result<usize, StoreError>;

    /// Removes links that ended before this time; returns how many.
    fn forget_links(&mut self, before: Timestamp) -> Result<usize, StoreError>;

    /// Adds an invitation.
    fn insert_invitation(&mut self, invitation: &Invitation) -> Result<(), StoreError>;

    /// Marks an invitation as accepted; returns whether it was neither accepted nor revoked before.
    fn accept_invitation(&mut self, id: InvitationId) -> Result<bool, StoreError>;

    /// Revokes an invitation; returns whether it was neither accepted nor revoked before.
    fn revoke_invitation(&mut self, id: InvitationId) -> Result<bool, StoreError>;

    /// Removes invitations of an organization that ended before this time; returns how many.
    fn forget_invitations(&mut self, organization: PartnerId, before: Timestamp)
    -> Result<usize, StoreError>;
}
