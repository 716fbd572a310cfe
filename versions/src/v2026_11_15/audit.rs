//! `GET /2026-11-15/audit.json`: who changed what in the caller's organization.

use http::Method;
use jiff::Timestamp;
use permissions::ApiAccessPermission;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::keys::DateTime;
use super::list::{self, Limit};
use crate::management::AuditInfo;
use crate::{Context, Endpoint, Error, Handler};

/// Lists the audit log.
pub struct ListAudit;

/// Which entries to list.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditFilter {
    /// Lists only this action.
    #[schemars(example = &"key.create")]
    pub action: Option<String>,
    /// Lists only what was done to this.
    pub target: Option<String>,
    /// Lists what follows this cursor: the `next` of the page before.
    #[schemars(length(max = 64))]
    pub after: Option<String>,
    /// How many entries to return.
    #[serde(default)]
    pub limit: Limit,
}

/// A page of the audit log.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AuditPage {
    /// The entries, the newest first.
    pub entries: Vec<AuditEntry>,
    /// The cursor of the next page; null on the last one.
    pub next: Option<String>,
}

/// What was done, by whom.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    /// Its number; numbers rise.
    pub number: i64,
    /// When it was done.
    #[schemars(with = "DateTime")]
    pub at: Timestamp,
    /// Who did it: `user:` or `key:` with an id, or `operator`.
    pub actor: String,
    /// What was done.
    pub action: String,
    /// To what: its kind and its id.
    pub target: String,
    /// The target before, as far as it changed; never a secret.
    pub before: Option<Value>,
    /// The target after.
    pub after: Option<Value>,
    /// From which address, or null.
    pub address: Option<String>,
    /// In which request, or null.
    pub request_id: Option<String>,
}

impl Endpoint for ListAudit {
    const NAME: &'static str = "list_audit";
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/audit.json";
    const PERMISSION: ApiAccessPermission = ApiAccessPermission::AUDIT_READ;
    const SUMMARY: &'static str = "List who changed what in your organization, the newest first.";
    const SAFE: bool = true;

    type Request = AuditFilter;
    type Response = AuditPage;

    fn example() -> AuditPage {
        let entry = AuditEntry {
            number: 42,
            at: Timestamp::constant(1_795_000_000, 0),
            actor: "user:019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5d".to_owned(),
            action: "key.update".to_owned(),
            target: "key:019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b".to_owned(),
            before: Some(json!({ "name": "build" })),
            after: Some(json!({ "name": "build server" })),
            address: Some("192.0.2.7".to_owned()),
            request_id: Some("019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a61".to_owned()),
        };
        AuditPage { entries: vec![entry], next: None }
    }
}

impl Handler for ListAudit {
    async fn handle(context: &Context<'_>, filter: AuditFilter) -> Result<AuditPage, Error> {
        let AuditFilter { action, target, after, limit } = filter;
        let page = list::page(after, limit)?;
        let count = page.count;
        let entries = context.management()?.list_audit(context.requester(), action, target, page).await?;
        let entry = |entry: AuditInfo| AuditEntry {
            number: entry.number,
            at: entry.at,
            actor: entry.actor,
            action: entry.action,
            target: entry.target,
            before: entry.before,
            after: entry.after,
            address: entry.address,
            request_id: entry.request_id,
        };
        let mut entries: Vec<_> = entries.into_iter().map(entry).collect();
        let next = list::cut(&mut entries, count, |entry| entry.number.to_string());
        Ok(AuditPage { entries, next })
    }
}
