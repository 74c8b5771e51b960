-- Version 4: when the bucket of each user is full from which starts of sessions take. NULL: it is full.
ALTER TABLE quota ADD COLUMN starts_full_at INTEGER;
