//! 2026-11-15: a file per resource, over HTTP/1.1, 2 and 3, and what all its endpoints have in common.

mod audit;
mod devices;
mod errors;
mod idempotency;
mod keys;
mod matrix;
mod me;
mod members;
mod roles;
mod step_up;

use bytes::Bytes;
use http::{Method, Request};
use permissions::{ApiAccessPermission, BuiltInRole, Environment, RoleOf};
use serde_json::Value;
use tests::{Client, Key, Organization, People, Protocol, Response, TestGateway};

use crate::contract::assert_problem;

/// HTTP/1.1, 2 and 3.
const PROTOCOLS: [Protocol; 3] = [Protocol::H1Tls, Protocol::H2, Protocol::H3];

/// Two organizations that may ping, and people of the first.
struct World {
    gateway: TestGateway,
    people: People,
    acme: Organization,
    rival: Organization,
    /// The owner of the first, with a token of each environment.
    owner: Key,
    owner_in_production: Key,
}

impl World {
    async fn new() -> Self {
        Self::with("").await
    }

    /// With these settings.
    async fn with(overlay: &str) -> Self {
        let gateway = TestGateway::start(overlay).await;
        let mut people = gateway.people();
        let acme = people.organization("acme", ApiAccessPermission::PING_READ);
        let rival = people.organization("rival", ApiAccessPermission::grantable());
        let owner = people.token(acme.owner, Environment::Staging);
        let owner_in_production = people.token(acme.owner, Environment::Production);
        people.applied().await;
        Self { gateway, people, acme, rival, owner, owner_in_production }
    }

    /// A new member of the first organization, with a token.
    fn member(&mut self, role: BuiltInRole) -> (permissions::MembershipId, Key) {
        let member = self.people.member(self.acme.id, RoleOf::BuiltIn(role));
        (member, self.people.token(member, Environment::Staging))
    }

    /// Sends one request on a new connection: after a refusal, HTTP/1.1 closes it.
    async fn ask(&self, protocol: Protocol, request: Request<Bytes>) -> Response {
        Client::over(&self.gateway, protocol).await.ask(request).await
    }

    async fn get(&self, protocol: Protocol, key: &Key, resource: &str) -> Response {
        self.ask(protocol, key.get(&path(resource))).await
    }

    async fn send(
        &self,
        protocol: Protocol,
        key: &Key,
        method: Method,
        resource: &str,
        content: &Value,
    ) -> Response {
        self.ask(protocol, key.send(&method, &path(resource), content)).await
    }
}

fn path(resource: &str) -> String {
    format!("/2026-11-15/{resource}.json")
}

/// The body of a response with this status.
#[track_caller]
fn body(answer: &Response, status: u16) -> Value {
    assert_eq!(answer.status.as_u16(), status, "{answer:?}");
    answer.json()
}

/// A problem's body but for what differs with every response.
#[track_caller]
fn problem(answer: &Response, status: u16) -> Value {
    let mut problem = assert_problem(answer, status, "");
    problem.as_object_mut().expect("a problem is an object").remove("requestId");
    problem
}

/// The ids of a list's items.
fn ids(page: &Value, list: &str) -> Vec<String> {
    let items = page[list].as_array().unwrap_or_else(|| panic!("no {list} in {page}"));
    items.iter().map(|item| item["id"].as_str().unwrap_or_default().to_owned()).collect()
}
