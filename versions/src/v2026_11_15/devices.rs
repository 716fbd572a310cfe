//! The caller's own devices: each has an app token.

use http::{Method, StatusCode};
use jiff::Timestamp;
use permissions::{ApiAccessPermission, AppToken, Environment, TokenId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::keys::DateTime;
use super::list::{self, Limit};
use crate::{Context, Endpoint, Error, Handler, NoContent};

/// A device with an app token.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// The token's id.
    pub id: Uuid,
    /// The app.
    pub app: String,
    /// The device.
    pub name: String,
    /// The token's environment.
    pub env: Environment,
    /// When the token was issued.
    #[schemars(with = "DateTime")]
    pub created: Timestamp,
    /// When it expires.
    #[schemars(with = "DateTime")]
    pub expires: Timestamp,
    /// When it was revoked, or null.
    #[schemars(with = "Option<DateTime>")]
    pub revoked: Option<Timestamp>,
    /// When it was last used, to the minute, or null.
    #[schemars(with = "Option<DateTime>")]
    pub last_used: Option<Timestamp>,
}

impl Device {
    fn new(token: AppToken) -> Self {
        Self {
            id: token.id.0,
            app: token.app,
            name: token.device,
            env: token.environment,
            created: token.created,
            expires: token.expires,
            revoked: token.revoked,
            last_used: token.last_used,
        }
    }
}

/// Lists the caller's devices.
pub struct ListDevices;

/// Which devices to list.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviceFilter {
    /// Lists what follows this cursor: the `next` of the page before.
    #[schemars(length(max = 64))]
    pub after: Option<String>,
    /// How many devices to return.
    #[serde(default)]
    pub limit: Limit,
}

/// A page of devices.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DevicePage {
    /// The devices, the oldest first.
    pub devices: Vec<Device>,
    /// The cursor of the next page; null on the last one.
    pub next: Option<String>,
}

impl Endpoint for ListDevices {
    const NAME: &'static str = "list_devices";
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/devices.json";
    const PERMISSION: ApiAccessPermission = ApiAccessPermission::DEVICES_READ;
    const SUMMARY: &'static str =
        "List the devices on which you are signed in to this organization; none for an organization's key.";
    const SAFE: bool = true;

    type Request = DeviceFilter;
    type Response = DevicePage;

    fn example() -> DevicePage {
        let device = Device {
            id: Uuid::from_u128(0x019a_2b3c_4d5e_7f60_8a9b_0c1d_2e3f_4a60),
            app: "partner-gateway".to_owned(),
            name: "ada's laptop".to_owned(),
            env: Environment::Staging,
            created: Timestamp::constant(1_795_000_000, 0),
            expires: Timestamp::constant(1_802_776_000, 0),
            revoked: None,
            last_used: Some(Timestamp::constant(1_795_100_000, 0)),
        };
        DevicePage { devices: vec![device], next: None }
    }
}

impl Handler for ListDevices {
    async fn handle(context: &Context<'_>, filter: DeviceFilter) -> Result<DevicePage, Error> {
        let page = list::page(filter.after, filter.limit)?;
        let count = page.count;
        let tokens = context.management()?.list_devices(context.requester(), page).await?;
        let mut devices: Vec<_> = tokens.into_iter().map(Device::new).collect();
        let next = list::cut(&mut devices, count, |device| device.id.to_string());
        Ok(DevicePage { devices, next })
    }
}

/// Signs a device out.
pub struct RevokeDevice;

/// A device, named by the id of its token.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OneDevice {
    /// The token's id.
    #[schemars(example = &"019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b")]
    pub id: Uuid,
}

impl Endpoint for RevokeDevice {
    const NAME: &'static str = "revoke_device";
    const METHOD: Method = Method::DELETE;
    const PATH: &'static str = "/devices/{id}.json";
    const PERMISSION: ApiAccessPermission = ApiAccessPermission::DEVICES_WRITE;
    const SUMMARY: &'static str =
        "Sign out one of your devices: its token is revoked and its connections are closed.";
    const STATUS: StatusCode = StatusCode::NO_CONTENT;

    type Request = OneDevice;
    type Response = NoContent;

    fn example() -> NoContent {
        NoContent
    }
}

impl Handler for RevokeDevice {
    async fn handle(context: &Context<'_>, OneDevice { id }: OneDevice) -> Result<NoContent, Error> {
        context.management()?.revoke_device(context.requester(), TokenId(id)).await?;
        Ok(NoContent)
    }
}
