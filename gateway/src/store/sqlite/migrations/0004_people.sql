-- Organizations are partners with people: what each was granted, its users, roles, tokens, invitations and access
-- requests; the sign-ins of browsers and devices; the audit log; replies that a repeated call gets again.
--
-- This step only expands. The build before knows nothing of grants, so as soon as one is narrower than the keys of its
-- organization, this step is marked as not compatible (see `write.rs`). A grant that is NULL was never made: the
-- organization's keys are bounded by their own sets.
--
-- `hash` columns hold the keyed hash of a secret, never the secret. Permissions are names, separated by spaces.

ALTER TABLE partner ADD COLUMN is_operator INTEGER NOT NULL DEFAULT 0;
ALTER TABLE partner ADD COLUMN granted_staging TEXT;
ALTER TABLE partner ADD COLUMN granted_production TEXT;
-- Organizations of an older folder are granted what their keys have.
UPDATE partner SET
    granted_staging = (SELECT coalesce(replace(group_concat(DISTINCT key.permissions), ',', ' '), '')
        FROM key WHERE key.partner_id = partner.id AND key.environment = 'staging'),
    granted_production = (SELECT coalesce(replace(group_concat(DISTINCT key.permissions), ',', ' '), '')
        FROM key WHERE key.partner_id = partner.id AND key.environment = 'production');

CREATE TABLE user (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    email TEXT,
    created INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- How identity providers name a user.
CREATE TABLE identity (
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    user_id TEXT NOT NULL REFERENCES user (id) ON DELETE CASCADE,
    created INTEGER NOT NULL,
    PRIMARY KEY (issuer, subject)
) STRICT, WITHOUT ROWID;
CREATE INDEX identity_by_user ON identity (user_id);

-- The roles that organizations made; built-in ones are not rows.
CREATE TABLE role (
    id TEXT NOT NULL PRIMARY KEY,
    organization TEXT NOT NULL REFERENCES partner (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    permissions TEXT NOT NULL,
    created INTEGER NOT NULL,
    UNIQUE (organization, name)
) STRICT, WITHOUT ROWID;

-- `role` is the name of a built-in role, or the id of one of the organization's own.
CREATE TABLE membership (
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES user (id) ON DELETE CASCADE,
    organization TEXT NOT NULL REFERENCES partner (id) ON DELETE CASCADE,
    role TEXT NOT NULL,
    created INTEGER NOT NULL,
    UNIQUE (user_id, organization)
) STRICT, WITHOUT ROWID;
CREATE INDEX membership_by_organization ON membership (organization);

CREATE TABLE token (
    id TEXT NOT NULL PRIMARY KEY,
    membership TEXT NOT NULL REFERENCES membership (id) ON DELETE CASCADE,
    environment TEXT NOT NULL,
    app TEXT NOT NULL,
    device TEXT NOT NULL,
    hash BLOB NOT NULL UNIQUE,
    algorithm TEXT NOT NULL,
    created INTEGER NOT NULL,
    authenticated INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    revoked INTEGER,
    last_used INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX token_by_membership ON token (membership);

-- The sign-in of a browser.
CREATE TABLE session (
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES user (id) ON DELETE CASCADE,
    hash BLOB NOT NULL UNIQUE,
    algorithm TEXT NOT NULL,
    created INTEGER NOT NULL,
    authenticated INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    agent TEXT NOT NULL,
    address TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX session_by_user ON session (user_id);

-- An address that works once: `kind` is 'sign-in' (for a user), 'claim' (the keys of an access request) or
-- 'invitation', and `subject` the id of what it is for.
CREATE TABLE link (
    id TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    hash BLOB NOT NULL UNIQUE,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    used INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX link_by_subject ON link (subject);

CREATE TABLE invitation (
    id TEXT NOT NULL PRIMARY KEY,
    organization TEXT NOT NULL REFERENCES partner (id) ON DELETE CASCADE,
    email TEXT,
    role TEXT NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    accepted INTEGER,
    revoked INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX invitation_by_organization ON invitation (organization);

-- A request for access by a stranger (`hash` is that of the code in its link), or by an organization for more (`hash` is
-- NULL; `key_id` is the key that asked, if one did, and gets what is approved in its environment).
CREATE TABLE access_request (
    id TEXT NOT NULL PRIMARY KEY,
    hash BLOB UNIQUE,
    organization TEXT REFERENCES partner (id) ON DELETE CASCADE,
    key_id TEXT,
    name TEXT NOT NULL,
    contact TEXT NOT NULL,
    email TEXT NOT NULL,
    use_case TEXT NOT NULL,
    staging TEXT NOT NULL,
    production TEXT NOT NULL,
    granted_staging TEXT,
    granted_production TEXT,
    state TEXT NOT NULL,
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX access_request_by_state ON access_request (state, id);
CREATE INDEX access_request_by_organization ON access_request (organization);

-- Everything that happened to an access request, with its reason.
CREATE TABLE access_request_event (
    request TEXT NOT NULL REFERENCES access_request (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (request, number)
) STRICT, WITHOUT ROWID;

-- RFC 8628: an app waits for a person to approve it.
CREATE TABLE device_authorization (
    hash BLOB NOT NULL PRIMARY KEY,
    user_code_hash BLOB NOT NULL UNIQUE,
    app TEXT NOT NULL,
    device TEXT NOT NULL,
    address TEXT NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    interval_seconds INTEGER NOT NULL,
    polled INTEGER,
    state TEXT NOT NULL,
    membership TEXT REFERENCES membership (id) ON DELETE CASCADE,
    environment TEXT,
    authenticated INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX device_authorization_by_expiry ON device_authorization (expires);

-- Replies to calls that had an `Idempotency-Key`; `reply` is NULL while the call runs.
CREATE TABLE idempotency (
    caller TEXT NOT NULL,
    hash BLOB NOT NULL,
    fingerprint BLOB NOT NULL,
    created INTEGER NOT NULL,
    status INTEGER,
    reply BLOB,
    PRIMARY KEY (caller, hash)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_by_age ON idempotency (created);

-- Append-only. `hash` covers the row and the hash of the row before.
CREATE TABLE audit (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    organization TEXT,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    before TEXT,
    after TEXT,
    address TEXT,
    request_id TEXT,
    hash BLOB NOT NULL
) STRICT;
CREATE INDEX audit_by_organization ON audit (organization, number);
CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_is_never_removed BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
