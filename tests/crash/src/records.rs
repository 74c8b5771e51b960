//! The records that a killed server left, read from a copy of its database.
//!
//! A kill may fall between any two commits, so the invariants of each commit are checked here; the API
//! shows the records only after the recovery.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
};

use anyhow::{Context, Result};
use domain::{
    job::Job,
    session::{Session, Status},
    timeline::Entry,
    warm::Warm,
    webhook::Delivery,
};
use rusqlite::{Connection, types::FromSql};
use serde::de::DeserializeOwned;
use testkit::Invariant;

use crate::{deployment::Deployment, load::Load, verdict::Verdict};

/// What the copies showed so far.
#[derive(Debug, Default)]
pub(crate) struct Records {
    /// Final records, as text.
    finals: HashMap<String, String>,
    /// The tasks of the records that are not final.
    tasks: BTreeSet<String>,
    /// The open sessions with their tasks.
    served: Vec<(String, String)>,
}

/// The content of one copy.
struct Copied {
    sessions: Vec<(Session, String)>,
    jobs: Vec<(Job, String)>,
    entries: Vec<Entry>,
    deliveries: Vec<Delivery>,
    warm: Vec<Warm>,
    /// Sessions, and the jobs that have their turns.
    turns: Vec<(Vec<u8>, Vec<u8>)>,
    active: u64,
    /// The number of stored bytes of each job's stream, and whether they have no gap.
    output: BTreeMap<(Vec<u8>, String), (u64, bool)>,
}

impl Records {
    /// Checks the records that a stopped or killed server left.
    pub(crate) fn check(&mut self, deployment: &Deployment, load: &Load) -> Result<()> {
        let Some(copied) = Copied::of(deployment)? else { return Ok(()) };
        let verdict = &load.verdict;
        self.finals(&copied, verdict);
        due(&copied, verdict);
        quota(&copied, load.quota, verdict);
        timeline(&copied, verdict);
        turns(&copied, verdict);
        tasks(&copied, verdict);
        output(&copied, verdict);
        self.tasks = live_tasks(&copied);
        let sessions = copied.sessions.iter().filter(|(session, _)| session.due_at().is_some());
        let served = sessions.filter_map(|(session, _)| Some((session.id(), session.task()?)));
        self.served = served.map(|(id, task)| (id.to_string(), task.to_string())).collect();
        Ok(())
    }

    /// The tasks that may exist, as of the last check.
    pub(crate) fn live_tasks(&self) -> BTreeSet<String> {
        self.tasks.clone()
    }

    /// Sessions with their tasks, as of the last check.
    pub(crate) fn served(&self) -> &[(String, String)] {
        &self.served
    }

    fn finals(&mut self, copied: &Copied, verdict: &Verdict) {
        let sessions = copied
            .sessions
            .iter()
            .map(|(session, text)| (session.id().to_string(), session.due_at().is_none(), text));
        let jobs = copied
            .jobs
            .iter()
            .map(|(job, text)| (job.id().to_string(), job.due_at().is_none(), text));
        let mut present = BTreeSet::new();
        for (id, is_final, text) in sessions.chain(jobs) {
            present.insert(id.clone());
            match self.finals.get(&id) {
                Some(first) => {
                    verdict.check(first == text, Invariant::FinalRecordsNeverChange, || {
                        format!("the stored record of {id} changed after its end")
                    })
                }
                None if is_final => drop(self.finals.insert(id, text.clone())),
                None => {}
            }
        }
        for id in self.finals.keys().filter(|id| !present.contains(*id)) {
            let evidence = format!("the stored record of {id} is missing");
            verdict.violated(Invariant::FinalRecordsNeverChange, evidence);
        }
    }
}

impl Copied {
    /// `None` if there is no database yet.
    fn of(deployment: &Deployment) -> Result<Option<Self>> {
        let (from, to) = (deployment.data_dir(), deployment.scratch().join("copy"));
        if !from.join("ephemeral.db").exists() {
            return Ok(None);
        }
        fs::create_dir_all(&to)?;
        for file in ["ephemeral.db", "ephemeral.db-wal", "ephemeral.db-shm"] {
            let _absent = fs::remove_file(to.join(file));
            // SQLite rebuilds the index of the log when the copy is opened.
            if from.join(file).exists() && file != "ephemeral.db-shm" {
                fs::copy(from.join(file), to.join(file))?;
            }
        }
        let db = Connection::open(to.join("ephemeral.db"))?;
        let tables: u64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |r| r.get(0))?;
        if tables == 0 {
            return Ok(None);
        }
        Self::read(&db).context("the records that the server left can't be read").map(Some)
    }

    fn read(db: &Connection) -> Result<Self> {
        let mut output = BTreeMap::new();
        let chunks: Vec<(Vec<u8>, String, u64, u64)> = db
            .prepare("SELECT job, stream, start, length(bytes) FROM output ORDER BY 1, 2, 3")?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
            .collect::<rusqlite::Result<_>>()?;
        for (job, stream, start, length) in chunks {
            let (end, whole) = output.entry((job, stream)).or_insert((0, true));
            *whole &= *end == start;
            *end = start + length;
        }
        Ok(Self {
            sessions: texts(db, "sessions")?,
            jobs: texts(db, "jobs")?,
            entries: records(db, "entries ORDER BY session, seq")?,
            deliveries: records(db, "deliveries")?,
            warm: records(db, "warm")?,
            turns: rows(db, "SELECT session, job FROM turns")?,
            active: db.query_row("SELECT coalesce(sum(active), 0) FROM quota", [], |r| r.get(0))?,
            output,
        })
    }
}

fn due(copied: &Copied, verdict: &Verdict) {
    let open = |id: String| verdict.violated(Invariant::OpenRecordsHaveADueTime, id);
    for (session, _) in &copied.sessions {
        let ended = matches!(session.status(), Status::Stopped | Status::Failed);
        if session.due_at().is_none() != ended {
            open(session.id().to_string());
        }
    }
    for (job, _) in &copied.jobs {
        if job.due_at().is_none() != matches!(job, Job::Finished(_)) {
            open(job.id().to_string());
        }
    }
    for delivery in &copied.deliveries {
        if delivery.due_at().is_none() != matches!(delivery, Delivery::Finished(_)) {
            open(delivery.payload().id.to_string());
        }
    }
}

fn quota(copied: &Copied, limit: u64, verdict: &Verdict) {
    let holders = copied.sessions.iter().filter(|(session, _)| session.holds_slot()).count() as u64;
    let fits = holders == copied.active && holders <= limit;
    verdict.check(fits, Invariant::QuotaIsNeverExceeded, || {
        format!(
            "{holders} sessions hold a slot, {} are counted, the limit is {limit}",
            copied.active
        )
    });
}

fn timeline(copied: &Copied, verdict: &Verdict) {
    let mut by_session: BTreeMap<_, Vec<&Entry>> = BTreeMap::new();
    for entry in &copied.entries {
        by_session.entry(entry.session).or_default().push(entry);
    }
    for (session, _) in &copied.sessions {
        let entries = by_session.remove(&session.id()).unwrap_or_default();
        let seqs = entries.iter().map(|entry| entry.seq);
        let whole = seqs.eq(1..=session.common().entries)
            && entries.last().is_some_and(|last| last.to == session.status())
            && entries.windows(2).all(|pair| pair[1].from == Some(pair[0].to));
        verdict.check(whole, Invariant::TimelineHasNoGaps, || {
            format!("{} has {} stored entries", session.id(), entries.len())
        });
    }
    for session in by_session.keys() {
        verdict
            .violated(Invariant::TimelineHasNoGaps, format!("{session} has entries but no record"));
    }
}

/// The jobs with a turn are exactly the running serial jobs.
fn turns(copied: &Copied, verdict: &Verdict) {
    use domain::command::Concurrency::Serial;
    let is_serial = |job: &Job| job.command().is_some_and(|c| c.concurrency == Serial);
    let running = copied.jobs.iter().map(|(job, _)| job);
    let running = running.filter(|job| matches!(job, Job::Running(_)) && is_serial(job));
    let running: BTreeSet<_> = running
        .map(|job| {
            (job.common().session.ulid().to_bytes().to_vec(), job.id().ulid().to_bytes().to_vec())
        })
        .collect();
    let turns: BTreeSet<_> = copied.turns.iter().cloned().collect();
    verdict.check(running == turns, Invariant::SerialJobsKeepTheirOrder, || {
        format!("{} serial commands run, {} have the turn", running.len(), turns.len())
    });
}

fn tasks(copied: &Copied, verdict: &Verdict) {
    let mut seen = HashMap::new();
    for (session, _) in &copied.sessions {
        let Some(task) = session.task() else { continue };
        if let Some(other) = seen.insert(task.clone(), session.id()) {
            let evidence = format!("{} and {other} have {task}", session.id());
            verdict.violated(Invariant::OneWarmTaskServesOneSession, evidence);
        }
    }
    for warm in &copied.warm {
        let Warm::Claimed(claimed) = warm else { continue };
        let fits = seen.get(claimed.task()) == Some(&claimed.session());
        verdict.check(fits, Invariant::OneWarmTaskServesOneSession, || {
            format!("{} was claimed for {} and serves another", claimed.task(), claimed.session())
        });
    }
}

/// The stored output of each job is as long as its record says.
fn output(copied: &Copied, verdict: &Verdict) {
    for (job, _) in &copied.jobs {
        let (stdout, stderr) = job.output();
        for (stream, kept) in [("stdout", stdout), ("stderr", stderr)] {
            let key = (job.id().ulid().to_bytes().to_vec(), stream.to_owned());
            let (stored, whole) = copied.output.get(&key).copied().unwrap_or((0, true));
            verdict.check(
                whole && stored == kept.stored,
                Invariant::CompletedOnlyIfTheRunnerReportedIt,
                || {
                    format!(
                        "{} {stream}: {} bytes on record, {stored} stored",
                        job.id(),
                        kept.stored
                    )
                },
            );
        }
    }
}

fn live_tasks(copied: &Copied) -> BTreeSet<String> {
    let sessions = copied.sessions.iter().map(|(session, _)| session);
    let sessions = sessions.filter(|session| session.due_at().is_some());
    let of_sessions = sessions.filter_map(|session| session.task().map(ToString::to_string));
    let of_warm = copied.warm.iter().filter_map(|warm| match warm {
        Warm::Available(warm) => Some(warm.task().to_string()),
        Warm::Starting(_) | Warm::Claimed(_) | Warm::Retired(_) => None,
    });
    of_sessions.chain(of_warm).collect()
}

fn texts<T: DeserializeOwned>(db: &Connection, table: &str) -> Result<Vec<(T, String)>> {
    let texts: Vec<String> = db
        .prepare(&format!("SELECT record FROM {table}"))?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    texts.into_iter().map(|text| Ok((serde_json::from_str(&text)?, text))).collect()
}

fn records<T: DeserializeOwned>(db: &Connection, table: &str) -> Result<Vec<T>> {
    Ok(texts(db, table)?.into_iter().map(|(record, _)| record).collect())
}

fn rows<A: FromSql, B: FromSql>(db: &Connection, query: &str) -> Result<Vec<(A, B)>> {
    let mut query = db.prepare(query)?;
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
