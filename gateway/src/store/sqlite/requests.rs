//! Access requests, links that work once, and invitations.

use jiff::Timestamp;
use permissions::{ApiAccessPermission, InvitationId, KeyHash, KeyId, LinkId, PartnerId, RequestId, RoleOf};
use rusqlite::{Connection, Result, Row};
use uuid::Uuid;

use super::super::StoreError;
use super::super::requests::{
    AccessRequest, Invitation, Link, LinkKind, PerEnvironment, RequestAction, RequestEvent, RequestFilter,
    RequestState, Requests, WriteRequests,
};
use super::Reads;
use super::people::readable;
use super::row::{moment, optional_moment_of, parsed};
use super::write::SqliteWrite;

macro_rules! request_columns {
    () => {
        "id, hash IS NOT NULL, organization, key_id, name, contact, email, use_case, staging, production, \
         granted_staging, granted_production, state, created, updated"
    };
}

macro_rules! link_columns {
    () => {
        "id, kind, subject, created, expires, used"
    };
}

macro_rules! invitation_columns {
    () => {
        "id, organization, email, role, created, expires, accepted, revoked"
    };
}

fn request(row: &Row<'_>) -> Result<AccessRequest> {
    let names = |column: usize| -> Result<ApiAccessPermission> {
        Ok(ApiAccessPermission::from_stored(&row.get::<_, String>(column)?).0)
    };
    let is_granted = row.get::<_, Option<String>>(10)?.is_some();
    let granted = is_granted
        .then(|| Ok::<_, rusqlite::Error>(PerEnvironment { staging: names(10)?, production: names(11)? }));
    Ok(AccessRequest {
        id: parsed(row, 0, str::parse::<RequestId>)?,
        by_contact: row.get(1)?,
        organization: optional(row, 2, str::parse::<PartnerId>)?,
        key: optional(row, 3, str::parse::<KeyId>)?,
        name: row.get(4)?,
        contact: row.get(5)?,
        email: row.get(6)?,
        use_case: row.get(7)?,
        wanted: PerEnvironment { staging: names(8)?, production: names(9)? },
        granted: granted.transpose()?,
        state: parsed(row, 12, str::parse::<RequestState>)?,
        created: moment(row, 13)?,
        updated: moment(row, 14)?,
    })
}

fn event(row: &Row<'_>) -> Result<RequestEvent> {
    Ok(RequestEvent {
        number: row.get(0)?,
        at: moment(row, 1)?,
        actor: row.get(2)?,
        action: parsed(row, 3, str::parse::<RequestAction>)?,
        text: row.get(4)?,
    })
}

fn link(row: &Row<'_>) -> Result<Link> {
    Ok(Link {
        id: parsed(row, 0, str::parse::<LinkId>)?,
        kind: parsed(row, 1, str::parse::<LinkKind>)?,
        subject: parsed(row, 2, str::parse::<Uuid>)?,
        created: moment(row, 3)?,
        expires: moment(row, 4)?,
        used: optional_moment_of(row, 5)?,
    })
}

fn invitation(row: &Row<'_>) -> Result<Invitation> {
    Ok(Invitation {
        id: parsed(row, 0, str::parse::<InvitationId>)?,
        organization: parsed(row, 1, str::parse::<PartnerId>)?,
        email: row.get(2)?,
        role: parsed(row, 3, str::parse::<RoleOf>)?,
        created: moment(row, 4)?,
        expires: moment(row, 5)?,
        accepted: optional_moment_of(row, 6)?,
        revoked: optional_moment_of(row, 7)?,
    })
}

fn optional<T, E: std::error::Error + Send + Sync + 'static>(
    row: &Row<'_>,
    column: usize,
    parse: impl FnOnce(&str) -> std::result::Result<T, E>,
) -> Result<Option<T>> {
    let is_set = row.get_ref(column)? != rusqlite::types::ValueRef::Null;
    is_set.then(|| parsed(row, column, parse)).transpose()
}

/// SQLite counts in signed numbers.
fn limit(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl<R: Reads> Requests for R {
    fn request(&mut self, id: RequestId) -> Result<Option<AccessRequest>, StoreError> {
        let sql = concat!("SELECT ", request_columns!(), " FROM access_request WHERE id = ?1");
        self.read(|connection| one(connection, sql, [id.to_string()], "access request", request))
    }

    fn find_request(&mut self, hash: &KeyHash) -> Result<Option<AccessRequest>, StoreError> {
        let sql = concat!("SELECT ", request_columns!(), " FROM access_request WHERE hash = ?1");
        self.read(|connection| one(connection, sql, [hash.0], "access request", request))
    }

    fn list_requests(&mut self, filter: &RequestFilter) -> Result<Vec<AccessRequest>, StoreError> {
        let sql = concat!(
            "SELECT ",
            request_columns!(),
            " FROM access_request WHERE (?1 IS NULL OR organization = ?1) AND (?2 IS NULL OR state = ?2)
              AND (?3 IS NULL OR id > ?3) AND (NOT ?5 OR state IN ('open', 'awaiting_answer')) ORDER BY id LIMIT ?4"
        );
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query((
                filter.organization.map(|id| id.to_string()),
                filter.state.map(RequestState::name),
                filter.after.map(|id| id.to_string()),
                limit(filter.count),
                filter.is_open,
            ))?;
            readable(rows, "access request", request)
        })
    }

    fn count_open_requests(&mut self, organization: Option<PartnerId>) -> Result<usize, StoreError> {
        let sql = "SELECT count(*) FROM access_request WHERE state IN ('open', 'awaiting_answer')
                   AND (?1 IS NULL OR organization = ?1)";
        self.read(|connection| count(connection, sql, [organization.map(|id| id.to_string())]))
    }

    fn list_request_events(
        &mut self,
        id: RequestId,
        after: i64,
        count: usize,
    ) -> Result<Vec<RequestEvent>, StoreError> {
        let sql = "SELECT number, at, actor, action, text FROM access_request_event
                   WHERE request = ?1 AND number > ?2 ORDER BY number LIMIT ?3";
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query((id.to_string(), after, limit(count)))?;
            readable(rows, "event of an access request", event)
        })
    }

    fn find_link(&mut self, kind: LinkKind, hash: &KeyHash) -> Result<Option<Link>, StoreError> {
        let sql = concat!("SELECT ", link_columns!(), " FROM link WHERE hash = ?1 AND kind = ?2");
        self.read(|connection| one(connection, sql, (hash.0, kind.name()), "link", link))
    }

    fn newest_link(&mut self, kind: LinkKind, subject: Uuid) -> Result<Option<Link>, StoreError> {
        let sql = concat!(
            "SELECT ",
            link_columns!(),
            " FROM link WHERE subject = ?1 AND kind = ?2 ORDER BY created DESC, id DESC LIMIT 1"
        );
        self.read(|connection| one(connection, sql, (subject.to_string(), kind.name()), "link", link))
    }

    fn invitation(&mut self, id: InvitationId) -> Result<Option<Invitation>, StoreError> {
        let sql = concat!("SELECT ", invitation_columns!(), " FROM invitation WHERE id = ?1");
        self.read(|connection| one(connection, sql, [id.to_string()], "invitation", invitation))
    }

    fn list_invitations(
        &mut self,
        organization: PartnerId,
        after: Option<InvitationId>,
        count: usize,
    ) -> Result<Vec<Invitation>, StoreError> {
        let sql = concat!(
            "SELECT ",
            invitation_columns!(),
            " FROM invitation WHERE organization = ?1 AND (?2 IS NULL OR id > ?2) ORDER BY id LIMIT ?3"
        );
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql)?;
            let after = after.map(|id| id.to_string());
            let rows = statement.query((organization.to_string(), after, limit(count)))?;
            readable(rows, "invitation", invitation)
        })
    }

    fn count_open_invitations(
        &mut self,
        organization: PartnerId,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        let sql = "SELECT count(*) FROM invitation
                   WHERE organization = ?1 AND accepted IS NULL AND revoked IS NULL AND expires > ?2";
        self.read(|connection| count(connection, sql, (organization.to_string(), now.as_microsecond())))
    }
}

/// The row that a query finds. One that cannot be read is reported and grants nothing.
fn one<T>(
    connection: &Connection,
    sql: &str,
    values: impl rusqlite::Params,
    what: &str,
    read: impl Fn(&Row<'_>) -> Result<T>,
) -> Result<Option<T>> {
    Ok(readable(connection.prepare_cached(sql)?.query(values)?, what, read)?.pop())
}

fn count(connection: &Connection, sql: &str, values: impl rusqlite::Params) -> Result<usize> {
    let rows: i64 = connection.prepare_cached(sql)?.query_row(values, |row| row.get(0))?;
    Ok(usize::try_from(rows).unwrap_or_default())
}

impl WriteRequests for SqliteWrite<'_> {
    fn insert_request(&mut self, request: &AccessRequest, hash: Option<&KeyHash>) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO access_request (id, hash, organization, key_id, name, contact, email, use_case, staging,
                                         production, granted_staging, granted_production, state, created, updated)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
            &[
                &request.id.to_string(),
                &hash.map(|hash| hash.0),
                &request.organization.map(|id| id.to_string()),
                &request.key.map(|id| id.to_string()),
                &request.name,
                &request.contact,
                &request.email,
                &request.use_case,
                &request.wanted.staging.to_string(),
                &request.wanted.production.to_string(),
                &request.granted.map(|granted| granted.staging.to_string()),
                &request.granted.map(|granted| granted.production.to_string()),
                &request.state.name(),
                &request.created.as_microsecond(),
                &request.updated.as_microsecond(),
            ],
        )
        .map(drop)
    }

    fn update_request(&mut self, request: &AccessRequest) -> Result<bool, StoreError> {
        let rows = self.execute(
            "UPDATE access_request SET organization = ?2, granted_staging = ?3, granted_production = ?4, state = ?5,
                                       updated = ?6 WHERE id = ?1",
            &[
                &request.id.to_string(),
                &request.organization.map(|id| id.to_string()),
                &request.granted.map(|granted| granted.staging.to_string()),
                &request.granted.map(|granted| granted.production.to_string()),
                &request.state.name(),
                &self.now.as_microsecond(),
            ],
        )?;
        Ok(rows == 1)
    }

    fn append_request_event(
        &mut self,
        id: RequestId,
        actor: &str,
        action: RequestAction,
        text: &str,
    ) -> Result<i64, StoreError> {
        let id = id.to_string();
        let sql = "SELECT coalesce(max(number), 0) + 1 FROM access_request_event WHERE request = ?1";
        let number: i64 =
            self.read(|transaction| transaction.prepare_cached(sql)?.query_row([&id], |row| row.get(0)))?;
        self.execute(
            "INSERT INTO access_request_event (request, number, at, actor, action, text)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            &[&id, &number, &self.now.as_microsecond(), &actor, &action.name(), &text],
        )?;
        Ok(number)
    }

    fn forget_withdrawn_requests(&mut self, kept: usize) -> Result<usize, StoreError> {
        self.execute(
            "DELETE FROM access_request WHERE id IN (SELECT id FROM access_request
             WHERE state = 'withdrawn' AND hash IS NOT NULL ORDER BY id DESC LIMIT -1 OFFSET ?1)",
            &[&limit(kept)],
        )
    }

    fn insert_link(&mut self, link: &Link, hash: &KeyHash) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO link (id, kind, subject, hash, created, expires, used)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            &[
                &link.id.to_string(),
                &link.kind.name(),
                &link.subject.to_string(),
                &hash.0,
                &link.created.as_microsecond(),
                &link.expires.as_microsecond(),
                &link.used.map(Timestamp::as_microsecond),
            ],
        )
        .map(drop)
    }

    fn use_link(&mut self, id: LinkId) -> Result<bool, StoreError> {
        let sql = "UPDATE link SET used = ?2 WHERE id = ?1 AND used IS NULL AND expires > ?2";
        Ok(self.execute(sql, &[&id.to_string(), &self.now.as_microsecond()])? == 1)
    }

    fn end_links(&mut self, kind: LinkKind, subject: Uuid) -> Result<usize, StoreError> {
        self.execute(
            "UPDATE link SET expires = ?3 WHERE subject = ?1 AND kind = ?2 AND used IS NULL AND expires > ?3",
            &[&subject.to_string(), &kind.name(), &self.now.as_microsecond()],
        )
    }

    fn forget_links(&mut self, before: Timestamp) -> Result<usize, StoreError> {
        self.execute("DELETE FROM link WHERE expires < ?1", &[&before.as_microsecond()])
    }

    fn insert_invitation(&mut self, invitation: &Invitation) -> Result<(), StoreError> {
        let micros = |moment: Option<Timestamp>| moment.map(Timestamp::as_microsecond);
        self.execute(
            "INSERT INTO invitation (id, organization, email, role, created, expires, accepted, revoked)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            &[
                &invitation.id.to_string(),
                &invitation.organization.to_string(),
                &invitation.email,
                &invitation.role.to_string(),
                &invitation.created.as_microsecond(),
                &invitation.expires.as_microsecond(),
                &micros(invitation.accepted),
                &micros(invitation.revoked),
            ],
        )
        .map(drop)
    }

    fn accept_invitation(&mut self, id: InvitationId) -> Result<bool, StoreError> {
        let sql =
            "UPDATE invitation SET accepted = ?2 WHERE id = ?1 AND accepted IS NULL AND revoked IS NULL";
        Ok(self.execute(sql, &[&id.to_string(), &self.now.as_microsecond()])? == 1)
    }

    fn revoke_invitation(&mut self, id: InvitationId) -> Result<bool, StoreError> {
        let sql = "UPDATE invitation SET revoked = ?2 WHERE id = ?1 AND accepted IS NULL AND revoked IS NULL";
        Ok(self.execute(sql, &[&id.to_string(), &self.now.as_microsecond()])? == 1)
    }

    fn forget_invitations(
        &mut self,
        organization: PartnerId,
        before: Timestamp,
    ) -> Result<usize, StoreError> {
        self.execute(
            "DELETE FROM invitation WHERE organization = ?1 AND expires < ?2",
            &[&organization.to_string(), &before.as_microsecond()],
        )
    }
}
