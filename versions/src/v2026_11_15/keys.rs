//! The keys of the caller's organization: list, create, show, change, rotate and revoke.

use std::time::Duration;

use http::{Method, StatusCode};
use ipnet::IpNet;
use jiff::Timestamp;
use permissions::{ApiAccessPermission, Environment, KeyId, KeyRecord, OnRetired, PartnerId, Rate};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use super::list::{self, Limit};
use crate::management::{KeyChange, KeySettings};
use crate::{Context, Endpoint, Error, ErrorCode, Handler};

/// A key, without its secret.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyInfo {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Its environment.
    pub env: Environment,
    /// Its own permissions. It may use those of them that your organization is granted.
    #[schemars(with = "Vec<String>")]
    pub permissions: ApiAccessPermission,
    /// What it may do now.
    #[schemars(with = "Vec<String>")]
    pub effective_permissions: ApiAccessPermission,
    /// Whether it is accepted now, and if not, why.
    pub state: KeyState,
    /// The last four characters of its text.
    pub hint: String,
    /// When it was created.
    #[schemars(with = "DateTime")]
    pub created: Timestamp,
    /// From when on it is accepted, or null for at once.
    #[schemars(with = "Option<DateTime>")]
    pub not_before: Option<Timestamp>,
    /// When it expires, or null for never.
    #[schemars(with = "Option<DateTime>")]
    pub expires: Option<Timestamp>,
    /// When it was revoked, or null.
    #[schemars(with = "Option<DateTime>")]
    pub revoked: Option<Timestamp>,
    /// The networks that it may be used from; empty for any.
    #[schemars(with = "Vec<String>")]
    pub allow: Vec<IpNet>,
    /// Its rate, such as `50/s+100`, or null for the default rate.
    #[schemars(with = "Option<String>")]
    pub rate: Option<Rate>,
    /// How its calls to a retired version are handled.
    #[schemars(with = "Retired")]
    pub on_retired: OnRetired,
    /// The key that it replaced, or null.
    pub replaces: Option<Uuid>,
    /// When it was last used, to the minute, or null.
    #[schemars(with = "Option<DateTime>")]
    pub last_used: Option<Timestamp>,
}

/// Whether a key is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// It is accepted.
    Active,
    /// It is accepted from a later time on.
    NotYetValid,
    /// It has expired.
    Expired,
    /// It was revoked.
    Revoked,
    /// The organization is suspended.
    Suspended,
}

/// A time (RFC 3339).
#[derive(JsonSchema)]
#[schemars(inline, transparent, extend("format" = "date-time"))]
#[expect(dead_code, reason = "only its schema is used: jiff's types have none with a format")]
pub(super) struct DateTime(String);

/// How calls to a retired version are handled: with 410, or by its successor.
#[derive(JsonSchema)]
#[schemars(inline)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "only its schema is used")]
enum Retired {
    Refuse,
    Forward,
}

impl KeyInfo {
    fn new(key: KeyRecord, now: Timestamp) -> Self {
        let state = if key.revoked.is_some() {
            KeyState::Revoked
        } else if key.expires.is_some_and(|expires| expires <= now) {
            KeyState::Expired
        } else if key.suspended {
            KeyState::Suspended
        } else if key.not_before.is_some_and(|not_before| now < not_before) {
            KeyState::NotYetValid
        } else {
            KeyState::Active
        };
        Self {
            id: key.id.0,
            effective_permissions: key.effective(),
            name: key.name,
            env: key.environment,
            permissions: key.permissions,
            state,
            hint: key.hint,
            created: key.created,
            not_before: key.not_before,
            expires: key.expires,
            revoked: key.revoked,
            allow: key.allow,
            rate: key.rate,
            on_retired: key.on_retired,
            replaces: key.replaces.map(|id| id.0),
            last_used: key.last_used,
        }
    }

    fn example() -> Self {
        let permissions = ApiAccessPermission::PING_READ | ApiAccessPermission::CONNECTION_READ;
        let created = Timestamp::constant(1_795_000_000, 0);
        let id = KeyId(Uuid::from_u128(0x019a_2b3c_4d5e_7f60_8a9b_0c1d_2e3f_4a5b));
        let (partner, hint) = (PartnerId(Uuid::nil()), "x7Qa".to_owned());
        let key = KeyRecord::new(id, partner, Environment::Staging, permissions, hint, created);
        Self::new(KeyRecord { name: "build server".to_owned(), ..key }, created)
    }
}

/// A key that was just created.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreatedKey {
    /// The key.
    pub key: KeyInfo,
    /// Its text, which is shown only once; null if an earlier response to the same `Idempotency-Key` has shown it.
    pub secret: Option<String>,
    /// When the text was shown.
    #[schemars(with = "DateTime")]
    pub secret_shown_at: Timestamp,
}

impl CreatedKey {
    fn example() -> Self {
        Self {
            key: KeyInfo::example(),
            secret: Some("pgw_stg_…".to_owned()),
            secret_shown_at: Timestamp::constant(1_795_000_000, 0),
        }
    }
}

/// Lists the organization's keys.
pub struct ListKeys;

/// Which keys to list.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyFilter {
    /// Lists only keys of this environment. With a credential of staging, all are.
    pub env: Option<Environment>,
    /// Lists what follows this cursor: the `next` of the page before.
    #[schemars(length(max = 64))]
    pub after: Option<String>,
    /// How many keys to return.
    #[serde(default)]
    pub limit: Limit,
}

/// A page of keys.
#[derive(Debug, Serialize, JsonSchema)]
pub struct KeyPage {
    /// The keys, the oldest first.
    pub keys: Vec<KeyInfo>,
    /// The cursor of the next page; null on the last one.
    pub next: Option<String>,
}

impl Endpoint for ListKeys {
    const NAME: &'static str = "list_keys";
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/keys.json";
    const PERMISSION: ApiAccessPermission = ApiAccessPermission::KEYS_READ;
    const SUMMARY: &'static str = "List the keys of your organization.";
    const SAFE: bool = true;

    type Request = KeyFilter;
    type Response = KeyPage;

    fn example() -> KeyPage {
        KeyPage { keys: vec![KeyInfo::example()], next: None }
    }
}

impl Handler for ListKeys {
    async fn handle(context: &Context<'_>, filter: KeyFilter) -> Result<KeyPage, Error> {
        let page = list::page(filter.after, filter.limit)?;
        let (count, now) = (page.count, context.services.now());
        let keys = context.management()?.list_keys(context.requester(), filter.env, page).await?;
        let mut keys: Vec<_> = keys.into_iter().map(|key| KeyInfo::new(key, now)).collect();
        let next = list::cut(&mut keys, count, |key| key.id.to_string());
        Ok(KeyPage { keys, next })
    }
}

/// Creates a key.
pub struct CreateKey;

/// The settings of a new key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct NewKey {
    /// The key's name: at most 128 printable characters, without spaces at either end.
    #[serde(default)]
    #[schemars(length(max = 128))]
    pub name: String,
    /// The key's environment. A production key needs an authentication of the last 15 minutes.
    pub env: Environment,
    /// The key's permissions: at least one, and none that you or your organization lack.
    #[schemars(with = "Vec<String>", length(min = 1), example = &["ping:read"])]
    pub permissions: ApiAccessPermission,
    /// When it expires (RFC 3339); without it, never.
    #[schemars(with = "Option<DateTime>")]
    pub expires: Option<Timestamp>,
    /// The networks that it may be used from; without any, all.
    #[serde(default)]
    #[schemars(with = "Vec<String>", length(max = 64), example = &["192.0.2.0/24"])]
    pub allow: Vec<IpNet>,
    /// How its calls to a retired version are handled.
    #[serde(default)]
    #[schemars(with = "Retired")]
    pub on_retired: OnRetired,
}

impl Endpoint for CreateKey {
    const NAME: &'static str = "create_key";
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/keys.json";
    const PERMISSION: ApiAccessPermission = ApiAccessPermission::KEYS_WRITE;
    const SUMMARY: &'static str = "Create a key. Its text is shown only once.";
    const STATUS: StatusCode = StatusCode::CREATED;
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::StepUpRequired];
    const IDEMPOTENCY_KEY: bool = true;

    type Request = NewKey;
    type Response = CreatedKey;

    fn example() -> CreatedKey {
        CreatedKey::example()
    }
}

impl Handler for CreateKey {
    async fn handle(context: &Context<'_>, new: NewKey) -> Result<CreatedKey, Error> {
        let settings = KeySettings {
            name: new.name,
            environment: new.env,
            permissions: new.permissions,
            expires: new.expires,
            allow: new.allow,
            rate: None,
            on_retired: new.on_retired,
        };
        let (key, secret) = context.management()?.create_key(context.requester(), settings).await?;
        let now = context.services.now();
        let secret = Some(secret.expose().to_owned());
        Ok(CreatedKey { key: KeyInfo::new(key, now), secret, secret_shown_at: now })
    }
}

/// A key, named by its id.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OneKey {
    /// The key's id.
    #[schemars(example = &"019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b")]
    pub id: Uuid,
}

/// Shows a key.
pub struct ShowKey;

impl Endpoint for ShowKey {
    const NAME: &'static str = "show_key";
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/keys/{id}.json";
    const PERMISSION: ApiAccessPermission = ApiAccessPermission::KEYS_READ;
    const SUMMARY: &'static str = "Get a key of your organization.";
    const SAFE: bool = true;

    type Request = OneKey;
    type Response = KeyInfo;

    fn example() -> KeyInfo {
        KeyInfo::example()
    }
}

impl Handler for ShowKey {
    async fn handle(context: &Context<'_>, OneKey { id }: OneKey) -> Result<KeyInfo, Error> {
        let key = context.management()?.show_key(context.requester(), KeyId(id)).await?;
        Ok(KeyInfo::new(key, context.services.now()))
    }
}

/// Changes a key's settings.
pub struct UpdateKey;

/// Changes to a key. What is not named stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct KeyUpdate {
    /// The key's id.
    #[schemars(example = &"019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b")]
    pub id: Uuid,
    /// Another name.
    #[schemars(length(max = 128))]
    pub name: Option<String>,
    /// Other permissions.
    #[schemars(with = "Option<Vec<String>>", length(min = 1))]
    pub permissions: Option<ApiAccessPermission>,
    /// The networks that it may be used from; an empty list for all.
    #[schemars(with = "Option<Vec<String>>", length(max = 64))]
    pub allow: Option<Vec<IpNet>>,
    /// When it expires; null for never.
    #[serde(default, deserialize_with = "some")]
    #[schemars(with = "Option<DateTime>")]
    pub expires: Option<Option<Timestamp>>,
    /// How its calls to a retired version are handled.
    #[schemars(with = "Option<Retired>")]
    pub on_retired: Option<OnRetired>,
}

/// Tells null from a field that is missing.
fn some<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Timestamp>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl Endpoint for UpdateKey {
    const NAME: &'static str = "update_key";
    const METHOD: Method = Method::PATCH;
    const PATH: &'static str = "/keys/{id}.json";
    const PERMISSION: ApiAccessPermission = ApiAccessPermission::KEYS_WRITE;
    const SUMMARY: &'static str = "Rename a key, or change its permissions, networks or expiry.";
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::StepUpRequired, ErrorCode::Conflict];

    type Request = KeyUpdate;
    type Response = KeyInfo;

    fn example() -> KeyInfo {
        KeyInfo::example()
    }
}

impl Handler for UpdateKey {
    async fn handle(context: &Context<'_>, update: KeyUpdate) -> Result<KeyInfo, Error> {
        let KeyUpdate { id, name, permissions, allow, expires, on_retired } = update;
        let change = KeyChange { name, permissions, allow, expires, on_retired };
        let key = context.management()?.change_key(context.requester(), KeyId(id), change).await?;
        Ok(KeyInfo::new(key, context.services.now()))
    }
}

/// Replaces a key by a new one.
pub struct RotateKey;

/// How to rotate a key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Rotation {
    /// The key's id.
    #[schemars(example = &"019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b")]
    pub id: Uuid,
    /// How long the old key stays valid, in seconds. With 0, the default, it ends at once and its connections are closed.
    #[serde(default)]
    #[schemars(range(max = 31_536_000))]
    pub overlap_seconds: u32,
}

/// The key that replaces another one.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RotatedKey {
    /// The new key.
    pub key: KeyInfo,
    /// Its text, which is shown only once; null if an earlier response to the same `Idempotency-Key` has shown it.
    pub secret: Option<String>,
    /// When the text was shown.
    #[schemars(with = "DateTime")]
    pub secret_shown_at: Timestamp,
    /// The old key.
    pub replaced: KeyInfo,
}

impl Endpoint for RotateKey {
    const NAME: &'static str = "rotate_key";
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/keys/{id}/rotate.json";
    const PERMISSION: ApiAccessPermission = ApiAccessPermission::KEYS_WRITE;
    const SUMMARY: &'static str = "Replace a key by a new one with the same settings.";
    const STATUS: StatusCode = StatusCode::CREATED;
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::StepUpRequired, ErrorCode::Conflict];
    const IDEMPOTENCY_KEY: bool = true;

    type Request = Rotation;
    type Response = RotatedKey;

    fn example() -> RotatedKey {
        let CreatedKey { key, secret, secret_shown_at } = CreatedKey::example();
        RotatedKey { key, secret, secret_shown_at, replaced: KeyInfo::example() }
    }
}

impl Handler for RotateKey {
    async fn handle(context: &Context<'_>, rotation: Rotation) -> Result<RotatedKey, Error> {
        let (id, overlap) = (KeyId(rotation.id), Duration::from_secs(rotation.overlap_seconds.into()));
        let (key, secret, old) = context.management()?.rotate_key(context.requester(), id, overlap).await?;
        let now = context.services.now();
        Ok(RotatedKey {
            key: KeyInfo::new(key, now),
            secret: Some(secret.expose().to_owned()),
            secret_shown_at: now,
            replaced: KeyInfo::new(old, now),
        })
    }
}

/// Revokes a key.
pub struct RevokeKey;

impl Endpoint for RevokeKey {
    const NAME: &'static str = "revoke_key";
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/keys/{id}/revoke.json";
    const PERMISSION: ApiAccessPermission = ApiAccessPermission::KEYS_WRITE;
    const SUMMARY: &'static str = "Revoke a key, and close its connections. This is permanent.";
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::StepUpRequired];

    type Request = OneKey;
    type Response = KeyInfo;

    fn example() -> KeyInfo {
        let key = KeyInfo::example();
        KeyInfo { state: KeyState::Revoked, revoked: Some(Timestamp::constant(1_795_100_000, 0)), ..key }
    }
}

impl Handler for RevokeKey {
    async fn handle(context: &Context<'_>, OneKey { id }: OneKey) -> Result<KeyInfo, Error> {
        let key = context.management()?.revoke_key(context.requester(), KeyId(id)).await?;
        Ok(KeyInfo::new(key, context.services.now()))
    }
}
