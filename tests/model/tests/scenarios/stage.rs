//! The whole system on the fakes, stepped by hand: requests through the real router, executions by
//! the real interpreter, time and tasks by the test.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{Router, body::Body, http::Request};
use domain::{
    SessionId, TaskId, job,
    message::Message,
    session::{Session, Status},
    task::TaskStatus,
};
use futures::executor::block_on;
use handlers::{Env, HandlerError, Policy, Step, Swept, http::Caller};
use model::{Executions, Want};
use serde_json::{Value, json};
use testkit::{Fakes, Held};
use tower::ServiceExt as _;

mod deployment;

pub(crate) use deployment::user;
use deployment::{env, policy};

pub(crate) const QUOTA: u32 = 3;

pub(crate) struct Stage {
    pub(crate) fakes: Fakes,
    pub(crate) env: Env,
    executions: Arc<Mutex<Executions>>,
    router: Router,
    requests: u32,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self::with_policy(|_| {})
    }

    pub(crate) fn with_policy(change: impl FnOnce(&mut Policy)) -> Self {
        let fakes = Fakes::new();
        let mut policy = policy();
        change(&mut policy);
        let env = env(&fakes, policy);
        let executions = Arc::new(Mutex::new(Executions::new(1)));
        let bells = executions.clone();
        fakes.workflow.answer_with(move |token, output| {
            bells.lock().unwrap_or_else(PoisonError::into_inner).ring(token, output)
        });
        let router = handlers::http::router(env.clone());
        Self { fakes, env, executions, router, requests: 0 }
    }

    /// A request of the test user, sent again with the same key until the server is not in trouble.
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

    /// Starts a session; gives its id.
    pub(crate) fn start(&mut self, wishes: &Value) -> SessionId {
        let (status, body) = self.post("/v1/shell/start", wishes);
        assert_eq!(status, 202, "{body}");
        body["sessionId"].as_str().expect("an id").parse().expect("an id")
    }

    /// Starts a session and lets it become ready.
    pub(crate) fn ready(&mut self, wishes: &Value) -> SessionId {
        let id = self.start(wishes);
        self.settle();
        assert_eq!(self.status(id), Status::Ready);
        id
    }

    /// Sends a command; gives the job's id as text.
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

    /// Lets all go on until nothing moves at this time: tasks come up and go down as they are told.
    pub(crate) fn settle(&mut self) {
        for _ in 0..100 {
            self.tasks_obey();
            if !self.go_on() {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    /// The same, but tasks stay as they are. True if anything was done.
    pub(crate) fn go_on(&mut self) -> bool {
        let mut moved = false;
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
            if !self.executions_go_on() && idle {
                return moved;
            }
            moved = true;
        }
    }

    /// Tasks obey once and executions go on once; messages and events wait.
    pub(crate) fn one_round(&self) {
        self.tasks_obey();
        self.executions_go_on();
    }

    /// Works a message off. If that fails, it comes again a second later.
    pub(crate) fn deliver(&self, message: Message) {
        if block_on(handlers::handle(&self.env, message.clone())).is_err() {
            let due = self.fakes.now() + Duration::from_secs(1);
            self.fakes.queue.put(Held { message, due });
        }
    }

    pub(crate) fn sweep(&self) -> Result<Swept, HandlerError> {
        block_on(handlers::sweep(&self.env))
    }

    /// Lets time pass, with a look each five seconds and a sweep each minute.
    pub(crate) fn pass(&mut self, span: Duration) {
        let until = self.fakes.now() + span;
        let mut looks = 0;
        while self.fakes.now() < until {
            self.fakes.clock.advance(Duration::from_secs(5).min(until.since(self.fakes.now())));
            looks += 1;
            if looks % 12 == 0 {
                // One that failed is made good by the next.
                let _next = self.sweep();
            }
            self.settle();
        }
    }

    /// Pending tasks run, and those that were told to stop do.
    fn tasks_obey(&self) {
        for facts in self.fakes.compute.tasks() {
            match facts.status {
                TaskStatus::Pending => {
                    self.fakes.compute.advance(&facts.task, TaskStatus::Running);
                }
                TaskStatus::Stopping => {
                    self.fakes.compute.advance(&facts.task, TaskStatus::Stopped);
                }
                TaskStatus::Running | TaskStatus::Stopped => {}
            }
        }
    }

    fn executions_go_on(&self) -> bool {
        for session in self.fakes.workflow.take_started() {
            let now = self.fakes.now();
            self.executions().start(session, now);
        }
        let mut moved = false;
        let sessions = self.executions().sessions();
        for session in sessions {
            moved |= self.execution_goes_on(session);
        }
        moved
    }

    fn execution_goes_on(&self, session: SessionId) -> bool {
        let mut moved = false;
        loop {
            let now = self.fakes.now();
            let want = self.executions().step(session, now);
            match want {
                Want::Nothing => return moved,
                Want::Call(call) => {
                    let step: Step = call.resource.parse().expect("a handler's name");
                    let result = block_on(step.run(&self.env, call.input));
                    let result = result.map_err(|failure| {
                        asl::Failure::new(failure.code().name(), failure.to_string())
                    });
                    self.executions().returned(&call.task, result);
                }
                Want::Close(error) => {
                    let input = json!({"sessionId": session, "error": error});
                    // The sweep is there for the rest.
                    let _left = block_on(Step::CloseSession.run(&self.env, input));
                }
            }
            moved = true;
        }
    }

    pub(crate) fn executions(&self) -> std::sync::MutexGuard<'_, Executions> {
        self.executions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn task_of(&self, id: SessionId) -> TaskId {
        self.session(id).task().expect("it has a task").clone()
    }

    /// Nothing is left of any session: no task, no slot, no open job.
    pub(crate) fn assert_all_over(&self) {
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
