//! The keys of an approved access request, claimed by its contact: the link to them works once, and they are shown once.

use permissions::{ApiAccessPermission, Environment, PartnerId, RequestId, ServerSecret};
use uuid::Uuid;

use super::keys::{audit_key, first_key, settings};
use super::links::{self, LinkState};
use super::organizations::find_organization;
use super::requests::append;
use super::{Committed, Created, NewKey, Provisioning, ProvisioningError, now, write};
use crate::clock::Clock;
use crate::store::requests::{AccessRequest, LinkKind, PerEnvironment, RequestAction};
use crate::store::{Partner, Store};

/// The name of the keys that are claimed.
const CLAIMED_KEY_NAME: &str = "by access request";
/// What a claimed key has beside what was granted: it asks for what it lacks, and reads the answer. Otherwise the 403 that
/// names where to ask would lead to another 403. Every organization has these.
const ASKING: ApiAccessPermission =
    ApiAccessPermission::REQUESTS_READ.union(ApiAccessPermission::REQUESTS_WRITE);

/// What a link to keys leads to, before it is used.
#[derive(Clone, Debug)]
pub struct ClaimInfo {
    /// The organization's name.
    pub organization: String,
    /// The contact's name.
    pub contact: String,
    /// What the keys will have.
    pub granted: PerEnvironment,
    /// What has become of the link.
    pub state: LinkState,
}

/// What a link to keys leads to. It changes nothing: mail scanners open links.
///
/// # Errors
/// [`ProvisioningError::UnknownLink`], or an error of the store.
pub fn claim_info(
    store: &mut Store,
    clock: &dyn Clock,
    secret: &ServerSecret,
    code: &str,
) -> Result<ClaimInfo, ProvisioningError> {
    let link = links::find(&mut **store, secret, LinkKind::Claim, code)?;
    let request = store.request(RequestId(link.subject))?.ok_or(ProvisioningError::UnknownLink)?;
    let id = request.organization.ok_or(ProvisioningError::UnknownLink)?;
    let organization = store.find_partner(&id.to_string())?.ok_or(ProvisioningError::UnknownLink)?;
    Ok(ClaimInfo {
        granted: still_granted(&organization, &request),
        organization: organization.name,
        contact: request.contact,
        state: LinkState::of(&link, now(clock)),
    })
}

/// The keys that were claimed. Their texts are available only here.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The request.
    pub request: AccessRequest,
    /// The key of each environment in which something is granted.
    pub keys: Vec<Created>,
    /// The write.
    pub change: Committed,
}

impl Provisioning<'_> {
    /// Claims the keys of an approved access request, once.
    ///
    /// # Errors
    /// [`ProvisioningError::UnknownLink`], [`ProvisioningError::LinkUsed`], [`ProvisioningError::LinkExpired`], nothing
    /// that is granted any more, or an error of the store.
    pub fn claim(&mut self, code: &str) -> Result<Claimed, ProvisioningError> {
        let now = now(self.clock);
        let drawn = Environment::ALL.map(|environment| {
            let new = NewKey {
                partner: String::new(),
                name: CLAIMED_KEY_NAME.to_owned(),
                ..first_key(environment)
            };
            self.draw(new, PartnerId(Uuid::nil()), now)
        });
        let [staging, production] = drawn;
        let drawn = [staging?, production?];
        let hashes = [0, 1].map(|at| self.secret.hash(drawn[at].1.expose().as_bytes()));
        let (actor, secret) = (self.actor, self.secret);
        let ((request, keys), change) = write(self.store, self.clock, now, |write| {
            let link = links::take(write, secret, LinkKind::Claim, code)?;
            let request = write.request(RequestId(link.subject))?.ok_or(ProvisioningError::UnknownLink)?;
            let id = request.organization.ok_or(ProvisioningError::UnknownLink)?;
            let organization = find_organization(write, id)?;
            let granted = still_granted(&organization, &request);
            if granted.is_empty() {
                return Err(ProvisioningError::NothingGranted);
            }
            let mut keys = Vec::with_capacity(drawn.len());
            for ((mut key, text), hash) in drawn.into_iter().zip(&hashes) {
                key.permissions = granted.of(key.environment);
                if key.permissions.is_empty() {
                    continue;
                }
                key.permissions |= ASKING;
                key.partner_id = organization.id;
                key.partner = organization.name.clone();
                key.suspended = organization.suspended.is_some();
                key.ceiling = organization.ceiling(key.environment);
                write.insert_key(&key, hash)?;
                audit_key(write, actor, "key.create", &key, None, Some(&settings(&key)))?;
                keys.push((key, text));
            }
            append(write, actor, &request, (RequestAction::Claimed, ""), ("request.claim", None))?;
            Ok((request, keys))
        })?;
        let created = |(record, secret)| Created { record, secret, partner_created: false, change };
        Ok(Claimed { request, keys: keys.into_iter().map(created).collect(), change })
    }
}

/// What was approved, as far as the organization still has it.
fn still_granted(organization: &Partner, request: &AccessRequest) -> PerEnvironment {
    let granted = request.granted.unwrap_or_default();
    let within = |environment| granted.of(environment) & organization.ceiling(environment);
    PerEnvironment { staging: within(Environment::Staging), production: within(Environment::Production) }
}

/// The newest link to the keys of a request, for the operator.
///
/// # Errors
/// Errors of the store.
pub fn claim_state(
    store: &mut Store,
    clock: &dyn Clock,
    id: RequestId,
) -> Result<Option<LinkState>, ProvisioningError> {
    let link = store.newest_link(LinkKind::Claim, id.0)?;
    Ok(link.map(|link| LinkState::of(&link, now(clock))))
}
