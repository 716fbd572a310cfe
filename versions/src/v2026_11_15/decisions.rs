//! `GET /2026-11-15/decisions/{id}.json`: why a call of the caller's organization was refused.

use http::Method;
use jiff::Timestamp;
use permissions::{ApiAccessPermission, Credential, Environment};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::keys::DateTime;
use super::me::{CredentialInfo, CredentialKind};
use crate::management::{DecisionStep, StepResult};
use crate::{Context, Endpoint, Error, ErrorCode, Handler};

/// Says why a call was refused.
pub struct ShowDecision;

/// A refused call.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OneDecision {
    /// The `x-request-id` of the refused call's response.
    #[schemars(example = &"019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b")]
    pub id: Uuid,
}

/// Why a call was refused.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DecisionInfo {
    /// The id of the call.
    pub request_id: String,
    /// When it was made.
    #[schemars(with = "DateTime")]
    pub at: Timestamp,
    /// The credential that it had.
    pub credential: CredentialInfo,
    /// The environment of that credential.
    pub env: Environment,
    /// The method.
    pub method: String,
    /// The endpoint with its version, or null if none was found.
    pub endpoint: Option<String>,
    /// The status of the response.
    pub status: u16,
    /// The code of the error, the last part of its `type`.
    pub error: String,
    /// Why the credential was refused, such as `revoked` or `expired`; null for any other error.
    pub reason: Option<String>,
    /// What the response said; empty for a 401, which says nothing.
    pub detail: String,
    /// The steps that a call goes through, in their order.
    pub steps: Vec<StepInfo>,
}

/// One step of a call.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StepInfo {
    /// Its name: `admit`, `authenticate`, `dispatch`, `authorize` or `handle`.
    pub step: String,
    /// What became of it.
    pub result: StepOutcome,
    /// How long it took, in microseconds.
    pub microseconds: u64,
}

/// What became of a step.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepOutcome {
    /// The call passed it.
    Passed,
    /// The call was refused here.
    Refused,
    /// The call did not come so far.
    NotReached,
}

impl StepInfo {
    fn new(DecisionStep { step, result, microseconds }: DecisionStep) -> Self {
        let result = match result {
            StepResult::Passed => StepOutcome::Passed,
            StepResult::Refused => StepOutcome::Refused,
            StepResult::NotReached => StepOutcome::NotReached,
        };
        Self { step: step.to_owned(), result, microseconds }
    }
}

impl Endpoint for ShowDecision {
    const NAME: &'static str = "show_decision";
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/decisions/{id}.json";
    const PERMISSION: ApiAccessPermission = ApiAccessPermission::LOGS_READ;
    const SUMMARY: &'static str =
        "Find out why a recent call of your organization was refused, step by step, by its request id.";
    const SAFE: bool = true;

    type Request = OneDecision;
    type Response = DecisionInfo;

    fn example() -> DecisionInfo {
        let step = |step, result, microseconds| StepInfo::new(DecisionStep { step, result, microseconds });
        DecisionInfo {
            request_id: "019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b".to_owned(),
            at: Timestamp::constant(1_795_000_000, 0),
            credential: CredentialInfo {
                kind: CredentialKind::Key,
                id: Some(Uuid::from_u128(0x019a_2b3c_4d5e_7f60_8a9b_0c1d_2e3f_4a5c)),
            },
            env: Environment::Staging,
            method: "GET".to_owned(),
            endpoint: Some("/2026-02-01/connection.json".to_owned()),
            status: 403,
            error: "permission-missing".to_owned(),
            reason: None,
            detail: "This key lacks the permission `connection:read`. Ask for it, or use a key that has it."
                .to_owned(),
            steps: vec![
                step("admit", StepResult::Passed, 2),
                step("authenticate", StepResult::Passed, 1),
                step("dispatch", StepResult::Passed, 1),
                step("authorize", StepResult::Refused, 1),
                step("handle", StepResult::NotReached, 0),
            ],
        }
    }
}

impl Handler for ShowDecision {
    async fn handle(context: &Context<'_>, OneDecision { id }: OneDecision) -> Result<DecisionInfo, Error> {
        let found = context.management()?.decision(context.caller, &id.hyphenated().to_string()).ok_or_else(
            || {
                Error::new(
                    ErrorCode::UnknownResource,
                    "No refused call of your organization with this id is remembered. The gateway \
                 remembers the newest, and none from before its last start.",
                )
            },
        )?;
        let (kind, id) = match found.credential {
            Credential::Key(id) => (CredentialKind::Key, Some(id.0)),
            Credential::Token(id) => (CredentialKind::Token, Some(id.0)),
            Credential::Session(_) => (CredentialKind::Session, None),
        };
        Ok(DecisionInfo {
            request_id: found.request_id,
            at: found.at,
            credential: CredentialInfo { kind, id },
            env: found.environment,
            method: found.method,
            endpoint: found.endpoint,
            status: found.status,
            error: found.error.to_owned(),
            reason: found.reason.map(str::to_owned),
            detail: found.detail,
            steps: found.steps.into_iter().map(StepInfo::new).collect(),
        })
    }
}
