//! Roles: the built-in ones, and those that the caller's organization has made.

use http::{Method, StatusCode};
use permissions::{ApiAccessPermission, BuiltInRole, CustomRole, RoleId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Context, Empty, Endpoint, Error, ErrorCode, Handler, NoContent};

/// A role: a named set of permissions.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Role {
    /// Its id; null for a built-in role.
    pub id: Option<Uuid>,
    /// Its name.
    pub name: String,
    /// Whether every organization has it, unchangeable.
    pub built_in: bool,
    /// Its permissions. A member has those of them that your organization is granted.
    #[schemars(with = "Vec<String>")]
    pub permissions: ApiAccessPermission,
}

impl Role {
    fn custom(role: CustomRole) -> Self {
        Self { id: Some(role.id.0), name: role.name, built_in: false, permissions: role.permissions }
    }

    fn built_in(role: BuiltInRole) -> Self {
        let permissions = role.permissions() - ApiAccessPermission::OPERATION;
        Self { id: None, name: role.name().to_owned(), built_in: true, permissions }
    }

    fn example() -> Self {
        Self {
            id: Some(Uuid::from_u128(0x019a_2b3c_4d5e_7f60_8a9b_0c1d_2e3f_4a5f)),
            name: "monitoring".to_owned(),
            built_in: false,
            permissions: ApiAccessPermission::PING_READ | ApiAccessPermission::ME_READ,
        }
    }
}

/// Lists the roles.
pub struct ListRoles;

/// The roles.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RoleList {
    /// The built-in roles, then those of your organization by name.
    pub roles: Vec<Role>,
}

impl Endpoint for ListRoles {
    const NAME: &'static str = "list_roles";
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/roles.json";
    const PERMISSION: ApiAccessPermission = ApiAccessPermission::ROLES_READ;
    const SUMMARY: &'static str = "List the roles that members can have.";
    const SAFE: bool = true;

    type Request = Empty;
    type Response = RoleList;

    fn example() -> RoleList {
        RoleList { roles: vec![Role::built_in(BuiltInRole::Viewer), Role::example()] }
    }
}

impl Handler for ListRoles {
    async fn handle(context: &Context<'_>, _: Empty) -> Result<RoleList, Error> {
        let custom = context.management()?.list_roles(context.requester()).await?;
        let built_in = BuiltInRole::ALL.into_iter().map(Role::built_in);
        Ok(RoleList { roles: built_in.chain(custom.into_iter().map(Role::custom)).collect() })
    }
}

/// Creates a role.
pub struct CreateRole;

/// A new role.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRole {
    /// Its name: 1 to 128 printable characters, without spaces at either end.
    #[schemars(length(min = 1, max = 128), example = &"monitoring")]
    pub name: String,
    /// Its permissions: none that you or your organization lack.
    #[schemars(with = "Vec<String>", example = &["ping:read"])]
    pub permissions: ApiAccessPermission,
}

impl Endpoint for CreateRole {
    const NAME: &'static str = "create_role";
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/roles.json";
    const PERMISSION: ApiAccessPermission = ApiAccessPermission::ROLES_WRITE;
    const SUMMARY: &'static str = "Create a role of your organization's own.";
    const STATUS: StatusCode = StatusCode::CREATED;
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::StepUpRequired, ErrorCode::Conflict];
    const IDEMPOTENCY_KEY: bool = true;

    type Request = NewRole;
    type Response = Role;

    fn example() -> Role {
        Role::example()
    }
}

impl Handler for CreateRole {
    async fn handle(context: &Context<'_>, new: NewRole) -> Result<Role, Error> {
        let role = context.management()?.create_role(context.requester(), new.name, new.permissions).await?;
        Ok(Role::custom(role))
    }
}

/// Changes a role.
pub struct UpdateRole;

/// The new permissions of a role.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RoleUpdate {
    /// The role's id.
    #[schemars(example = &"019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b")]
    pub id: Uuid,
    /// Its permissions: none that you or your organization lack.
    #[schemars(with = "Vec<String>", example = &["ping:read"])]
    pub permissions: ApiAccessPermission,
}

impl Endpoint for UpdateRole {
    const NAME: &'static str = "update_role";
    const METHOD: Method = Method::PATCH;
    const PATH: &'static str = "/roles/{id}.json";
    const PERMISSION: ApiAccessPermission = ApiAccessPermission::ROLES_WRITE;
    const SUMMARY: &'static str =
        "Change the permissions of a role. It applies at once to every member who has it.";
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::StepUpRequired];

    type Request = RoleUpdate;
    type Response = Role;

    fn example() -> Role {
        Role::example()
    }
}

impl Handler for UpdateRole {
    async fn handle(context: &Context<'_>, update: RoleUpdate) -> Result<Role, Error> {
        let id = RoleId(update.id);
        let role = context.management()?.change_role(context.requester(), id, update.permissions).await?;
        Ok(Role::custom(role))
    }
}

/// Removes a role.
pub struct RemoveRole;

/// A role, named by its id.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OneRole {
    /// The role's id.
    #[schemars(example = &"019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b")]
    pub id: Uuid,
}

impl Endpoint for RemoveRole {
    const NAME: &'static str = "remove_role";
    const METHOD: Method = Method::DELETE;
    const PATH: &'static str = "/roles/{id}.json";
    const PERMISSION: ApiAccessPermission = ApiAccessPermission::ROLES_WRITE;
    const SUMMARY: &'static str = "Remove a role that nobody has.";
    const STATUS: StatusCode = StatusCode::NO_CONTENT;
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::StepUpRequired, ErrorCode::Conflict];

    type Request = OneRole;
    type Response = NoContent;

    fn example() -> NoContent {
        NoContent
    }
}

impl Handler for RemoveRole {
    async fn handle(context: &Context<'_>, OneRole { id }: OneRole) -> Result<NoContent, Error> {
        context.management()?.remove_role(context.requester(), RoleId(id)).await?;
        Ok(NoContent)
    }
}
