//! Every endpoint of every date as a call, from the declarations themselves: a new endpoint is walked as soon as it is
//! listed. A call has the examples of the declaration as its content, and an id that no store has in its path. Where
//! that is not what a walk needs, the endpoint has a row in one of the tables here.

use std::fmt::Display;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use permissions::{ApiAccessPermission, Environment, MembershipId, RoleOf};
use serde_json::{Map, Value, json};
use tests::{Key, Organization, People, Response, with_method};
use versions::docs::{Location, parameters};
use versions::{Catalog, ErrorCode, RELEASES};

use crate::contract::assert_problem;

/// An id that nothing has.
pub(crate) const NOWHERE: &str = "019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b";

/// Members of a content that the examples do not suit: a call of a walk is allowed to a caller that has the endpoint's own
/// permission and no other. Permissions are always that one.
const CONTENT: &[(&str, &str, &str)] = &[
    // A role that allows nothing, which `tests::Organization` has.
    ("update_member", "role", r#""nobody""#),
    ("create_invitation", "role", r#""nobody""#),
    ("create_access_request", "staging", r#"["connection:read"]"#),
    ("create_access_request", "production", r#"["connection:read"]"#),
];

/// Calls that a key cannot make, whatever its permissions: they need a person, who has authenticated a moment ago.
const NEEDS_PERSON: &[&str] = &["create_role", "create_invitation"];

/// One endpoint at one date.
#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) version: String,
    pub(crate) name: &'static str,
    pub(crate) method: Method,
    /// The path with its placeholders.
    pub(crate) template: String,
    /// The path of a call.
    pub(crate) path: String,
    pub(crate) permission: ApiAccessPermission,
    /// The status of a success.
    pub(crate) status: StatusCode,
    /// The content of a call, for methods that have one.
    pub(crate) content: Option<Value>,
}

/// Every endpoint of every date.
pub(crate) fn routes() -> Vec<Route> {
    let catalog = Catalog::new(RELEASES).expect("the releases do not contradict each other");
    let rows = catalog.entries().iter().map(|entry| Route {
        version: entry.version.to_string(),
        name: entry.route.name,
        method: entry.route.method.clone(),
        template: entry.template.clone(),
        path: entry.template.replace("{id}", NOWHERE),
        permission: entry.route.permission,
        status: entry.route.status,
        content: content(&entry.route),
    });
    let rows: Vec<_> = rows.collect();
    for row in &rows {
        assert!(!row.path.contains('{'), "{}: what stands in the path of a call to it?", row.template);
    }
    rows
}

/// Those of one date.
pub(crate) fn routes_of(version: &str) -> Vec<Route> {
    routes().into_iter().filter(|route| route.version == version).collect()
}

fn content(route: &versions::Route) -> Option<Value> {
    if !versions::has_content(&route.method) {
        return None;
    }
    let parts = parameters(route).expect("every endpoint can be described");
    let mut members = Map::new();
    for part in parts.into_iter().filter(|part| part.place == Location::Content) {
        let row =
            CONTENT.iter().find(|(name, member, _)| (*name, *member) == (route.name, part.name.as_str()));
        let value = match row {
            Some((_, _, text)) => Some(serde_json::from_str(text).expect("a row holds JSON")),
            None if part.name == "permissions" => Some(json!([route.permission.to_string()])),
            None => part.example.filter(|_| part.required),
        };
        members.extend(value.map(|value| (part.name, value)));
    }
    Some(Value::Object(members))
}

impl Route {
    /// A call of its path without a credential.
    pub(crate) fn request(&self) -> Request<Bytes> {
        with_content(with_method(&self.method, &self.path), self.content.as_ref())
    }

    /// A call of its path.
    pub(crate) fn call(&self, key: &Key) -> Request<Bytes> {
        self.call_with(key, "")
    }

    /// The same with a query.
    pub(crate) fn call_with(&self, key: &Key, query: &str) -> Request<Bytes> {
        with_content(key.request(&self.method, &format!("{}{query}", self.path)), self.content.as_ref())
    }

    /// A call of its path with this id in it.
    pub(crate) fn at(&self, id: impl Display) -> Self {
        Self { path: self.template.replace("{id}", &id.to_string()), ..self.clone() }
    }

    /// Whether only the operator's organization may call it.
    pub(crate) fn is_review(&self) -> bool {
        ApiAccessPermission::OPERATION.contains(self.permission)
    }

    /// Whether it changes members or roles, which are of both environments: a credential of staging may not.
    pub(crate) fn is_of_both_environments(&self) -> bool {
        (ApiAccessPermission::MEMBERS_WRITE | ApiAccessPermission::ROLES_WRITE).contains(self.permission)
    }

    /// Whether the path names one of several things.
    pub(crate) fn names_one(&self) -> bool {
        self.template.contains("{id}")
    }

    /// What becomes of a call of a key that may make it: `None` for a success.
    pub(crate) fn refusal_of_key(&self) -> Option<ErrorCode> {
        match self.name {
            // No partner's key has it.
            _ if self.is_review() => Some(ErrorCode::PermissionMissing),
            _ if self.names_one() => Some(ErrorCode::UnknownResource),
            name if NEEDS_PERSON.contains(&name) => Some(ErrorCode::StepUpRequired),
            _ => None,
        }
    }

    /// The status of a call of a key that may make it.
    pub(crate) fn status_of_key(&self) -> StatusCode {
        self.refusal_of_key().map_or(self.status, ErrorCode::status)
    }

    /// Asserts that a call of a key was authenticated, authorized and handled.
    #[track_caller]
    pub(crate) fn assert_handled(&self, answer: &Response, context: impl Display) {
        if self.name == "create_access_request" && answer.status == StatusCode::CONFLICT {
            // The key's organization has everything there is.
            return assert_code(answer, ErrorCode::Conflict, context);
        }
        assert_eq!(answer.status, self.status_of_key(), "{context}: {answer:?}");
        match self.refusal_of_key() {
            Some(code) => assert_code(answer, code, context),
            None => assert_eq!(answer.body.is_empty(), self.status == StatusCode::NO_CONTENT, "{context}"),
        }
    }
}

/// A thing of this organization that a caller with the permission of the endpoint may change: it has nothing that the caller lacks.
pub(crate) fn target(
    people: &mut People,
    route: &Route,
    organization: Organization,
    caller: MembershipId,
) -> String {
    let resource = route.template.split('/').nth(2).expect("a path has a version and a resource");
    let nothing = RoleOf::Custom(organization.nobody);
    match resource {
        "keys" => people.key(organization.id, Environment::Staging, ApiAccessPermission::ME_READ).id,
        "members" => people.member(organization.id, nothing).to_string(),
        "roles" => {
            let name = format!("role {}", uuid::Uuid::from_u128(rand::random()));
            people.role(organization.id, &name, ApiAccessPermission::empty()).to_string()
        }
        "devices" => people.token(caller, Environment::Staging).id,
        "invitations" => people.invitation(organization),
        "access-requests" if route.is_review() => people.request_of_a_stranger(),
        "access-requests" => people.request(organization),
        "decisions" => people.refused_call(organization.id),
        _ => panic!("{}: add a row that makes what its path names", route.template),
    }
}

/// The call, with a content that is new each time where things have names.
pub(crate) fn fresh(route: &Route) -> Route {
    let mut route = route.clone();
    if let Some(name) = route.content.as_mut().and_then(|content| content.get_mut("name")) {
        *name = json!(format!("name {}", uuid::Uuid::from_u128(rand::random())));
    }
    route
}

/// Asserts a problem of this kind.
#[track_caller]
pub(crate) fn assert_code(answer: &Response, code: ErrorCode, context: impl Display) {
    let problem = assert_problem(answer, code.status().as_u16(), &context);
    let kind = problem["type"].as_str().unwrap_or_default();
    assert!(kind.ends_with(&format!("/{}", code.name())), "{context}: {problem}");
}

/// A request with a JSON content.
pub(crate) fn with_content(request: Request<Bytes>, content: Option<&Value>) -> Request<Bytes> {
    let Some(content) = content else { return request };
    let (mut head, _) = request.into_parts();
    head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Request::from_parts(head, content.to_string().into())
}
