-- Partners, their keys, the feed of changes, and the processes that serve this folder.
--
-- Times are microseconds since 1970-01-01T00:00:00Z: all that a timestamp of RFC 3339 can say fits,
-- and the order of two writes in one second is kept. Texts that name something of ours (environment,
-- permission, algorithm) have no CHECK: an older build must be able to read a row that a newer one
-- wrote, and skips what it does not know.

-- Facts about the installation as a whole, such as the fingerprint of its server secret.
CREATE TABLE setting (
    name TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE partner (
    name TEXT NOT NULL PRIMARY KEY,
    created INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Ids are UUIDv7 as text, so rows lie in the order in which keys were made.
CREATE TABLE key (
    id TEXT NOT NULL PRIMARY KEY,
    partner TEXT NOT NULL REFERENCES partner (name),
    name TEXT NOT NULL,
    environment TEXT NOT NULL,
    permissions TEXT NOT NULL,
    hash BLOB NOT NULL UNIQUE,
    algorithm TEXT NOT NULL,
    hint TEXT NOT NULL,
    created INTEGER NOT NULL,
    not_before INTEGER,
    expires INTEGER,
    revoked INTEGER,
    allow TEXT NOT NULL,
    rate TEXT,
    replaces TEXT REFERENCES key (id),
    last_used INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX key_by_partner ON key (partner);

-- One row for each write to a key, in the write's own transaction. Writers come one at a time, so
-- the numbers are in the order of the commits and have no gaps. `key_id` refers to no table: a row
-- may outlive its key.
CREATE TABLE change (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    key_id TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;

-- The processes that serve this folder; `listeners` is JSON, in the form of the ready file.
CREATE TABLE node (
    id TEXT NOT NULL PRIMARY KEY,
    pid INTEGER NOT NULL,
    started INTEGER NOT NULL,
    heartbeat INTEGER NOT NULL,
    listeners TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- A node has applied every change up to this one.
CREATE TABLE receipt (
    node TEXT NOT NULL REFERENCES node (id) ON DELETE CASCADE,
    change INTEGER NOT NULL,
    applied_at INTEGER NOT NULL,
    connections_closed INTEGER NOT NULL,
    PRIMARY KEY (node, change)
) STRICT, WITHOUT ROWID;
