//! The management endpoints' way to provisioning: each function is a job on the store's thread.

mod requests;

use std::time::Duration;

use permissions::{
    ApiAccessPermission, AppToken, CustomRole, Environment, InvitationId, KeyId, KeyRecord, KeySecret,
    MembershipId, RequestId, RoleId, TokenId,
};
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use versions::management::{
    AccessRequestInfo, Account, Approval, AuditInfo, Decision, InvitationInfo, KeyChange, KeySettings,
    Management, MemberInfo, Page, PerEnvironment, RequestEventInfo, Requester,
};
use versions::{Caller, Error, ErrorCode, Help, ServiceFuture};

use super::{Pipeline, store_error};
use crate::http::Frontend;
use crate::limits::overloaded;
use crate::provisioning::{self, Actor, NewKey, Provisioning, ProvisioningError, Who, sentence};
use crate::store::people::{AuditFilter, AuditRecord, Member, TokenFilter};
use crate::store::{KeyFilter, KeyUpdate, Store};

impl Pipeline {
    /// Runs `work` on the store's thread, for a caller.
    pub(super) fn provision<T: Send + 'static>(
        &self,
        requester: Requester,
        work: impl FnOnce(&Tools, &mut Store, &Actor) -> Result<T, ProvisioningError> + Send + 'static,
    ) -> ServiceFuture<'_, T> {
        Box::pin(async move {
            let store = self.store.get().ok_or_else(|| Error::internal("the store is not open yet"))?;
            let Requester { caller, address, request_id } = requester;
            let actor =
                Actor { who: Who::Caller(caller), address: Some(address), request_id: Some(request_id) };
            let tools =
                Tools { frontend: self.frontend, secret: self.secret.clone(), brand: self.brand.clone() };
            store.run(move |store| work(&tools, store, &actor)).await.map_err(error)
        })
    }
}

/// What provisioning needs of the process.
pub(super) struct Tools {
    frontend: &'static Frontend,
    secret: permissions::ServerSecret,
    brand: permissions::Brand,
}

impl Tools {
    fn clock(&self) -> &dyn crate::clock::Clock {
        &*self.frontend.clock
    }

    fn keys<T>(
        &self,
        store: &mut Store,
        actor: &Actor,
        work: impl FnOnce(&mut Provisioning<'_>) -> Result<T, ProvisioningError>,
    ) -> Result<T, ProvisioningError> {
        work(&mut Provisioning {
            actor,
            store,
            secret: &self.secret,
            brand: &self.brand,
            clock: self.clock(),
            rng: &mut OsRng.unwrap_err(),
        })
    }
}

/// An error of provisioning, as the caller sees it. What is not the caller's to see does not exist.
fn error(error: ProvisioningError) -> Error {
    use ProvisioningError as E;
    let text = sentence(&error.to_string());
    let code = match error {
        E::Store(error) => return store_error(error),
        E::Unknown(_) | E::UnknownPartner(_) | E::NotFound { .. } | E::UnknownLink => {
            return Error::new(ErrorCode::UnknownResource, "There is none of this id that you may see.");
        }
        E::StepUpRequired => ErrorCode::StepUpRequired,
        E::Exceeds { missing, .. } => {
            let help = Help { required_permission: Some(missing), ..Help::default() };
            return Error::new(ErrorCode::PermissionMissing, text).with_help(help);
        }
        E::QueueFull => {
            return overloaded("No further requests are accepted at the moment. Try again later.");
        }
        E::StagingOnly | E::OperatorOnly => ErrorCode::PermissionMissing,
        E::Revoked { .. }
        | E::Rotated { .. }
        | E::Expired { .. }
        | E::ActiveKeys { .. }
        | E::PartnerExists(_)
        | E::LastOwner
        | E::MemberExists
        | E::RoleExists(_)
        | E::RoleInUse
        | E::AlreadyGranted
        | E::TooMany { .. }
        | E::RequestEnded(_)
        | E::NothingToClaim
        | E::WiderThanAsked { .. }
        | E::OrganizationTaken(_)
        | E::OrganizationFixed
        | E::OperatorOrganization
        | E::LinkUsed { .. }
        | E::LinkExpired { .. }
        | E::InvitationRevoked { .. }
        | E::InvitedAddress => ErrorCode::Conflict,
        E::ExpiresPassed { .. }
        | E::NeverValid { .. }
        | E::NoPermission
        | E::PartnerName
        | E::KeyName
        | E::Name
        | E::Email(_)
        | E::NotGrantable(_)
        | E::Text { .. }
        | E::NothingWanted
        | E::NothingGranted
        | E::TooManyNetworks(_)
        | E::OverlapTooLong => ErrorCode::MalformedRequest,
    };
    Error::new(code, text)
}

impl Management for Pipeline {
    fn decision(&self, caller: &Caller, request_id: &str) -> Option<Decision> {
        self.decisions.find(caller, request_id)
    }

    fn account(&self, requester: Requester) -> ServiceFuture<'_, Account> {
        let (organization, person) = (requester.caller.organization, requester.caller.person);
        self.provision(requester, move |_, store, _| {
            let found = store.find_partner(&organization.to_string())?;
            let found = found.ok_or_else(|| ProvisioningError::UnknownPartner(organization.to_string()))?;
            let member = match person {
                Some(person) => store.member(person.membership)?,
                None => None,
            };
            let person = match member {
                Some(member) => {
                    let role = provisioning::role_name(&mut **store, member.membership.role)?;
                    Some((member.user, role))
                }
                None => None,
            };
            Ok(Account { organization: found.name, person })
        })
    }

    fn list_keys(
        &self,
        requester: Requester,
        environment: Option<Environment>,
        page: Page,
    ) -> ServiceFuture<'_, Vec<KeyRecord>> {
        let caller = &requester.caller;
        // With a credential of staging there is nothing else to see.
        let environment = match caller.environment {
            Environment::Staging if environment == Some(Environment::Production) => {
                return Box::pin(std::future::ready(Ok(Vec::new())));
            }
            Environment::Staging => Some(Environment::Staging),
            Environment::Production => environment,
        };
        let filter = KeyFilter {
            partner: Some(caller.organization),
            environment,
            after: page.after,
            count: Some(page.count),
        };
        self.provision(requester, move |_, store, actor| provisioning::list_keys(store, actor, &filter))
    }

    fn show_key(&self, requester: Requester, id: KeyId) -> ServiceFuture<'_, KeyRecord> {
        self.provision(requester, move |_, store, actor| provisioning::show_key(store, actor, id))
    }

    fn create_key(
        &self,
        requester: Requester,
        settings: KeySettings,
    ) -> ServiceFuture<'_, (KeyRecord, KeySecret)> {
        let new = NewKey {
            partner: requester.caller.organization.to_string(),
            name: settings.name,
            environment: settings.environment,
            permissions: settings.permissions,
            not_before: None,
            expires: settings.expires,
            allow: settings.allow,
            rate: settings.rate,
            on_retired: settings.on_retired,
        };
        self.provision(requester, move |tools, store, actor| {
            let created = tools.keys(store, actor, |keys| keys.create(new))?;
            Ok((created.record, created.secret))
        })
    }

    fn change_key(&self, requester: Requester, id: KeyId, change: KeyChange) -> ServiceFuture<'_, KeyRecord> {
        let update = KeyUpdate {
            name: change.name,
            permissions: change.permissions,
            allow: change.allow,
            expires: change.expires,
            on_retired: change.on_retired,
            ..KeyUpdate::default()
        };
        self.provision(requester, move |tools, store, actor| {
            provisioning::update(store, tools.clock(), actor, id, update).map(|updated| updated.record)
        })
    }

    fn rotate_key(
        &self,
        requester: Requester,
        id: KeyId,
        overlap: Duration,
    ) -> ServiceFuture<'_, (KeyRecord, KeySecret, KeyRecord)> {
        self.provision(requester, move |tools, store, actor| {
            let created = tools.keys(store, actor, |keys| keys.rotate(id, overlap))?;
            let old = provisioning::show_key(store, actor, id)?;
            Ok((created.record, created.secret, old))
        })
    }

    fn revoke_key(&self, requester: Requester, id: KeyId) -> ServiceFuture<'_, KeyRecord> {
        self.provision(requester, move |tools, store, actor| {
            provisioning::revoke(store, tools.clock(), actor, id).map(|revoked| revoked.record)
        })
    }

    fn list_members(&self, requester: Requester, page: Page) -> ServiceFuture<'_, Vec<MemberInfo>> {
        let organization = requester.caller.organization;
        self.provision(requester, move |_, store, actor| {
            let mut members = provisioning::list_members(store, actor, organization)?;
            cut(&mut members, &page, |member| member.membership.id.to_string());
            members.into_iter().map(|member| member_info(store, member)).collect()
        })
    }

    fn change_member(
        &self,
        requester: Requester,
        id: MembershipId,
        role: String,
    ) -> ServiceFuture<'_, MemberInfo> {
        let organization = requester.caller.organization;
        self.provision(requester, move |tools, store, actor| {
            let role = provisioning::find_role_by_name(&mut **store, organization, &role)?;
            let (member, _) = provisioning::change_member(store, tools.clock(), actor, id, role)?;
            member_info(store, member)
        })
    }

    fn remove_member(&self, requester: Requester, id: MembershipId) -> ServiceFuture<'_, ()> {
        self.provision(requester, move |tools, store, actor| {
            provisioning::remove_member(store, tools.clock(), actor, id).map(drop)
        })
    }

    fn list_roles(&self, requester: Requester) -> ServiceFuture<'_, Vec<CustomRole>> {
        let organization = requester.caller.organization;
        self.provision(requester, move |_, store, actor| provisioning::list_roles(store, actor, organization))
    }

    fn create_role(
        &self,
        requester: Requester,
        name: String,
        permissions: ApiAccessPermission,
    ) -> ServiceFuture<'_, CustomRole> {
        let organization = requester.caller.organization;
        self.provision(requester, move |tools, store, actor| {
            let rng = &mut OsRng.unwrap_err();
            let clock = tools.clock();
            let created =
                provisioning::create_role(store, clock, rng, actor, organization, &name, permissions)?;
            Ok(created.0)
        })
    }

    fn change_role(
        &self,
        requester: Requester,
        id: RoleId,
        permissions: ApiAccessPermission,
    ) -> ServiceFuture<'_, CustomRole> {
        self.provision(requester, move |tools, store, actor| {
            Ok(provisioning::change_role(store, tools.clock(), actor, id, permissions)?.0)
        })
    }

    fn remove_role(&self, requester: Requester, id: RoleId) -> ServiceFuture<'_, ()> {
        self.provision(requester, move |tools, store, actor| {
            provisioning::remove_role(store, tools.clock(), actor, id).map(drop)
        })
    }

    fn list_invitations(&self, requester: Requester, page: Page) -> ServiceFuture<'_, Vec<InvitationInfo>> {
        Box::pin(self.invitations(requester, page))
    }

    fn create_invitation(
        &self,
        requester: Requester,
        role: String,
        email: Option<String>,
    ) -> ServiceFuture<'_, (InvitationInfo, String)> {
        Box::pin(self.invite(requester, role, email))
    }

    fn revoke_invitation(&self, requester: Requester, id: InvitationId) -> ServiceFuture<'_, ()> {
        Box::pin(self.end_invitation(requester, id))
    }

    fn list_access_requests(
        &self,
        requester: Requester,
        state: Option<&'static str>,
        page: Page,
    ) -> ServiceFuture<'_, Vec<AccessRequestInfo>> {
        Box::pin(self.access_requests(requester, state, page))
    }

    fn create_access_request(
        &self,
        requester: Requester,
        use_case: String,
        wanted: PerEnvironment,
    ) -> ServiceFuture<'_, AccessRequestInfo> {
        Box::pin(self.file(requester, use_case, wanted))
    }

    fn show_access_request(
        &self,
        requester: Requester,
        id: RequestId,
    ) -> ServiceFuture<'_, (AccessRequestInfo, Vec<RequestEventInfo>)> {
        Box::pin(self.access_request(requester, id))
    }

    fn add_to_access_request(
        &self,
        requester: Requester,
        id: RequestId,
        text: String,
    ) -> ServiceFuture<'_, AccessRequestInfo> {
        Box::pin(self.add_or_withdraw(requester, id, Some(text)))
    }

    fn withdraw_access_request(
        &self,
        requester: Requester,
        id: RequestId,
    ) -> ServiceFuture<'_, AccessRequestInfo> {
        Box::pin(self.add_or_withdraw(requester, id, None))
    }

    fn approve_access_request(
        &self,
        requester: Requester,
        id: RequestId,
        approval: Approval,
    ) -> ServiceFuture<'_, (AccessRequestInfo, Option<String>)> {
        Box::pin(self.approve(requester, id, approval))
    }

    fn ask_about_access_request(
        &self,
        requester: Requester,
        id: RequestId,
        question: String,
    ) -> ServiceFuture<'_, AccessRequestInfo> {
        Box::pin(self.ask(requester, id, question))
    }

    fn reject_access_request(
        &self,
        requester: Requester,
        id: RequestId,
        reason: String,
    ) -> ServiceFuture<'_, AccessRequestInfo> {
        Box::pin(self.reject(requester, id, reason))
    }

    fn list_devices(&self, requester: Requester, page: Page) -> ServiceFuture<'_, Vec<AppToken>> {
        let caller = &requester.caller;
        let Some(person) = caller.person else { return Box::pin(std::future::ready(Ok(Vec::new()))) };
        // With a credential of staging there is nothing else to see.
        let environment = match caller.environment {
            Environment::Staging => Some(Environment::Staging),
            Environment::Production => None,
        };
        let filter =
            TokenFilter { user: Some(person.user), organization: Some(caller.organization), environment };
        self.provision(requester, move |_, store, _| {
            let mut tokens = provisioning::list_tokens(store, filter)?;
            cut(&mut tokens, &page, |token| token.id.to_string());
            Ok(tokens)
        })
    }

    fn revoke_device(&self, requester: Requester, id: TokenId) -> ServiceFuture<'_, ()> {
        self.provision(requester, move |tools, store, actor| {
            provisioning::revoke_token(store, tools.clock(), actor, id).map(drop)
        })
    }

    fn list_audit(
        &self,
        requester: Requester,
        action: Option<String>,
        target: Option<String>,
        page: Page,
    ) -> ServiceFuture<'_, Vec<AuditInfo>> {
        let organization = Some(requester.caller.organization);
        self.provision(requester, move |_, store, _| {
            // A cursor that is no number is before everything.
            let before = page.after.map(|after| after.parse().unwrap_or(0));
            let filter = AuditFilter { organization, target, action, before, count: page.count };
            Ok(store.list_audit(&filter)?.into_iter().map(audit_info).collect())
        })
    }
}

fn audit_info(AuditRecord { number, at, entry }: AuditRecord) -> AuditInfo {
    AuditInfo {
        number,
        at,
        actor: entry.actor,
        action: entry.action,
        target: entry.target,
        before: entry.before,
        after: entry.after,
        address: entry.address,
        request_id: entry.request_id,
    }
}

fn member_info(
    store: &mut Store,
    Member { membership, user }: Member,
) -> Result<MemberInfo, ProvisioningError> {
    let role = provisioning::role_name(&mut **store, membership.role)?;
    Ok(MemberInfo { membership, user, role })
}

/// Cuts a list, which is in the order of its ids, to a page.
fn cut<T>(items: &mut Vec<T>, page: &Page, id: impl Fn(&T) -> String) {
    if let Some(after) = &page.after {
        items.retain(|item| id(item) > *after);
    }
    items.truncate(page.count);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_anothers_looks_like_what_does_not_exist() {
        let id = KeyId(uuid::Uuid::nil());
        let unknown = error(ProvisioningError::Unknown(id));
        let not_found = error(provisioning::not_found("member", id));
        assert_eq!(unknown.code, ErrorCode::UnknownResource);
        assert_eq!((unknown.code, &unknown.detail), (not_found.code, &not_found.detail));
    }
}
