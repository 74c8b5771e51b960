//! Commands that run for hours.

use async_trait::async_trait;
use domain::{
    TaskId, UserId,
    command::{Command, Concurrency, Program},
    file::NewFile,
    job::{Exit, TerminalAccess},
    ports::{
        Attached, CommandEnd, CommandEvent, CommandStart, EndCause, FilesError, Shell, ShellError,
    },
    session::Event,
};

use super::*;

/// Runs `sleep` for ever, and anything else at once.
struct Shells;

struct Following {
    sleeps: bool,
}

#[async_trait]
impl Shell for Shells {
    async fn probe(&self, _: &TaskId) -> Result<(), ShellError> {
        Ok(())
    }

    async fn start(
        &self,
        _: &TaskId,
        _: domain::JobId,
        command: &Command,
        _: &std::collections::BTreeMap<String, String>,
        _: (u64, u64),
    ) -> Result<CommandStart, ShellError> {
        let sleeps = matches!(command.program.expose(), Program::Shell(line) if line == "sleep");
        Ok(CommandStart::Attached(Box::new(Following { sleeps })))
    }

    async fn write_files(&self, _: &TaskId, _: &[NewFile]) -> Result<(), FilesError> {
        Ok(())
    }

    async fn signal(&self, _: &TaskId, _: domain::JobId, _: i32) -> Result<(), ShellError> {
        Ok(())
    }

    async fn cancel(&self, _: &TaskId, _: domain::JobId) -> Result<(), ShellError> {
        Ok(())
    }

    async fn set_deadline(&self, _: &TaskId, _: std::time::Duration) -> Result<(), ShellError> {
        Ok(())
    }

    async fn open_terminal(
        &self,
        _: &TaskId,
        _: domain::JobId,
    ) -> Result<TerminalAccess, ShellError> {
        Err(ShellError::NotReady)
    }

    async fn release(&self, _: &TaskId, _: domain::JobId) -> Result<(), ShellError> {
        Ok(())
    }
}

#[async_trait]
impl Attached for Following {
    async fn next(&mut self, _: domain::Timestamp) -> Result<Option<CommandEvent>, ShellError> {
        if self.sleeps {
            return std::future::pending().await;
        }
        let end = CommandEnd::without_output(EndCause::Exited, Some(Exit::Code(0)));
        Ok(Some(CommandEvent::Ended(end)))
    }
}

impl Fixture {
    /// A ready session of this user with these parallel jobs, all of which are to run.
    async fn accept_jobs(&self, engine: &Engine, user: &str, session: &str, lines: &[&str]) {
        let (user, now) = (UserId::new(user), self.fakes.clock.now());
        let (id, stamp) = (session_id(session), Stamp::new(Actor::User, now));
        let start = job_id(&format!("+{session}"));
        let accepted = Queued::accept(id, user.clone(), start, spec(), stamp).any().session;
        let mut ready = testkit::provision(accepted, stamp).session;
        for event in [Event::Placed(testkit::task_id(session)), Event::Ready] {
            ready = ready.on(event, stamp).unwrap().session;
        }
        let mut writes = vec![Write::Session(Box::new(ready), Expect::New)];
        for (number, line) in lines.iter().enumerate() {
            let command = Command { concurrency: Concurrency::Parallel, ..command(line) };
            let work = Work::Execute(Box::new(command));
            let job = job_id(&format!("{session}{number:03}"));
            let common =
                job::Common { id: job, session: id, user: user.clone(), work, created_at: now };
            writes.push(Write::Job(Box::new(Job::accept(common).into()), Expect::New));
        }
        self.store().commit(writes).await.unwrap();
        engine.queue.send(&Message::RunJob { session: id }, Duration::ZERO).await.unwrap();
    }

    async fn statuses(&self, session: &str, count: usize) -> Vec<job::Status> {
        let mut statuses = Vec::new();
        for number in 0..count {
            statuses.push(self.job(&format!("{session}{number:03}")).await.status());
        }
        statuses
    }

    /// Waits until so many jobs of the session have this status.
    async fn wait_for(&self, session: &str, of: usize, status: job::Status, count: usize) {
        let began = std::time::Instant::now();
        loop {
            let statuses = self.statuses(session, of).await;
            let found = statuses.iter().filter(|found| **found == status).count();
            if found == count {
                return;
            }
            let late = began.elapsed() > Duration::from_secs(60);
            assert!(!late, "{session}: {found} instead of {count} are {status:?}");
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn sleeping_commands_of_many_users_do_not_delay_the_command_of_another() {
    let fixture = Fixture::new().await;
    let engine = open_env(&fixture.fakes, &fixture.db, |env| env.shell = Arc::new(Shells)).await;
    let engine = Arc::new(engine);
    let running = Arc::clone(&engine).run();
    // More than the lane has places.
    for user in ["m", "n", "o"] {
        for session in 0..4 {
            let session = format!("{user}{session}");
            fixture.accept_jobs(&engine, user, &session, &["sleep"; 40]).await;
        }
    }
    for user in ["m", "n", "o"] {
        for session in 0..4 {
            fixture.wait_for(&format!("{user}{session}"), 40, job::Status::Running, 32).await;
        }
    }
    fixture.accept_jobs(&engine, "alice", "a", &["true"; 3]).await;
    fixture.wait_for("a", 3, job::Status::Completed, 3).await;
    drop(running);
}

#[tokio::test]
async fn jobs_beyond_the_limit_of_a_user_run_when_others_have_ended() {
    let fixture = Fixture::new().await;
    let engine = open_env(&fixture.fakes, &fixture.db, |env| {
        let running = Some(domain::ports::RunLimits { user: 2, session: 2 });
        env.shell = Arc::new(Shells);
        env.policy = Arc::new(handlers::Policy { running, ..(*env.policy).clone() });
    })
    .await;
    let engine = Arc::new(engine);
    let running = Arc::clone(&engine).run();
    fixture.accept_jobs(&engine, "ann", "s", &["sleep", "true", "true", "true"]).await;
    fixture.accept_jobs(&engine, "ann", "t", &["true"; 20]).await;
    fixture.accept_jobs(&engine, "ann", "u", &["true"; 20]).await;
    for (session, of, ended) in [("s", 4, 3), ("t", 20, 20), ("u", 20, 20)] {
        fixture.wait_for(session, of, job::Status::Completed, ended).await;
    }
    drop(running);
}
