//! The suite of the port `Store`.

use std::sync::Arc;

use domain::{
    JobId, Timestamp, UserId,
    job::{self, Job, Work},
    ports::{CommitError, Expect, Store, Version, Write},
    session::{Event, Queued, Session, Transition, Waiting},
    timeline::{Actor, Stamp},
};

use super::run_cases;
use crate::{command, fixtures, job_id, session_id, user_id};

mod due;
mod limits;
mod lists;
mod output;
mod quota;
mod records;
mod user_events;

/// Runs the cases of the limits that only a store on one machine keeps, each on a store of its own.
pub async fn store_limits_suite(make: impl AsyncFn() -> Arc<dyn Store>) {
    run_cases!(make =>
        limits::a_user_stores_no_more_than_the_limits,
        limits::what_is_forgotten_makes_room,
        limits::a_session_has_no_more_unfinished_commands_than_the_limits,
        limits::a_user_runs_no_more_commands_than_the_limits,
        limits::a_race_for_places_never_exceeds_the_limit,
    );
}

/// Runs all cases, each on a store of its own.
pub async fn store_suite(make: impl AsyncFn() -> Arc<dyn Store>) {
    run_cases!(make =>
        records::a_new_record_is_read_back_with_version_one,
        records::a_missing_record_is_none,
        records::a_record_is_new_only_once,
        records::a_write_at_an_old_version_changes_nothing,
        records::a_transaction_is_written_as_a_whole_or_not_at_all,
        records::of_many_writers_at_one_version_one_wins,
        records::every_state_of_a_session_comes_back_as_it_was,
        records::every_state_of_a_job_comes_back_as_it_was,
        records::a_timeline_entry_is_written_once_and_read_in_order,
        records::timeline_entries_that_are_written_together_are_listed_one_by_one,
        output::output_is_appended_only_at_its_end,
        output::output_is_read_from_any_offset,
        output::output_of_any_bytes_comes_back_whole,
        output::output_that_comes_with_the_end_of_its_job_comes_back,
        output::an_answer_is_kept_until_it_expires,
        quota::slots_are_given_up_to_the_limit,
        quota::a_race_for_slots_never_exceeds_the_limit,
        quota::a_slot_is_not_taken_by_a_transaction_that_fails,
        quota::starts_are_counted_by_the_rate_of_their_user,
        quota::a_start_that_is_refused_counts_nothing,
        quota::a_race_of_starts_never_exceeds_the_rate,
        quota::one_job_has_the_turn_at_a_time,
        quota::only_an_open_session_passes_as_open,
        records::a_large_command_is_read_whole_until_its_job_is_over,
        records::the_variables_of_a_session_are_read_with_it,
        lists::sessions_are_listed_newest_first_in_pages,
        lists::sessions_are_listed_by_status_and_owner,
        lists::waiting_sessions_come_oldest_first,
        lists::jobs_are_listed_oldest_first_in_pages,
        lists::open_jobs_are_commands_that_are_not_final,
        lists::deliveries_are_listed_newest_first,
        lists::warm_tasks_are_listed_by_kind_while_they_live,
        user_events::events_of_a_user_are_numbered_in_the_order_of_their_commits,
        user_events::a_user_reads_no_events_of_others,
        user_events::a_failed_transaction_adds_no_event,
        user_events::concurrent_events_of_a_user_get_numbers_without_gaps,
        due::due_records_come_longest_overdue_first,
        due::a_final_record_is_never_due,
        due::a_postponed_record_is_due_later,
        due::a_postponed_job_is_due_later,
        due::old_sessions_are_removed_with_all_their_records,
    );
}

type Made = Arc<dyn Store>;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_767_225_600_000 + seconds * 1000)
}

fn stamp(seconds: i64) -> Stamp {
    Stamp::new(Actor::User, at(seconds))
}

fn start_job(name: &str) -> JobId {
    job_id(&format!("+{name}"))
}

/// A session as it is accepted, by the test user.
fn queued(name: &str) -> Transition {
    Queued::accept(session_id(name), user_id(), start_job(name), fixtures::spec(), stamp(0)).any()
}

fn queued_of(name: &str, user: &UserId) -> Session {
    let spec = fixtures::spec();
    Queued::accept(session_id(name), user.clone(), start_job(name), spec, stamp(0)).any().session
}

fn waiting(name: &str, seconds: i64) -> Session {
    let spec = fixtures::spec();
    Waiting::accept(session_id(name), user_id(), start_job(name), spec, stamp(seconds))
        .any()
        .session
}

/// The session after these events, one second apart.
fn after(session: Session, events: impl IntoIterator<Item = Event>) -> Session {
    events.into_iter().zip(1..).fold(session, |session, (event, seconds)| {
        session.on(event, stamp(seconds)).expect("the event fits the state").session
    })
}

/// An execute job of a session.
fn job(session: &str, name: &str) -> job::Queued {
    job_of(session, name, Work::Execute(Box::new(command("true"))))
}

fn job_of(session: &str, name: &str, work: Work) -> job::Queued {
    let (id, session) = (job_id(name), session_id(session));
    Job::accept(job::Common { id, session, user: user_id(), work, created_at: at(0) })
}

fn put_session(session: &Session, expect: Expect) -> Write {
    Write::Session(Box::new(session.clone()), expect)
}

fn put_job(job: impl Into<Job>, expect: Expect) -> Write {
    Write::Job(Box::new(job.into()), expect)
}

async fn put(store: &Made, writes: Vec<Write>) {
    store.commit(writes).await.expect("the writes fit");
}

async fn conflicts(store: &Made, writes: Vec<Write>) {
    let answer = store.commit(writes).await;
    assert!(matches!(answer, Err(CommitError::Conflict)), "{answer:?} is no conflict");
}

const fn first() -> Expect {
    Expect::At(Version(1))
}
