-- Version 3: the events of users. `id` orders the events of all users, `seq` those of one.
ALTER TABLE quota ADD COLUMN events INTEGER NOT NULL DEFAULT 0;

CREATE TABLE user_events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user TEXT NOT NULL,
    seq INTEGER NOT NULL,
    session BLOB NOT NULL,
    at INTEGER NOT NULL,
    record TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX events_of_user ON user_events (user, seq);

CREATE TRIGGER events_counted AFTER INSERT ON user_events BEGIN
    UPDATE usage SET bytes = bytes + 128 + length(NEW.record) WHERE session = NEW.session;
END;
CREATE TRIGGER events_dropped AFTER DELETE ON user_events BEGIN
    UPDATE usage SET bytes = bytes - 128 - length(OLD.record) WHERE session = OLD.session;
END;

-- Up to which event the destinations of the server's operator have them.
CREATE TABLE publishers (
    name TEXT PRIMARY KEY,
    position INTEGER NOT NULL
) STRICT;
