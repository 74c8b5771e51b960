-- Version 1; schema-2.sql brings it to version 2. Ids are the 16 bytes of a ULID, times are milliseconds since 1970, `record` is JSON.
-- A column beside the record exists because a query needs it; the record is authoritative.

CREATE TABLE sessions (
    id BLOB PRIMARY KEY,
    user TEXT NOT NULL,
    status TEXT NOT NULL,
    waiting INTEGER NOT NULL,
    open INTEGER NOT NULL,
    due_at INTEGER,
    ended_at INTEGER,
    version INTEGER NOT NULL,
    record TEXT NOT NULL
) STRICT;
CREATE INDEX sessions_of_user ON sessions (user, id);
CREATE INDEX sessions_by_status ON sessions (user, status, id);
CREATE INDEX sessions_waiting ON sessions (user, id) WHERE waiting;
CREATE INDEX sessions_due ON sessions (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX sessions_ended ON sessions (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE entries (
    session BLOB NOT NULL,
    seq INTEGER NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (session, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE jobs (
    id BLOB PRIMARY KEY,
    session BLOB NOT NULL,
    -- 1 for an unfinished serial command, 2 for an unfinished parallel one, 0 for all other jobs.
    open INTEGER NOT NULL,
    due_at INTEGER,
    version INTEGER NOT NULL,
    record TEXT NOT NULL
) STRICT;
CREATE INDEX jobs_of_session ON jobs (session, id);
CREATE INDEX jobs_open ON jobs (session, open, id) WHERE open;
CREATE INDEX jobs_due ON jobs (due_at) WHERE due_at IS NOT NULL;

-- Not WITHOUT ROWID: the chunks are large.
CREATE TABLE output (
    job BLOB NOT NULL,
    stream TEXT NOT NULL,
    start INTEGER NOT NULL,
    bytes BLOB NOT NULL,
    PRIMARY KEY (job, stream, start)
) STRICT;

CREATE TABLE turns (
    session BLOB PRIMARY KEY,
    job BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE quota (
    user TEXT PRIMARY KEY,
    active INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE answers (
    user TEXT NOT NULL,
    key TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (user, key)
) STRICT;
CREATE INDEX answers_expired ON answers (expires_at);

CREATE TABLE deliveries (
    id BLOB PRIMARY KEY,
    user TEXT NOT NULL,
    session BLOB NOT NULL,
    due_at INTEGER,
    version INTEGER NOT NULL,
    record TEXT NOT NULL
) STRICT;
CREATE INDEX deliveries_of_user ON deliveries (user, id);
CREATE INDEX deliveries_of_session ON deliveries (session, id);
CREATE INDEX deliveries_due ON deliveries (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE warm (
    id BLOB PRIMARY KEY,
    kind TEXT NOT NULL,
    due_at INTEGER,
    version INTEGER NOT NULL,
    record TEXT NOT NULL
) STRICT;
CREATE INDEX warm_of_kind ON warm (kind, id) WHERE due_at IS NOT NULL;
CREATE INDEX warm_due ON warm (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE messages (
    id INTEGER PRIMARY KEY,
    attempts INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT;

CREATE TABLE dead_letters (
    id INTEGER PRIMARY KEY,
    lane TEXT NOT NULL,
    reason TEXT NOT NULL,
    died_at INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT;

CREATE TABLE executions (
    session BLOB PRIMARY KEY,
    wake_at INTEGER,
    record TEXT NOT NULL
) STRICT;

CREATE TABLE tokens (
    hash BLOB PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    user TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
