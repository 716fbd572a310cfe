//! Users, memberships, roles and app tokens.

use permissions::{
    ApiAccessPermission, AppToken, CustomRole, Environment, Identity, KeyHash, Membership, MembershipId,
    PartnerId, RoleId, RoleOf, TokenId, User, UserId,
};
use rusqlite::{Connection, OptionalExtension as _, Result, Row};

use super::super::people::{Member, MemberFilter, StoredToken, TokenFilter};
use super::row::{moment, optional_moment_of, parsed};

macro_rules! token_columns {
    () => {
        "token.id, token.membership, token.environment, token.app, token.device, token.created, token.authenticated, \
         token.expires, token.revoked, token.last_used, token.hash, token.algorithm"
    };
}
pub(super) use token_columns;

/// How many columns [`token_columns`] names.
pub(super) const TOKEN_COLUMNS: usize = 12;

macro_rules! member_columns {
    () => {
        "membership.id, membership.user_id, membership.organization, membership.role, membership.created, \
         user.name, user.email, user.created"
    };
}
pub(super) use member_columns;

/// How many columns [`member_columns`] names.
pub(super) const MEMBER_COLUMNS: usize = 8;

/// Collects the rows that can be read. One that cannot grants nothing: it is reported and left out.
pub(super) fn readable<T>(
    mut rows: rusqlite::Rows<'_>,
    what: &str,
    read: impl Fn(&Row<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.extend(readable_row(row, what, &read));
    }
    Ok(found)
}

/// Reads a row, or reports why it cannot be read.
pub(super) fn readable_row<T>(row: &Row<'_>, what: &str, read: impl Fn(&Row<'_>) -> Result<T>) -> Option<T> {
    match read(row) {
        Ok(value) => Some(value),
        Err(reason) => {
            let id = super::row::short_text(row, 0);
            tracing::warn!(id = ?id, "The {what} {id:?} cannot be read and is left out: {reason}");
            None
        }
    }
}

pub(super) fn list_users(connection: &Connection) -> Result<Vec<User>> {
    let mut statement = connection.prepare_cached("SELECT id, name, email, created FROM user ORDER BY id")?;
    readable(statement.query(())?, "user", |row| user(row, 0, 1))
}

pub(super) fn find_user_by_id(connection: &Connection, id: UserId) -> Result<Option<User>> {
    connection
        .prepare_cached("SELECT id, name, email, created FROM user WHERE id = ?1")?
        .query_row([id.to_string()], |row| user(row, 0, 1))
        .optional()
}

pub(super) fn find_user(connection: &Connection, identity: &Identity) -> Result<Option<User>> {
    connection
        .prepare_cached(
            "SELECT user.id, user.name, user.email, user.created FROM identity
             JOIN user ON user.id = identity.user_id WHERE identity.issuer = ?1 AND identity.subject = ?2",
        )?
        .query_row([&identity.issuer, &identity.subject], |row| user(row, 0, 1))
        .optional()
}

pub(super) fn identities(connection: &Connection, user: UserId) -> Result<Vec<Identity>> {
    connection
        .prepare_cached("SELECT issuer, subject FROM identity WHERE user_id = ?1 ORDER BY issuer, subject")?
        .query_map([user.to_string()], |row| Ok(Identity { issuer: row.get(0)?, subject: row.get(1)? }))?
        .collect()
}

pub(super) fn list_identities(connection: &Connection) -> Result<Vec<(UserId, Identity)>> {
    let mut statement = connection.prepare_cached("SELECT user_id, issuer, subject FROM identity")?;
    readable(statement.query(())?, "identity", |row| {
        let identity = Identity { issuer: row.get(1)?, subject: row.get(2)? };
        Ok((parsed(row, 0, str::parse::<UserId>)?, identity))
    })
}

/// Reads a user whose id is in column `id`, and the rest from column `rest` on.
fn user(row: &Row<'_>, id: usize, rest: usize) -> Result<User> {
    Ok(User {
        id: parsed(row, id, str::parse::<UserId>)?,
        name: row.get(rest)?,
        email: row.get(rest + 1)?,
        created: moment(row, rest + 2)?,
    })
}

pub(super) fn list_members(connection: &Connection, filter: MemberFilter) -> Result<Vec<Member>> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        member_columns!(),
        " FROM membership JOIN user ON user.id = membership.user_id
         WHERE (?1 IS NULL OR membership.user_id = ?1) AND (?2 IS NULL OR membership.organization = ?2)
         ORDER BY membership.id"
    ))?;
    let rows = statement
        .query((filter.user.map(|id| id.to_string()), filter.organization.map(|id| id.to_string())))?;
    readable(rows, "membership", member)
}

pub(super) fn find_member(connection: &Connection, id: MembershipId) -> Result<Option<Member>> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        member_columns!(),
        " FROM membership JOIN user ON user.id = membership.user_id WHERE membership.id = ?1"
    ))?;
    Ok(readable(statement.query([id.to_string()])?, "membership", member)?.pop())
}

pub(super) fn member(row: &Row<'_>) -> Result<Member> {
    let membership = Membership {
        id: parsed(row, 0, str::parse::<MembershipId>)?,
        user: parsed(row, 1, str::parse::<UserId>)?,
        organization: parsed(row, 2, str::parse::<PartnerId>)?,
        role: parsed(row, 3, str::parse::<RoleOf>)?,
        created: moment(row, 4)?,
    };
    Ok(Member { membership, user: user(row, 1, 5)? })
}

pub(super) fn list_roles(
    connection: &Connection,
    organization: Option<PartnerId>,
) -> Result<Vec<CustomRole>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, organization, name, permissions, created FROM role
         WHERE ?1 IS NULL OR organization = ?1 ORDER BY name",
    )?;
    readable(statement.query([organization.map(|id| id.to_string())])?, "role", role)
}

pub(super) fn find_role(connection: &Connection, id: RoleId) -> Result<Option<CustomRole>> {
    let mut statement = connection
        .prepare_cached("SELECT id, organization, name, permissions, created FROM role WHERE id = ?1")?;
    Ok(readable(statement.query([id.to_string()])?, "role", role)?.pop())
}

/// Reads a role. A permission that only a newer build has grants nothing.
pub(super) fn role(row: &Row<'_>) -> Result<CustomRole> {
    Ok(CustomRole {
        id: parsed(row, 0, str::parse::<RoleId>)?,
        organization: parsed(row, 1, str::parse::<PartnerId>)?,
        name: row.get(2)?,
        permissions: ApiAccessPermission::from_stored(&row.get::<_, String>(3)?).0,
        created: moment(row, 4)?,
    })
}

pub(super) fn list_tokens(connection: &Connection, filter: TokenFilter) -> Result<Vec<AppToken>> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        token_columns!(),
        " FROM token JOIN membership ON membership.id = token.membership
         WHERE (?1 IS NULL OR membership.user_id = ?1) AND (?2 IS NULL OR membership.organization = ?2)
           AND (?3 IS NULL OR token.environment = ?3) ORDER BY token.id"
    ))?;
    let rows = statement.query((
        filter.user.map(|id| id.to_string()),
        filter.organization.map(|id| id.to_string()),
        filter.environment.map(Environment::name),
    ))?;
    Ok(readable(rows, "token", token)?.into_iter().map(|token| token.record).collect())
}

pub(super) fn find_token(connection: &Connection, id: TokenId) -> Result<Option<AppToken>> {
    let mut statement =
        connection.prepare_cached(concat!("SELECT ", token_columns!(), " FROM token WHERE id = ?1"))?;
    Ok(readable(statement.query([id.to_string()])?, "token", token)?.pop().map(|token| token.record))
}

pub(super) fn each_token(connection: &Connection, visit: &mut dyn FnMut(StoredToken)) -> Result<()> {
    let mut statement =
        connection.prepare(concat!("SELECT ", token_columns!(), " FROM token ORDER BY id"))?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        readable_row(row, "token", token).into_iter().for_each(&mut *visit);
    }
    Ok(())
}

pub(super) fn token(row: &Row<'_>) -> Result<StoredToken> {
    let algorithm: String = row.get(11)?;
    if algorithm != KeyHash::ALGORITHM {
        return Err(rusqlite::Error::InvalidColumnName(format!("an unknown algorithm, {algorithm:?}")));
    }
    let record = AppToken {
        id: parsed(row, 0, str::parse::<TokenId>)?,
        membership: parsed(row, 1, str::parse::<MembershipId>)?,
        environment: parsed(row, 2, str::parse::<Environment>)?,
        app: row.get(3)?,
        device: row.get(4)?,
        created: moment(row, 5)?,
        authenticated: moment(row, 6)?,
        expires: moment(row, 7)?,
        revoked: optional_moment_of(row, 8)?,
        last_used: optional_moment_of(row, 9)?,
    };
    Ok(StoredToken { record, hash: KeyHash(row.get(10)?) })
}
