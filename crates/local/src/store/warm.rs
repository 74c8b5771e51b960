//! The table `warm`.

use domain::{
    WarmId,
    ports::{BackendError, Version, Versioned},
    size::{Network, Size},
    warm::{Kind, Warm},
};
use rusqlite::{Connection, params};

use super::record;

/// A warm task, encoded.
pub(super) struct Row {
    id: [u8; 16],
    kind: String,
    due_at: Option<i64>,
    record: String,
}

impl Row {
    pub(super) fn new(warm: &Warm) -> Result<Self, BackendError> {
        Ok(Self {
            id: warm.id().ulid().to_bytes(),
            kind: key(warm.kind()),
            due_at: warm.due_at().map(|at| at.millis()),
            record: record::encode(warm)?,
        })
    }
}

impl record::Row for Row {
    fn insert(&self, db: &Connection) -> rusqlite::Result<usize> {
        db.prepare_cached(
            "-- warm::insert
            INSERT INTO warm (id, kind, due_at, version, record) VALUES (?1, ?2, ?3, 1, ?4)
            ON CONFLICT DO NOTHING",
        )?
        .execute(params![self.id, self.kind, self.due_at, self.record])
    }

    fn update(&self, db: &Connection, Version(read): Version) -> rusqlite::Result<usize> {
        db.prepare_cached(
            "-- warm::update
            UPDATE warm SET due_at = ?3, version = version + 1, record = ?4
            WHERE id = ?1 AND version = ?2",
        )?
        .execute(params![self.id, read, self.due_at, self.record])
    }
}

pub(super) fn find(db: &Connection, id: WarmId) -> rusqlite::Result<Option<Versioned<Warm>>> {
    record::find(
        db,
        "-- warm::find
        SELECT record, version FROM warm WHERE id = ?1",
        id.ulid(),
    )
}

/// The warm tasks of a kind that are not final: a final one is never due.
pub(super) fn of_kind(db: &Connection, kind: &Kind) -> rusqlite::Result<Vec<Versioned<Warm>>> {
    db.prepare_cached(
        "-- warm::of_kind
        SELECT record, version FROM warm WHERE kind = ?1 AND due_at IS NOT NULL ORDER BY id",
    )?
    .query_map([key(kind)], record::versioned)?
    .collect()
}

/// The kind as the text of one column. The image comes last, because it may contain any character.
fn key(kind: &Kind) -> String {
    let network = match kind.network {
        Network::None => "none",
        Network::Egress => "egress",
    };
    let size = &kind.size;
    // Older keys do not name the default disk.
    let disk = match size.disk_mib() {
        disk if disk == Size::DEFAULT.disk_mib() => String::new(),
        disk => format!(" {disk}"),
    };
    format!("{} {}{disk} {network} {}", size.cpu(), size.memory_mib(), kind.image)
}
