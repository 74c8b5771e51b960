//! The whole system on the fakes, stepped by the test: requests go through the real router, executions
//! through the real interpreter; the test moves time and tasks.

use std::{sync::Arc, time::Duration};

use axum::{Router, body::Body, http::Request};
use domain::{
    SessionId, TaskId, job,
    message::Message,
    session::{Session, Status},
    task::TaskStatus,
};
use futures::executor::block_on;
use handlers::{Env, HandlerError, Policy, Step, Swept, http::Caller};
use model::{Action, Executions};
use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};
use testkit::{Fakes, HeldMessage};
use tower::ServiceExt as _;

mod deployment;

pub(crate) use deployment::user;
use deployment::{env, policy};

pub(crate) const QUOTA: u32 = 3;

pub(crate) struct Harness {
    pub(crate) fakes: Fakes,
    pub(crate) env: Env,
    executions: Arc<Mutex<Executions>>,
    router: Router,
    requests: u32,
}

impl Harness {
    pub(crate) fn new() -> Self {
        Self::with_policy(|_| {})
    }

    pub(crate) fn with_policy(change: impl FnOnce(&mut Policy)) -> Self {
        let fakes = Fakes::new();
        let mut policy = policy();
        change(&mut policy);
        let env = env(&fakes, policy);
        let executions = Arc::new(Mutex::new(Executions::new(1)));
        let resuming = executions.clone();
        fakes.workflow.resume_with(move |token, answer| resuming.lock().resume(token, answer));
        let router = handlers::http::router(env.clone());
        Self { fakes, env, executions, router, requests: 0 }
    }

    /// Sends a request of the test user, again and with the same key while the status is 5xx.
    pub(crate) fn post(&mut self, path: &str, body: &Value) -> (u16, Value) {
        self.requests += 1;
        let key = format!("key-{}", self.requests);
        loop {
            let request = Request::post(path)
                .header("Content-Type", "application/json")
                .header("Idempotency-Key", &key)
                .extension(Caller(user()))
                .body(Body::from(body.to_string()))
                .expect("a request of known parts");
            let (status, body) = self.send(request);
            if status < 500 {
                return (status, body);
            }
        }
    }

    pub(crate) fn get(&self, path: &str) -> (u16, Value) {
        let request = Request::get(path).extension(Caller(user())).body(Body::empty());
        self.send(request.expect("a request of known parts"))
    }

    fn send(&self, request: Request<Body>) -> (u16, Value) {
        block_on(async {
            let Ok(response) = self.router.clone().oneshot(request).await;
            let status = response.status().as_u16();
            let bytes = axum::body::to_bytes(response.into_body(), usize::MAX)
                .await
                .expect("a body in memory");
            (status, serde_json::from_slice(&bytes).unwrap_or_default())
        })
    }

    /// Starts a session; returns its id.
    pub(crate) fn start(&mut self, options: &Value) -> SessionId {
        let (status, body) = self.post("/v1/shell/start", options);
        assert_eq!(status, 202, "{body}");
        body["sessionId"].as_str().expect("an id").parse().expect("an id")
    }

    /// Starts a session and runs it until it is ready.
    pub(crate) fn ready(&mut self, options: &Value) -> SessionId {
        let id = self.start(options);
        self.run_until_idle();
        assert_eq!(self.status(id), Status::Ready);
        id
    }

    /// Sends a command; returns the job's id.
    pub(crate) fn execute(&mut self, session: SessionId, line: &str) -> String {
        let body = json!({"sessionId": session, "command": line});
        let (status, body) = self.post("/v1/shell/execute", &body);
        assert_eq!(status, 202, "{body}");
        body["jobId"].as_str().expect("an id").to_owned()
    }

    pub(crate) fn stop(&mut self, session: SessionId) -> String {
        let (status, body) = self.post("/v1/shell/stop", &json!({"sessionId": session}));
        assert_eq!(status, 202, "{body}");
        body["jobId"].as_str().expect("an id").to_owned()
    }

    pub(crate) fn session(&self, id: SessionId) -> Session {
        self.fakes.store.session_now(id).expect("the session exists")
    }

    pub(crate) fn status(&self, id: SessionId) -> Status {
        self.session(id).status()
    }

    pub(crate) fn job(&self, id: &str) -> job::Job {
        let id = id.parse().expect("a job's id");
        self.fakes.store.job_now(id).expect("the job exists")
    }

    pub(crate) fn job_status(&self, id: &str) -> job::Status {
        self.job(id).status()
    }

    /// Runs everything that is due at this time, and starts and stops tasks as requested.
    pub(crate) fn run_until_idle(&mut self) {
        for _ in 0..100 {
            self.advance_tasks();
            if !self.run_due_work() {
                return;
            }
        }
        panic!("the system never becomes idle");
    }

    /// Runs everything that is due at this time; tasks do not change. True if anything ran.
    pub(crate) fn run_due_work(&mut self) -> bool {
        let mut worked = false;
        loop {
            let events = self.fakes.compute.take_events();
            let messages = self.fakes.queue.take_ready(self.fakes.now());
            let messages = events
                .into_iter()
                .map(|facts| Message::TaskEvent { facts })
                .chain(messages)
                .collect::<Vec<_>>();
            let idle = messages.is_empty();
            messages.into_iter().for_each(|message| self.deliver(message));
            if !self.step_executions() && idle {
                return worked;
            }
            worked = true;
        }
    }

    /// Advances all tasks and executions once; messages and events stay queued.
    pub(crate) fn step_once(&self) {
        self.advance_tasks();
        self.step_executions();
    }

    /// Handles a message. A failed message is redelivered a second later.
    pub(crate) fn deliver(&self, message: Message) {
        if block_on(handlers::handle(&self.env, message.clone())).is_err() {
            let due = self.fakes.now() + Duration::from_secs(1);
            self.fakes.queue.put(HeldMessage { message, due });
        }
    }

    pub(crate) fn sweep(&self) -> Result<Swept, HandlerError> {
        block_on(handlers::sweep(&self.env))
    }

    /// Moves the time forward in steps of five seconds, with a sweep each minute.
    pub(crate) fn advance(&mut self, span: Duration) {
        let until = self.fakes.now() + span;
        let mut ticks = 0;
        while self.fakes.now() < until {
            self.fakes.clock.advance(Duration::from_secs(5).min(until.since(self.fakes.now())));
            ticks += 1;
            if ticks % 12 == 0 {
                // The next sweep does the work of a failed one.
                let _next = self.sweep();
            }
            self.run_until_idle();
        }
    }

    /// Pending tasks start, and stopping tasks stop.
    fn advance_tasks(&self) {
        for facts in self.fakes.compute.tasks() {
            match facts.status {
                TaskStatus::Pending => {
                    self.fakes.compute.advance(&facts.task, TaskStatus::Running);
                }
                TaskStatus::Stopping => {
                    self.fakes.compute.advance(&facts.task, TaskStatus::Stopped);
                }
                TaskStatus::Unplaced | TaskStatus::Running | TaskStatus::Stopped => {}
            }
        }
    }

    fn step_executions(&self) -> bool {
        for session in self.fakes.workflow.take_started() {
            let now = self.fakes.now();
            self.executions().start(session, now);
        }
        let mut worked = false;
        let sessions = self.executions().sessions();
        for session in sessions {
            worked |= self.step_execution(session);
        }
        worked
    }

    fn step_execution(&self, session: SessionId) -> bool {
        let mut worked = false;
        loop {
            let now = self.fakes.now();
            let action = self.executions().step(session, now);
            match action {
                Action::Wait => return worked,
                Action::Invoke(call) => {
                    let step: Step = call.resource.parse().expect("a handler's name");
                    let result = block_on(step.run(&self.env, call.input));
                    let result = result.map_err(|failure| {
                        asl::Failure::new(failure.code().name(), failure.to_string())
                    });
                    self.executions().returned(&call.task, result);
                }
                Action::CloseSession(error) => {
                    let input = json!({"sessionId": session, "error": error});
                    // The sweep closes the session if this fails.
                    let _left = block_on(Step::CloseSession.run(&self.env, input));
                }
            }
            worked = true;
        }
    }

    pub(crate) fn executions(&self) -> MutexGuard<'_, Executions> {
        self.executions.lock()
    }

    pub(crate) fn task_of(&self, id: SessionId) -> TaskId {
        self.session(id).task().expect("the session has a task").clone()
    }

    /// Asserts that no session has a task, a slot or an open job.
    pub(crate) fn assert_everything_ended(&self) {
        for read in self.fakes.store.all_sessions() {
            assert!(matches!(read.value, Session::Ended(_)), "{:?}", read.value);
        }
        for facts in self.fakes.compute.tasks() {
            assert_eq!(facts.status, TaskStatus::Stopped, "{facts:?}");
        }
        for read in self.fakes.store.all_jobs() {
            assert!(matches!(read.value, job::Job::Finished(_)), "{:?}", read.value);
        }
        assert_eq!(self.fakes.store.slots(&user()), 0);
        assert_eq!(self.fakes.shell.ran_twice(), None);
    }
}
