//! Writes of people, of the audit log, and of replies that are kept for repeated calls.

use permissions::{
    ApiAccessPermission, CustomRole, Environment, Identity, KeyHash, Membership, MembershipId, PartnerId,
    RoleId, RoleOf, TokenId, User, UserId,
};
use rusqlite::OptionalExtension as _;

use super::super::people::{AuditEntry, AuditRecord, Idempotency, StoredToken, WritePeople};
use super::super::{Records as _, StoreError};
use super::write::SqliteWrite;
use super::{Reads as _, audit};

impl WritePeople for SqliteWrite<'_> {
    fn set_granted(
        &mut self,
        organization: PartnerId,
        environment: Environment,
        granted: ApiAccessPermission,
    ) -> Result<bool, StoreError> {
        let sql = match environment {
            Environment::Staging => {
                "UPDATE partner SET granted_staging = ?2 WHERE id = ?1 AND granted_staging IS NOT ?2"
            }
            Environment::Production => {
                "UPDATE partner SET granted_production = ?2 WHERE id = ?1 AND granted_production IS NOT ?2"
            }
        };
        let before = self.find_partner(&organization.to_string())?;
        let before = before.and_then(|partner| partner.granted.of(environment));
        let rows = self.execute(sql, &[&organization.to_string(), &granted.to_string()])?;
        if rows == 1 && before.is_none_or(|before| !granted.contains(before)) {
            // A build without grants would let keys exceed this one, so it must not start.
            self.execute("UPDATE migration SET compatible = 0 WHERE number = 4", &[])?;
        }
        self.add_change_if(rows == 1, "partner", organization.0)
    }

    fn set_operator(&mut self, organization: PartnerId) -> Result<bool, StoreError> {
        let sql = "UPDATE partner SET is_operator = 1 WHERE id = ?1 AND is_operator = 0";
        let rows = self.execute(sql, &[&organization.to_string()])?;
        self.add_change_if(rows == 1, "partner", organization.0)
    }

    fn insert_user(&mut self, user: &User) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO user (id, name, email, created) VALUES (?1, ?2, ?3, ?4)",
            &[&user.id.to_string(), &user.name, &user.email, &user.created.as_microsecond()],
        )
        .map(drop)
    }

    fn add_identity(&mut self, user: UserId, identity: &Identity) -> Result<bool, StoreError> {
        let rows = self.execute(
            "INSERT INTO identity (issuer, subject, user_id, created) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (issuer, subject) DO NOTHING",
            &[&identity.issuer, &identity.subject, &user.to_string(), &self.now.as_microsecond()],
        )?;
        self.add_change_if(rows == 1, "user", user.0)
    }

    fn insert_membership(&mut self, membership: &Membership) -> Result<bool, StoreError> {
        let rows = self.execute(
            "INSERT INTO membership (id, user_id, organization, role, created) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (user_id, organization) DO NOTHING",
            &[
                &membership.id.to_string(),
                &membership.user.to_string(),
                &membership.organization.to_string(),
                &membership.role.to_string(),
                &membership.created.as_microsecond(),
            ],
        )?;
        self.add_change_if(rows == 1, "membership", membership.id.0)
    }

    fn set_role_of(&mut self, membership: MembershipId, role: RoleOf) -> Result<bool, StoreError> {
        let sql = "UPDATE membership SET role = ?2 WHERE id = ?1";
        let rows = self.execute(sql, &[&membership.to_string(), &role.to_string()])?;
        self.add_change_if(rows == 1, "membership", membership.0)
    }

    fn remove_membership(&mut self, membership: MembershipId) -> Result<bool, StoreError> {
        let id = membership.to_string();
        self.execute("DELETE FROM token WHERE membership = ?1", &[&id])?;
        let rows = self.execute("DELETE FROM membership WHERE id = ?1", &[&id])?;
        // Who is a member nowhere is signed in nowhere.
        self.execute("DELETE FROM session WHERE user_id NOT IN (SELECT user_id FROM membership)", &[])?;
        self.add_change_if(rows == 1, "membership", membership.0)
    }

    fn insert_role(&mut self, role: &CustomRole) -> Result<bool, StoreError> {
        let rows = self.execute(
            "INSERT INTO role (id, organization, name, permissions, created) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (organization, name) DO NOTHING",
            &[
                &role.id.to_string(),
                &role.organization.to_string(),
                &role.name,
                &role.permissions.to_string(),
                &role.created.as_microsecond(),
            ],
        )?;
        self.add_change_if(rows == 1, "role", role.id.0)
    }

    fn set_role(&mut self, role: RoleId, permissions: ApiAccessPermission) -> Result<bool, StoreError> {
        let sql = "UPDATE role SET permissions = ?2 WHERE id = ?1";
        let rows = self.execute(sql, &[&role.to_string(), &permissions.to_string()])?;
        self.add_change_if(rows == 1, "role", role.0)
    }

    fn remove_role(&mut self, role: RoleId) -> Result<bool, StoreError> {
        let sql = "DELETE FROM role WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM membership WHERE role = ?1)
                   AND NOT EXISTS (SELECT 1 FROM invitation WHERE role = ?1 AND accepted IS NULL AND revoked IS NULL)";
        let rows = self.execute(sql, &[&role.to_string()])?;
        self.add_change_if(rows == 1, "role", role.0)
    }

    fn insert_token(&mut self, token: &StoredToken) -> Result<(), StoreError> {
        let record = &token.record;
        self.execute(
            "INSERT INTO token (id, membership, environment, app, device, hash, algorithm, created, authenticated,
                                expires)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            &[
                &record.id.to_string(),
                &record.membership.to_string(),
                &record.environment.name(),
                &record.app,
                &record.device,
                &token.hash.0,
                &KeyHash::ALGORITHM,
                &record.created.as_microsecond(),
                &record.authenticated.as_microsecond(),
                &record.expires.as_microsecond(),
            ],
        )?;
        self.add_change_if(true, "token", record.id.0).map(drop)
    }

    fn revoke_token(&mut self, token: TokenId) -> Result<bool, StoreError> {
        let rows = self.execute(
            "UPDATE token SET revoked = ?2 WHERE id = ?1 AND revoked IS NULL",
            &[&token.to_string(), &self.now.as_microsecond()],
        )?;
        self.add_change_if(rows == 1, "token", token.0)
    }

    fn append_audit(&mut self, entry: &AuditEntry) -> Result<i64, StoreError> {
        let (last, before) = self.read(audit::last)?;
        let record = AuditRecord { number: last + 1, at: self.now, entry: entry.clone() };
        let hash = audit::hash(&before, &record);
        let json = |value: &Option<serde_json::Value>| value.as_ref().map(serde_json::Value::to_string);
        self.execute(
            "INSERT INTO audit (number, at, actor, organization, action, target, before, after, address, request_id,
                                hash)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            &[
                &record.number,
                &record.at.as_microsecond(),
                &entry.actor,
                &entry.organization.map(|id| id.to_string()),
                &entry.action,
                &entry.target,
                &json(&entry.before),
                &json(&entry.after),
                &entry.address,
                &entry.request_id,
                &hash,
            ],
        )?;
        Ok(record.number)
    }

    fn begin_idempotent(
        &mut self,
        caller: &str,
        key: &KeyHash,
        fingerprint: &[u8; 32],
        since: jiff::Timestamp,
    ) -> Result<Idempotency, StoreError> {
        self.execute("DELETE FROM idempotency WHERE created < ?1", &[&since.as_microsecond()])?;
        type Found = (Vec<u8>, Option<u16>, Option<Vec<u8>>);
        let found: Option<Found> = self.read(|transaction| {
            transaction
                .prepare_cached(
                    "SELECT fingerprint, status, reply FROM idempotency WHERE caller = ?1 AND hash = ?2",
                )?
                .query_row((caller, key.0), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
                .optional()
        })?;
        match found {
            None => {
                self.execute(
                    "INSERT INTO idempotency (caller, hash, fingerprint, created) VALUES (?1, ?2, ?3, ?4)",
                    &[&caller, &key.0, fingerprint, &self.now.as_microsecond()],
                )?;
                Ok(Idempotency::New)
            }
            Some((of_first, ..)) if of_first[..] != fingerprint[..] => Ok(Idempotency::Different),
            Some((_, Some(status), Some(reply))) => Ok(Idempotency::Done(status, reply)),
            Some(_) => Ok(Idempotency::Running),
        }
    }

    fn end_idempotent(
        &mut self,
        caller: &str,
        key: &KeyHash,
        reply: Option<(u16, &[u8])>,
    ) -> Result<(), StoreError> {
        match reply {
            Some((status, body)) => self.execute(
                "UPDATE idempotency SET status = ?3, reply = ?4 WHERE caller = ?1 AND hash = ?2",
                &[&caller, &key.0, &status, &body],
            ),
            None => {
                self.execute("DELETE FROM idempotency WHERE caller = ?1 AND hash = ?2", &[&caller, &key.0])
            }
        }
        .map(drop)
    }
}
