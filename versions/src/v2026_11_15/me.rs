//! `GET /2026-11-15/me.json`: who the caller is.

use http::Method;
use permissions::{ApiAccessPermission, Credential, Environment};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::{Context, Empty, Endpoint, Error, Handler};

/// Says who the caller is.
pub struct Me;

/// The caller.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MeResponse {
    /// The credential of the call.
    pub credential: CredentialInfo,
    /// The environment of the credential.
    pub env: Environment,
    /// The organization that the credential acts for.
    pub organization: OrganizationInfo,
    /// The person, or null for an organization's key.
    pub user: Option<UserInfo>,
    /// The role of the person in the organization, or null for an organization's key.
    pub role: Option<String>,
    /// What this credential may do now.
    #[schemars(with = "Vec<String>")]
    pub permissions: ApiAccessPermission,
}

/// A credential.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CredentialInfo {
    /// Its kind.
    pub kind: CredentialKind,
    /// Its id; null for a session.
    pub id: Option<Uuid>,
}

/// A kind of credential.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CredentialKind {
    /// A key of an organization.
    Key,
    /// An app token of a person.
    Token,
    /// A session at an identity provider.
    Session,
}

/// An organization.
#[derive(Debug, Serialize, JsonSchema)]
pub struct OrganizationInfo {
    /// Its id, which stays when it is renamed.
    pub id: Uuid,
    /// Its name.
    pub name: String,
}

/// A person.
#[derive(Debug, Serialize, JsonSchema)]
pub struct UserInfo {
    /// The person's id.
    pub id: Uuid,
    /// The person's name.
    pub name: String,
    /// The person's e-mail address, if it is known.
    pub email: Option<String>,
}

impl Endpoint for Me {
    const NAME: &'static str = "me";
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/me.json";
    const PERMISSION: ApiAccessPermission = ApiAccessPermission::ME_READ;
    const SUMMARY: &'static str =
        "Find out who you are: your credential, organization, role and permissions.";
    const SAFE: bool = true;

    type Request = Empty;
    type Response = MeResponse;

    fn example() -> MeResponse {
        MeResponse {
            credential: CredentialInfo {
                kind: CredentialKind::Token,
                id: Some(Uuid::from_u128(0x019a_2b3c_4d5e_7f60_8a9b_0c1d_2e3f_4a5b)),
            },
            env: Environment::Staging,
            organization: OrganizationInfo {
                id: Uuid::from_u128(0x019a_2b3c_4d5e_7f60_8a9b_0c1d_2e3f_4a5c),
                name: "acme".to_owned(),
            },
            user: Some(UserInfo {
                id: Uuid::from_u128(0x019a_2b3c_4d5e_7f60_8a9b_0c1d_2e3f_4a5d),
                name: "Ada Lovelace".to_owned(),
                email: Some("ada@example.com".to_owned()),
            }),
            role: Some("developer".to_owned()),
            permissions: ApiAccessPermission::PING_READ | ApiAccessPermission::ME_READ,
        }
    }
}

impl Handler for Me {
    async fn handle(context: &Context<'_>, _: Empty) -> Result<MeResponse, Error> {
        let account = context.management()?.account(context.requester()).await?;
        let caller = context.caller;
        let (kind, id) = match caller.credential {
            Credential::Key(id) => (CredentialKind::Key, Some(id.0)),
            Credential::Token(id) => (CredentialKind::Token, Some(id.0)),
            Credential::Session(_) => (CredentialKind::Session, None),
        };
        let (user, role) = account.person.unzip();
        Ok(MeResponse {
            credential: CredentialInfo { kind, id },
            env: caller.environment,
            organization: OrganizationInfo { id: caller.organization.0, name: account.organization },
            user: user.map(|user| UserInfo { id: user.id.0, name: user.name, email: user.email }),
            role,
            permissions: caller.permissions,
        })
    }
}
