use std::sync::mpsc::{Receiver, channel};

use tempfile::{TempDir, tempdir};

use super::*;

fn open() -> (TempDir, Database) {
    let dir = tempdir().unwrap();
    let db = Database::open(dir.path()).unwrap();
    (dir, db)
}

fn insert(user: &str) -> impl Fn(&Connection) -> rusqlite::Result<()> + Send + 'static {
    let user = user.to_owned();
    move |db| {
        db.execute("INSERT INTO quota (user, active, bytes) VALUES (?1, 1, 0)", [&user]).map(drop)
    }
}

fn write_of(user: &str) -> impl FnOnce(&Connection) -> Result<(), BackendError> + Send + 'static {
    let insert = insert(user);
    move |db| insert(db).map_err(|error| BackendError::new("inserting", error))
}

fn users(db: &Connection) -> rusqlite::Result<Vec<String>> {
    db.prepare("SELECT user FROM quota ORDER BY user")?.query_map([], |row| row.get(0))?.collect()
}

/// Blocks the writer until something is sent.
fn block(db: &Database, until: Receiver<()>) {
    db.later(move |_| {
        until.recv().ok();
        Ok(())
    });
}

/// The files that another process finds if this one is killed now.
fn crash(dir: &Path) -> TempDir {
    let copy = tempdir().unwrap();
    for file in [FILE.to_owned(), format!("{FILE}-wal")] {
        fs::copy(dir.join(&file), copy.path().join(&file)).unwrap();
    }
    copy
}

async fn limit_pages(db: &Database, pages: u32) {
    let limit = move |db: &Connection| {
        db.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))
            .map_err(|error| BackendError::new("limiting", error))
    };
    db.write(limit, || ()).await.unwrap();
}

fn remove_one(db: &Connection) -> Result<(), BackendError> {
    db.execute("DELETE FROM quota WHERE user LIKE '1-%'", [])
        .map(drop)
        .map_err(|error| BackendError::new("removing", error))
}

async fn fill(db: &Database) -> BackendError {
    let mut row = 0;
    loop {
        row += 1;
        let user = format!("{row}-{}", "x".repeat(4000));
        if let Err(error) = db.write(write_of(&user), || ()).await {
            return error;
        }
    }
}

#[tokio::test]
async fn a_failed_write_does_not_affect_the_others_of_its_batch() {
    let (dir, db) = open();
    let (release, held) = channel();
    block(&db, held);
    let path = dir.path().join(FILE);
    let last = move |own: &Connection| {
        let outside = open_reader(&path).unwrap();
        // All writes are in one transaction: only this connection sees the first insert.
        Ok::<_, BackendError>((users(own).unwrap(), users(&outside).unwrap()))
    };
    let (first, again, other, seen, ()) = tokio::join!(
        db.write(write_of("ann"), || ()),
        db.write(write_of("ann"), || ()),
        db.write(write_of("bob"), || ()),
        db.write(last, || ()),
        async { release.send(()).unwrap() },
    );
    first.unwrap();
    again.unwrap_err();
    other.unwrap();
    assert_eq!(seen.unwrap(), (vec!["ann".to_owned(), "bob".to_owned()], vec![]));
    assert_eq!(db.read("reading", users).unwrap(), ["ann", "bob"]);
}

#[tokio::test]
async fn a_failed_write_is_rolled_back_as_a_whole() {
    let (_dir, db) = open();
    let half = |db: &Connection| {
        insert("ann")(db).unwrap();
        Err::<(), _>(BackendError::new("failing", "on purpose"))
    };
    db.write(half, || panic!("nothing was committed")).await.unwrap_err();
    assert_eq!(db.read("reading", users).unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn deferred_writes_are_on_disk_when_a_flush_returns() {
    let (dir, db) = open();
    db.later(insert("ann"));
    db.later(insert("bob"));
    db.flush().await.unwrap();
    let copy = crash(dir.path());
    let again = Database::open(copy.path()).unwrap();
    assert_eq!(again.read("reading", users).unwrap(), ["ann", "bob"]);
}

#[tokio::test]
async fn closing_commits_the_deferred_writes() {
    let (dir, db) = open();
    db.later(insert("ann"));
    drop(db);
    let again = Database::open(dir.path()).unwrap();
    assert_eq!(again.read("reading", users).unwrap(), ["ann"]);
}

#[tokio::test]
async fn a_crash_loses_only_writes_that_have_not_returned() {
    let (dir, db) = open();
    db.write(write_of("ann"), || ()).await.unwrap();
    let (release, held) = channel();
    let (begun, writing) = channel();
    let blocked = move |db: &Connection| {
        write_of("bob")(db).unwrap();
        begun.send(()).unwrap();
        held.recv().unwrap();
        Ok::<_, BackendError>(())
    };
    let (result, ()) = tokio::join!(db.write(blocked, || ()), async {
        writing.recv().unwrap();
        let copy = crash(dir.path());
        release.send(()).unwrap();
        let again = Database::open(copy.path()).unwrap();
        assert_eq!(again.read("reading", users).unwrap(), ["ann"]);
    });
    result.unwrap();
    assert_eq!(db.read("reading", users).unwrap(), ["ann", "bob"]);
}

#[tokio::test]
async fn a_second_server_is_refused_until_the_first_is_gone() {
    let (dir, db) = open();
    let refused = Database::open(dir.path()).unwrap_err();
    assert!(matches!(refused, OpenError::InUse(_)), "{refused}");
    drop(db);
    Database::open(dir.path()).unwrap();
}

#[tokio::test]
async fn a_shared_database_can_be_written_beside_a_server() {
    let (dir, db) = open();
    let shared = Database::open_shared(dir.path()).unwrap();
    shared.write(write_of("bob"), || ()).await.unwrap();
    db.write(write_of("ann"), || ()).await.unwrap();
    assert_eq!(shared.read("reading", users).unwrap(), ["ann", "bob"]);
}

#[tokio::test]
async fn only_the_owner_can_read_the_files() {
    use std::os::unix::fs::PermissionsExt;
    // The directory may exist already and be readable by all.
    let (dir, db) = open();
    db.write(write_of("ann"), || ()).await.unwrap();
    for file in [FILE.to_owned(), format!("{FILE}-wal"), format!("{FILE}-shm")] {
        let mode = fs::metadata(dir.path().join(&file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{file} has mode {mode:o}");
    }
}

#[test]
fn a_data_directory_that_others_may_read_is_closed_but_no_other_directory() {
    let mode = |dir: &Path| fs::metadata(dir).unwrap().permissions().mode() & 0o777;
    let (ours, others) = (tempdir().unwrap(), tempdir().unwrap());
    fs::write(others.path().join("file"), "").unwrap();
    for dir in [&ours, &others] {
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        drop(Database::open(dir.path()).unwrap());
    }
    assert_eq!((mode(ours.path()), mode(others.path())), (0o700, 0o755));
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_refused() {
    let (dir, db) = open();
    drop(db);
    let file = Connection::open(dir.path().join(FILE)).unwrap();
    file.pragma_update(None, "user_version", SCHEMA + 1).unwrap();
    drop(file);
    let refused = Database::open(dir.path()).unwrap_err();
    assert!(matches!(refused, OpenError::Newer { found } if found == SCHEMA + 1), "{refused}");
}

#[tokio::test]
async fn writes_succeed_again_after_the_disk_was_full() {
    let (_dir, db) = open();
    db.write(write_of("ann"), || ()).await.unwrap();
    limit_pages(&db, 60).await;
    let error = fill(&db).await;
    assert_eq!(error.to_string(), "committing failed");
    assert!(db.read("reading", users).unwrap().contains(&"ann".to_owned()));
    limit_pages(&db, 1000).await;
    db.write(write_of("bob"), || ()).await.unwrap();
}

#[tokio::test]
async fn deferred_writes_are_repeated_in_order_after_the_disk_was_full() {
    let (_dir, db) = open();
    limit_pages(&db, 60).await;
    fill(&db).await;
    let large = format!("ann-{}", "x".repeat(20_000));
    db.later(insert(&large));
    // This write would fit, but must not overtake the one before it.
    let rename = "UPDATE quota SET user = 'ann' WHERE user LIKE 'ann-%'";
    db.later(move |db| db.execute(rename, []).map(drop));
    db.flush().await.unwrap_err();
    db.flush().await.unwrap_err();
    assert!(!db.read("reading", users).unwrap().contains(&"ann".to_owned()));
    // Other writes are not blocked.
    db.write(remove_one, || ()).await.unwrap();
    limit_pages(&db, 1000).await;
    db.flush().await.unwrap();
    assert!(db.read("reading", users).unwrap().contains(&"ann".to_owned()));
}

#[tokio::test]
async fn a_deferred_write_that_can_never_succeed_is_dropped() {
    let (_dir, db) = open();
    db.later(insert("ann"));
    db.later(insert("ann"));
    db.later(insert("bob"));
    db.flush().await.unwrap();
    assert_eq!(db.read("reading", users).unwrap(), ["ann", "bob"]);
}

#[tokio::test]
async fn the_callback_after_a_commit_runs_although_the_caller_was_dropped() {
    let (_dir, db) = open();
    let (release, held) = channel();
    block(&db, held);
    let (done, after) = channel();
    let mut write = Box::pin(db.write(write_of("ann"), move || done.send(()).unwrap()));
    assert!(futures::poll!(&mut write).is_pending());
    drop(write);
    release.send(()).unwrap();
    after.recv().unwrap();
    assert_eq!(db.read("reading", users).unwrap(), ["ann"]);
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

#[tokio::test]
async fn others_have_no_access_to_a_data_directory_that_existed() {
    let dir = tempdir().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    let db = Database::open(dir.path()).unwrap();
    db.flush().await.unwrap();
    assert_eq!(mode(dir.path()), 0o700);
    for entry in fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    drop(db);
    fs::set_permissions(dir.path(), Permissions::from_mode(0o777)).unwrap();
    drop(Database::open(dir.path()).unwrap());
    assert_eq!(mode(dir.path()), 0o700);
}

#[tokio::test]
async fn a_directory_that_others_use_too_keeps_its_mode() {
    let (shared, used) = (tempdir().unwrap(), tempdir().unwrap());
    fs::set_permissions(shared.path(), Permissions::from_mode(0o1777)).unwrap();
    fs::set_permissions(used.path(), Permissions::from_mode(0o755)).unwrap();
    fs::write(used.path().join("a file of others"), "").unwrap();
    for (dir, expected) in [(&shared, 0o1777), (&used, 0o755)] {
        drop(Database::open(dir.path()).unwrap());
        assert_eq!(mode(dir.path()), expected);
    }
}

fn log_size(dir: &Path) -> u64 {
    fs::metadata(dir.join(LOG)).unwrap().len()
}

#[tokio::test]
async fn commits_of_a_server_do_not_enlarge_its_log() {
    let (dir, db) = open();
    db.flush().await.unwrap();
    let first = log_size(dir.path());
    assert!(first > 4 << 20, "{first}");
    for number in 0..1_500 {
        db.write(write_of(&number.to_string()), || ()).await.unwrap();
    }
    assert_eq!(log_size(dir.path()), first);
    let found = Database::open(crash(dir.path()).path()).unwrap().read("counting", users).unwrap();
    assert_eq!(found.len(), 1_500);
}

#[tokio::test]
async fn a_log_with_zeros_behind_its_frames_is_read_after_a_crash() {
    let (dir, db) = open();
    db.write(write_of("1-a"), || ()).await.unwrap();
    let killed = crash(dir.path());
    drop(db);
    assert_eq!(log_size(killed.path()), 4_400 << 10);
    let db = Database::open(killed.path()).unwrap();
    db.write(write_of("1-b"), || ()).await.unwrap();
    assert_eq!(db.read("listing", users).unwrap(), ["1-a", "1-b"]);
}

#[tokio::test]
async fn a_short_command_beside_a_server_does_not_enlarge_the_log() {
    let dir = tempdir().unwrap();
    let db = Database::open_shared(dir.path()).unwrap();
    db.write(write_of("1-a"), || ()).await.unwrap();
    assert!(log_size(dir.path()) < 1 << 20);
}
