//! `/auth/device`: a person enters the code that a device shows, and approves or denies the device (RFC 8628 §3.3).

use askama::Template;
use http::StatusCode;
use http::request::Parts;
use permissions::{Environment, MembershipId};
use versions::{Error, ErrorCode};

use super::sign_in::carried_code;
use super::visitor::Visitor;
use super::{Portal, SITE, shown};
use crate::provisioning::{ProvisioningError, approve_device, deny_device, find_device};
use crate::sites::html::{SiteView, message, page};
use crate::sites::page::{Page, Post};
use crate::store::sign_in::DeviceAuthorization;

#[derive(Template)]
#[template(path = "portal/device_code.html")]
struct CodePage<'a> {
    site: SiteView<'a>,
    user: &'a str,
    user_code: &'a str,
    problem: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "portal/device.html")]
struct DevicePage<'a> {
    site: SiteView<'a>,
    user: &'a str,
    user_code: &'a str,
    device: &'a DeviceAuthorization,
    asked: String,
    places: Vec<Choice<'a>>,
}

struct Choice<'a> {
    membership: String,
    organization: &'a str,
}

const UNKNOWN: &str = "No device waits under this code. Compare it with what the device shows; codes are valid for 10 minutes and once.";

impl Portal {
    /// `GET /auth/device`: asks for the code. Nothing is looked up before a form is sent.
    pub(super) async fn device(&'static self, head: &Parts) -> Page {
        let user_code = carried_code(head).unwrap_or_default();
        match self.require_visitor(head, Some(&user_code)).await {
            Ok(visitor) => code_page(StatusCode::OK, &visitor, &user_code, None),
            Err(page) => page,
        }
    }

    /// `POST /auth/device`: shows the device, or approves or denies it.
    ///
    /// # Errors
    /// [`ErrorCode::MalformedRequest`] for a form that is none of this page.
    pub(super) async fn decide_device(&'static self, post: &Post<'_>) -> Result<Page, Error> {
        let user_code = post.form.one("user_code")?.unwrap_or_default().to_owned();
        let action = post.form.one("action")?.unwrap_or("continue");
        let membership = post.form.one("membership")?.map(str::parse::<MembershipId>);
        let environment = post.form.one("environment")?.map(str::parse::<Environment>);
        let visitor = match self.require_visitor(post.head, Some(&user_code)).await {
            Ok(visitor) => visitor,
            Err(page) => return Ok(page),
        };
        if let Err(seconds) = self.count_code(post.source.client) {
            return Ok(self.too_many_codes(seconds));
        }
        let actor = match action {
            "continue" => return Ok(self.show_device(&visitor, &user_code).await),
            "approve" => match (membership, environment) {
                (Some(Ok(membership)), Some(Ok(environment))) => {
                    visitor.actor(membership, environment, &post.source)
                }
                _ => None,
            },
            "deny" => visitor.own_actor(&post.source),
            _ => None,
        };
        let actor = actor.ok_or_else(|| {
            let detail =
                "Choose one of your organizations and an environment, and approve or deny the device.";
            Error::new(ErrorCode::MalformedRequest, detail)
        })?;
        let approve = action == "approve";
        let code = user_code.clone();
        let decided = self.run(move |portal, store| {
            let decide = if approve { approve_device } else { deny_device };
            decide(store, portal.clock(), &portal.secret, &actor, &code)
        });
        Ok(match decided.await {
            Ok((device, _)) => {
                let (title, text) = if approve {
                    (
                        "Device approved",
                        format!("{} on {} is signed in. You can close this page.", device.app, device.device),
                    )
                } else {
                    (
                        "Device denied",
                        format!("{} on {} was denied. You can close this page.", device.app, device.device),
                    )
                };
                message(StatusCode::OK, SITE, title, &text, true)
            }
            Err(ProvisioningError::NotFound { .. }) => {
                code_page(StatusCode::NOT_FOUND, &visitor, &user_code, Some(UNKNOWN))
            }
            Err(error) => self.failure(&error),
        })
    }

    async fn show_device(&'static self, visitor: &Visitor, user_code: &str) -> Page {
        let code = user_code.to_owned();
        let found =
            self.run(move |portal, store| find_device(store, portal.clock(), &portal.secret, &code)).await;
        let device = match found {
            Ok(Some(device)) => device,
            Ok(None) => return code_page(StatusCode::NOT_FOUND, visitor, user_code, Some(UNKNOWN)),
            Err(error) => return self.failure(&error),
        };
        let places = visitor.places.iter().map(|place| Choice {
            membership: place.member.membership.id.to_string(),
            organization: &place.organization,
        });
        let asked = shown(device.created);
        let (user, places) = (&*visitor.user.name, places.collect());
        page(StatusCode::OK, &DevicePage { site: SITE, user, user_code, device: &device, asked, places })
    }
}

fn code_page(status: StatusCode, visitor: &Visitor, user_code: &str, problem: Option<&str>) -> Page {
    page(status, &CodePage { site: SITE, user: &visitor.user.name, user_code, problem })
}
