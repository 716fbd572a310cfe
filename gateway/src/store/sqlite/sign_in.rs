//! Sessions, one-time links, and devices that wait for approval.

use jiff::Timestamp;
use permissions::{Environment, KeyHash, MembershipId, SessionId, UserId};
use rusqlite::{Connection, Result, Row};

use super::super::StoreError;
use super::super::sign_in::{Approval, DeviceAuthorization, DeviceState, Session, SignIn, WriteSignIn};
use super::row::{moment, optional_moment_of, parsed};
use super::write::SqliteWrite;
use super::{Reads, people};

const SESSION: &str =
    "SELECT id, user_id, created, authenticated, last_seen, expires, agent, address FROM session";
const DEVICE: &str =
    "SELECT hash, user_code_hash, app, device, address, created, expires, interval_seconds, polled,
     state, membership, environment, authenticated FROM device_authorization";

impl<R: Reads> SignIn for R {
    fn find_session(&mut self, hash: &KeyHash) -> Result<Option<Session>, StoreError> {
        // A user who has left every organization is signed in nowhere.
        let sql = format!(
            "{SESSION} WHERE hash = ?1 AND algorithm = ?2
             AND EXISTS (SELECT 1 FROM membership WHERE membership.user_id = session.user_id)"
        );
        self.read(|connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query((hash.0, KeyHash::ALGORITHM))?;
            Ok(rows.next()?.and_then(|row| people::readable_row(row, "session", session)))
        })
    }

    fn list_sessions(&mut self, user: UserId) -> Result<Vec<Session>, StoreError> {
        let sql = format!("{SESSION} WHERE user_id = ?1 ORDER BY created, id");
        self.read(|connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query([user.to_string()])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.extend(people::readable_row(row, "session", session));
            }
            Ok(found)
        })
    }

    fn find_device(&mut self, hash: &KeyHash) -> Result<Option<DeviceAuthorization>, StoreError> {
        self.read(|connection| find_device(connection, "hash", hash))
    }

    fn find_device_by_user_code(
        &mut self,
        hash: &KeyHash,
    ) -> Result<Option<DeviceAuthorization>, StoreError> {
        self.read(|connection| find_device(connection, "user_code_hash", hash))
    }

    fn count_devices(&mut self, address: &str, now: Timestamp) -> Result<[i64; 2], StoreError> {
        let sql = "SELECT count(*), count(CASE WHEN address = ?1 THEN 1 END) FROM device_authorization
                   WHERE expires > ?2";
        self.read(|connection| {
            connection
                .prepare_cached(sql)?
                .query_row((address, now.as_microsecond()), |row| Ok([row.get(0)?, row.get(1)?]))
        })
    }
}

impl WriteSignIn for SqliteWrite<'_> {
    fn insert_session(&mut self, session: &Session, hash: &KeyHash) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO session (id, user_id, hash, algorithm, created, authenticated, last_seen, expires, agent,
                                  address)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            &[
                &session.id.to_string(),
                &session.user.to_string(),
                &hash.0,
                &KeyHash::ALGORITHM,
                &session.created.as_microsecond(),
                &session.authenticated.as_microsecond(),
                &session.last_seen.as_microsecond(),
                &session.expires.as_microsecond(),
                &session.agent,
                &session.address,
            ],
        )
        .map(drop)
    }

    fn touch_session(&mut self, id: SessionId) -> Result<(), StoreError> {
        let sql = "UPDATE session SET last_seen = max(last_seen, ?2) WHERE id = ?1";
        self.execute(sql, &[&id.to_string(), &self.now.as_microsecond()]).map(drop)
    }

    fn remove_session(&mut self, id: SessionId) -> Result<bool, StoreError> {
        Ok(self.execute("DELETE FROM session WHERE id = ?1", &[&id.to_string()])? == 1)
    }

    fn sweep_sessions(&mut self, idle_since: Timestamp) -> Result<(), StoreError> {
        let sql = "DELETE FROM session WHERE expires <= ?1 OR last_seen <= ?2
                   OR NOT EXISTS (SELECT 1 FROM membership WHERE membership.user_id = session.user_id)";
        self.execute(sql, &[&self.now.as_microsecond(), &idle_since.as_microsecond()]).map(drop)
    }

    fn insert_device(&mut self, device: &DeviceAuthorization) -> Result<bool, StoreError> {
        let (state, approval) = state_columns(device.state);
        let rows = self.execute(
            "INSERT INTO device_authorization (hash, user_code_hash, app, device, address, created, expires,
                                               interval_seconds, polled, state, membership, environment, authenticated)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) ON CONFLICT (user_code_hash) DO NOTHING",
            &[
                &device.hash.0,
                &device.user_code_hash.0,
                &device.app,
                &device.device,
                &device.address,
                &device.created.as_microsecond(),
                &device.expires.as_microsecond(),
                &device.interval_seconds,
                &device.polled.map(Timestamp::as_microsecond),
                &state,
                &approval.map(|approval| approval.membership.to_string()),
                &approval.map(|approval| approval.environment.name()),
                &approval.map(|approval| approval.authenticated.as_microsecond()),
            ],
        )?;
        Ok(rows == 1)
    }

    fn update_device(&mut self, device: &DeviceAuthorization) -> Result<(), StoreError> {
        let (state, approval) = state_columns(device.state);
        self.execute(
            "UPDATE device_authorization SET interval_seconds = ?2, polled = ?3, state = ?4, membership = ?5,
                environment = ?6, authenticated = ?7 WHERE hash = ?1",
            &[
                &device.hash.0,
                &device.interval_seconds,
                &device.polled.map(Timestamp::as_microsecond),
                &state,
                &approval.map(|approval| approval.membership.to_string()),
                &approval.map(|approval| approval.environment.name()),
                &approval.map(|approval| approval.authenticated.as_microsecond()),
            ],
        )
        .map(drop)
    }

    fn sweep_devices(&mut self, before: Timestamp) -> Result<(), StoreError> {
        let sql = "DELETE FROM device_authorization WHERE expires < ?1";
        self.execute(sql, &[&before.as_microsecond()]).map(drop)
    }
}

fn session(row: &Row<'_>) -> Result<Session> {
    Ok(Session {
        id: parsed(row, 0, str::parse::<SessionId>)?,
        user: parsed(row, 1, str::parse::<UserId>)?,
        created: moment(row, 2)?,
        authenticated: moment(row, 3)?,
        last_seen: moment(row, 4)?,
        expires: moment(row, 5)?,
        agent: row.get(6)?,
        address: row.get(7)?,
    })
}

/// The name of a state as it is stored, and the approval that goes with it.
const fn state_columns(state: DeviceState) -> (&'static str, Option<Approval>) {
    match state {
        DeviceState::Pending => ("pending", None),
        DeviceState::Approved(approval) => ("approved", Some(approval)),
        DeviceState::Denied => ("denied", None),
        DeviceState::Issued => ("issued", None),
    }
}

fn find_device(
    connection: &Connection,
    column: &'static str,
    hash: &KeyHash,
) -> Result<Option<DeviceAuthorization>> {
    let mut statement = connection.prepare_cached(&format!("{DEVICE} WHERE {column} = ?1"))?;
    let mut rows = statement.query([hash.0])?;
    // The row's first column is a hash, which no log line needs.
    Ok(rows.next()?.and_then(|row| people::readable_row(row, "device", device)))
}

fn device(row: &Row<'_>) -> Result<DeviceAuthorization> {
    let unknown = |state: &str| rusqlite::Error::InvalidColumnName(format!("an unknown state, {state:?}"));
    let state = match row.get::<_, String>(9)?.as_str() {
        "pending" => DeviceState::Pending,
        "approved" => DeviceState::Approved(Approval {
            membership: parsed(row, 10, str::parse::<MembershipId>)?,
            environment: parsed(row, 11, str::parse::<Environment>)?,
            authenticated: moment(row, 12)?,
        }),
        "denied" => DeviceState::Denied,
        "issued" => DeviceState::Issued,
        other => return Err(unknown(other)),
    };
    Ok(DeviceAuthorization {
        hash: KeyHash(row.get(0)?),
        user_code_hash: KeyHash(row.get(1)?),
        app: row.get(2)?,
        device: row.get(3)?,
        address: row.get(4)?,
        created: moment(row, 5)?,
        expires: moment(row, 6)?,
        interval_seconds: row.get(7)?,
        polled: optional_moment_of(row, 8)?,
        state,
    })
}
