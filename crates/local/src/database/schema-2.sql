-- Version 2: large commands and variables beside their records, and the number of bytes that each session
-- and user store. Triggers count what is inserted, so that nothing is stored uncounted; a session's count
-- goes with the session.
ALTER TABLE jobs ADD COLUMN user TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN running INTEGER NOT NULL DEFAULT 0;
ALTER TABLE quota ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;

-- The commands of unfinished jobs that are too large for the record. `stdin` is not part of `record`.
CREATE TABLE commands (
    job BLOB PRIMARY KEY,
    session BLOB NOT NULL,
    size INTEGER NOT NULL,
    record TEXT NOT NULL,
    stdin BLOB NOT NULL
) STRICT;
CREATE INDEX commands_of_session ON commands (session, size);

-- The environment variables of sessions that have not ended, if they are too large for the record.
CREATE TABLE variables (
    session BLOB PRIMARY KEY,
    record TEXT NOT NULL
) STRICT;

CREATE TABLE usage (
    session BLOB PRIMARY KEY,
    user TEXT NOT NULL,
    bytes INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER usage_inserted AFTER INSERT ON usage BEGIN
    INSERT INTO quota (user, active, bytes)
        SELECT NEW.user, 0, 0 WHERE NOT EXISTS (SELECT 1 FROM quota WHERE user = NEW.user);
    UPDATE quota SET bytes = bytes + NEW.bytes WHERE user = NEW.user;
END;
CREATE TRIGGER usage_updated AFTER UPDATE OF bytes ON usage BEGIN
    UPDATE quota SET bytes = bytes + NEW.bytes - OLD.bytes WHERE user = NEW.user;
END;
CREATE TRIGGER usage_deleted AFTER DELETE ON usage BEGIN
    UPDATE quota SET bytes = bytes - OLD.bytes WHERE user = OLD.user;
END;

-- What the records of before are counted as: their present size.
UPDATE jobs SET user = ifnull((SELECT user FROM sessions WHERE sessions.id = jobs.session), '');
INSERT INTO usage (session, user, bytes)
    SELECT id, user, 1024 + length(record)
        + ifnull((SELECT sum(256 + length(record)) FROM jobs WHERE session = s.id), 0)
        + ifnull((SELECT sum(64 + length(bytes)) FROM output
            WHERE job IN (SELECT id FROM jobs WHERE session = s.id)), 0)
        + ifnull((SELECT sum(64 + length(record)) FROM entries WHERE session = s.id), 0)
        + ifnull((SELECT sum(256 + length(record)) FROM deliveries WHERE session = s.id), 0)
    FROM sessions AS s;
INSERT INTO quota (user, active, bytes)
    SELECT DISTINCT user, 0, 0 FROM answers WHERE user NOT IN (SELECT user FROM quota);
UPDATE quota SET bytes = bytes
    + ifnull((SELECT sum(128 + length(record)) FROM answers WHERE answers.user = quota.user), 0);

CREATE TRIGGER sessions_counted AFTER INSERT ON sessions BEGIN
    INSERT INTO usage (session, user, bytes) VALUES (NEW.id, NEW.user, 1024 + length(NEW.record));
END;
CREATE TRIGGER variables_counted AFTER INSERT ON variables BEGIN
    UPDATE usage SET bytes = bytes + length(NEW.record) WHERE session = NEW.session;
END;
CREATE TRIGGER variables_dropped AFTER DELETE ON variables BEGIN
    UPDATE usage SET bytes = bytes - length(OLD.record) WHERE session = OLD.session;
END;
CREATE TRIGGER jobs_counted AFTER INSERT ON jobs BEGIN
    UPDATE usage SET bytes = bytes + 256 + length(NEW.record) WHERE session = NEW.session;
END;
CREATE TRIGGER commands_counted AFTER INSERT ON commands BEGIN
    UPDATE usage SET bytes = bytes + NEW.size WHERE session = NEW.session;
END;
CREATE TRIGGER commands_dropped AFTER DELETE ON commands BEGIN
    UPDATE usage SET bytes = bytes - OLD.size WHERE session = OLD.session;
END;
CREATE TRIGGER output_counted AFTER INSERT ON output BEGIN
    UPDATE usage SET bytes = bytes + 64 + length(NEW.bytes)
        WHERE session = (SELECT session FROM jobs WHERE id = NEW.job);
END;
CREATE TRIGGER entries_counted AFTER INSERT ON entries BEGIN
    UPDATE usage SET bytes = bytes + 64 + length(NEW.record) WHERE session = NEW.session;
END;
CREATE TRIGGER deliveries_counted AFTER INSERT ON deliveries BEGIN
    UPDATE usage SET bytes = bytes + 256 + length(NEW.record) WHERE session = NEW.session;
END;
CREATE TRIGGER answers_counted AFTER INSERT ON answers BEGIN
    INSERT INTO quota (user, active, bytes)
        SELECT NEW.user, 0, 0 WHERE NOT EXISTS (SELECT 1 FROM quota WHERE user = NEW.user);
    UPDATE quota SET bytes = bytes + 128 + length(NEW.record) WHERE user = NEW.user;
END;
CREATE TRIGGER answers_dropped AFTER DELETE ON answers BEGIN
    UPDATE quota SET bytes = bytes - 128 - length(OLD.record) WHERE user = OLD.user;
END;

CREATE INDEX jobs_running ON jobs (user, session) WHERE running;
CREATE INDEX sessions_starting ON sessions (id)
    WHERE waiting = 0 AND status IN ('queued', 'provisioning', 'starting');
