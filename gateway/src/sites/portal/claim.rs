//! `/claim/{code}`: the contact of an approved access request reveals its keys, once.

use askama::Template;
use http::StatusCode;
use zeroize::Zeroizing;

use super::access::names;
use super::{Portal, SITE, contact, shown};
use crate::http::ClientAddress;
use crate::provisioning::{LinkState, Provisioning, ProvisioningError, claim_info};
use crate::sites::html::{SiteView, message, page};
use crate::sites::page::{Page, Post};

#[derive(Template)]
#[template(path = "portal/claim.html")]
struct ClaimPage<'a> {
    site: SiteView<'a>,
    organization: &'a str,
    contact: &'a str,
    granted: [String; 2],
    expires: String,
    action: String,
}

#[derive(Template)]
#[template(path = "portal/claimed.html")]
struct ClaimedPage<'a> {
    site: SiteView<'a>,
    organization: &'a str,
    variable: &'a str,
    keys: Vec<Key<'a>>,
}

struct Key<'a> {
    environment: &'static str,
    secret: &'a str,
    permissions: String,
    /// The call with which it is tried, if it may make one.
    curl: Option<String>,
}

impl Portal {
    /// `GET /claim/{code}`: a button. Programs that scan mail open links, so nothing changes.
    pub(super) async fn claim(&'static self, code: &str, client: ClientAddress) -> Page {
        if let Err(seconds) = self.count_code(client) {
            return self.too_many_codes(seconds);
        }
        let owned = Zeroizing::new(code.to_owned());
        let found =
            self.run(move |portal, store| claim_info(store, portal.clock(), &portal.secret, &owned)).await;
        let info = match found {
            Ok(info) => info,
            Err(error) => return self.claim_failure(&error),
        };
        let expires = match info.state {
            LinkState::Ready { expires } => shown(expires),
            LinkState::Used { at } => return self.claim_failure(&ProvisioningError::LinkUsed { at }),
            LinkState::Expired { at } => return self.claim_failure(&ProvisioningError::LinkExpired { at }),
        };
        let view = ClaimPage {
            site: SITE,
            organization: &info.organization,
            contact: &info.contact,
            granted: names(info.granted),
            expires,
            action: format!("/claim/{code}"),
        };
        page(StatusCode::OK, &view)
    }

    /// `POST /claim/{code}`: makes the keys and shows them.
    pub(super) async fn use_claim(&'static self, post: &Post<'_>, code: &str) -> Page {
        if let Err(seconds) = self.count_code(post.source.client) {
            return self.too_many_codes(seconds);
        }
        let (actor, owned) = (contact(&post.source), Zeroizing::new(code.to_owned()));
        let claimed = self.run(move |portal, store| {
            Provisioning {
                actor: &actor,
                store,
                secret: &portal.secret,
                brand: &portal.brand,
                clock: portal.clock(),
                rng: &mut rand::rng(),
            }
            .claim(&owned)
        });
        let claimed = match claimed.await {
            Ok(claimed) => claimed,
            Err(error) => return self.claim_failure(&error),
        };
        let snapshot = self.pipeline.snapshot();
        let organization = claimed.keys.first().map_or("", |key| &key.record.partner);
        let keys = claimed.keys.iter().map(|key| Key {
            environment: key.record.environment.name(),
            secret: key.secret.expose(),
            permissions: key.record.permissions.names().collect::<Vec<_>>().join(", "),
            curl: snapshot.first_call(key.record.environment, key.record.permissions, self.now()),
        });
        let variable = snapshot.pages.site().key_variable();
        let view = ClaimedPage { site: SITE, organization, variable, keys: keys.collect() };
        page(StatusCode::OK, &view)
    }

    fn claim_failure(&self, error: &ProvisioningError) -> Page {
        let (title, text) = match error {
            ProvisioningError::UnknownLink => return self.unknown_link(),
            ProvisioningError::LinkUsed { at } => {
                let at = shown(*at);
                let text = format!(
                    "The keys were shown on {at}. Nothing was revoked: keys that you have work still. If it was not \
                     you who saw them, ask the operator to revoke them and for another link."
                );
                ("This link was used", text)
            }
            ProvisioningError::LinkExpired { at } => {
                let text = format!("It expired on {}. Ask the operator for another link.", shown(*at));
                ("This link has expired", text)
            }
            ProvisioningError::NothingGranted => {
                let text = "What was granted to the organization was taken back since. Ask the operator.";
                ("Nothing to show", text.to_owned())
            }
            error => return self.failure(error),
        };
        message(StatusCode::GONE, SITE, title, &text, false)
    }
}
