//! Clients that use the API as users do, while the server is killed again and again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use client::Response;
use fastrand::Rng;
use serde_json::{Value, json};
use testkit::Invariant;
use tokio::time::sleep;

use crate::{
    api::Api,
    model::{Model, Run, is_final},
    script::{self, Body, Script},
    verdict::Verdict,
};

mod scenarios;

/// Time limit for a job or a session of the load, with kills meanwhile.
const ENDS_WITHIN: Duration = Duration::from_mins(3);

/// What all clients share.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) api: Api,
    pub(crate) model: Model,
    pub(crate) verdict: Verdict,
    /// Part of every command line of the load, by which its processes are found on the host.
    pub(crate) mark: String,
    sink: String,
    pub(crate) quota: u64,
    numbers: AtomicU64,
    ending: AtomicBool,
}

impl Load {
    pub(crate) fn new(api: Api, mark: String, sink: String, quota: u64) -> Self {
        Self {
            api,
            model: Model::default(),
            verdict: Verdict::default(),
            mark,
            sink,
            quota,
            numbers: AtomicU64::new(1),
            ending: AtomicBool::new(false),
        }
    }

    /// Ends the load; the clients finish their current scenario.
    pub(crate) fn end(&self) {
        self.ending.store(true, Relaxed);
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.ending.load(Relaxed)
    }

    /// Runs scenarios until the load ends.
    pub(crate) async fn client(self: Arc<Self>, mut rng: Rng) {
        while !self.is_ending() {
            self.scenario(&mut rng).await;
        }
    }

    /// Checks the quota and the sessions until the load ends.
    pub(crate) async fn watch(self: Arc<Self>) {
        while !self.is_ending() {
            let quota = self.api.get("/quota").await.body;
            let active = quota["active"].as_u64();
            self.verdict.check(
                active.is_some_and(|active| active <= self.quota),
                Invariant::QuotaIsNeverExceeded,
                || format!("{active:?} sessions were active, the limit is {}", self.quota),
            );
            let asked = Instant::now();
            let page = self.api.get("/sessions?limit=50").await.body;
            for session in page["data"].as_array().into_iter().flatten() {
                self.saw(session, asked);
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// A number that is used once in the run.
    pub(crate) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Relaxed)
    }

    /// Starts a session with these options; `None` if the quota is reached.
    pub(crate) async fn start(&self, rng: &mut Rng, options: &Value) -> Option<(String, Value)> {
        let mut body = options.clone();
        if rng.f64() < 0.6 {
            body["webhook"] = json!({"url": self.sink});
        }
        if rng.f64() < 0.6 {
            body["admission"] = json!("queue");
        }
        let response = self.accepted(rng, "/shell/start", &body, &[202, 429]).await?;
        if response.status == 429 {
            return None;
        }
        let started = response.body;
        let session = text(&started, "sessionId");
        self.model.session(&session, |known| {
            known.start_job = text(&started, "jobId");
            known.secret = started["webhookSecret"].as_str().map(str::to_owned);
        });
        Some((session, started))
    }

    /// Sends a request that only an open session accepts. `None` if the session is open no more, which
    /// is a violation unless this client stopped it or its shell was killed.
    async fn to_open(
        &self,
        rng: &mut Rng,
        session: &str,
        path: &str,
        body: &Value,
        success: u16,
    ) -> Option<Response> {
        let response = self.accepted(rng, path, body, &[success, 409, 410]).await?;
        if response.status == success {
            return Some(response);
        }
        let known = self.model.expected().sessions[session].clone();
        let may_be = known.cut_short || known.killed;
        self.verdict.check(may_be, Invariant::ResponsesAreDocumented, || {
            let code = &response.body["code"];
            format!("{session} is open and refused {path}: {} {code}", response.status)
        });
        None
    }

    /// Starts a job; `None` if the session accepts no more commands.
    pub(crate) async fn execute(
        &self,
        rng: &mut Rng,
        session: &str,
        script: Script,
        serial: bool,
    ) -> Option<String> {
        let concurrency = if serial { "serial" } else { "parallel" };
        let body = json!({
            "sessionId": session,
            "command": script.line(&self.mark),
            "concurrency": concurrency,
            "timeoutSeconds": script.timeout(),
        });
        let response = self.to_open(rng, session, "/shell/execute", &body, 202).await?;
        let job = text(&response.body, "jobId");
        self.ran(session, &job, script, serial);
        Some(job)
    }

    pub(crate) fn ran(&self, session: &str, job: &str, script: Script, serial: bool) {
        let (session, job) = (session.to_owned(), job.to_owned());
        self.model.expected().runs.push(Run { job, session, script, serial, cancel_asked: false });
    }

    /// Reads the run log of the session's commands.
    pub(crate) async fn audit(&self, rng: &mut Rng, session: &str) {
        let body = json!({
            "sessionId": session,
            "command": script::print_run_log(&self.mark),
            "concurrency": "parallel",
        });
        let response = self.accepted(rng, "/shell/execute", &body, &[202, 409, 410]).await;
        let Some(response) = response.filter(|response| response.status == 202) else { return };
        let job = text(&response.body, "jobId");
        self.model.session(session, |known| known.audits.push(job.clone()));
        self.end_of(&job).await;
    }

    /// Sends SIGTERM to a command once it runs.
    pub(crate) async fn terminate(&self, rng: &mut Rng, job: &str) {
        let (path, began) = (format!("/jobs/{job}"), Instant::now());
        while began.elapsed() < ENDS_WITHIN {
            let record = self.api.get(&path).await.body;
            if is_final(&record) {
                return;
            }
            if record["status"] == "running" {
                let body = json!({"signal": "TERM"});
                self.accepted(rng, &format!("{path}/signal"), &body, &[202, 409]).await;
                return;
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn cancel(&self, rng: &mut Rng, job: &str) {
        for run in self.model.expected().runs.iter_mut().filter(|run| run.job == job) {
            run.cancel_asked = true;
        }
        let path = format!("/jobs/{job}/cancel");
        self.accepted(rng, &path, &json!({}), &[200, 202, 409]).await;
    }

    /// Requests the stop of a session. `open` says whether commands may be open.
    pub(crate) async fn stop(
        &self,
        rng: &mut Rng,
        session: &str,
        drain: bool,
        open: bool,
    ) -> Option<String> {
        if open && !drain {
            self.model.session(session, |known| known.cut_short = true);
        }
        let body = json!({"sessionId": session, "drain": drain, "reason": "the client is done"});
        let response = self.accepted(rng, "/shell/stop", &body, &[202]).await?;
        let job = text(&response.body, "jobId");
        self.model.expected().stops.push((session.to_owned(), job.clone()));
        Some(job)
    }

    /// Posts with a new key, now and then twice. `None`, and a violation, if the status is not one of
    /// the documented ones.
    pub(crate) async fn accepted(
        &self,
        rng: &mut Rng,
        path: &str,
        body: &Value,
        documented: &[u16],
    ) -> Option<Response> {
        let key = format!("{}-{}", self.mark, self.number());
        let response = self.api.post(path, &key, body).await;
        if !documented.contains(&response.status) {
            self.verdict.violated(
                Invariant::ResponsesAreDocumented,
                format!("{path}: status {}, code {}", response.status, response.body["code"]),
            );
            return None;
        }
        if response.status == 202 && rng.f64() < 0.1 {
            let again = self.api.post(path, &key, body).await;
            let same = again.is_replayed() && (again.status, &again.body) == (202, &response.body);
            self.verdict.check(same, Invariant::AcceptedOnce, || {
                format!("{path}: status {} for a repeated key", again.status)
            });
        }
        Some(response)
    }

    /// Waits for the end of a job; returns its final state.
    pub(crate) async fn end_of(&self, job: &str) -> Option<Value> {
        let path = format!("/jobs/{job}?waitSeconds=10");
        let began = Instant::now();
        while began.elapsed() < ENDS_WITHIN {
            let asked = Instant::now();
            let response = self.api.get(&path).await;
            if response.status != 200 {
                self.verdict.violated(
                    Invariant::AcceptedOnce,
                    format!("{job} was accepted and its status is {}", response.status),
                );
                return None;
            }
            self.model.saw(job, &response.body, asked, &self.verdict);
            if is_final(&response.body) {
                return Some(response.body);
            }
        }
        self.verdict.violated(Invariant::EveryWaitEnds, format!("{job} did not end"));
        None
    }

    /// Waits for the end of a session; returns its final state.
    pub(crate) async fn end_of_session(&self, session: &str) -> Option<Value> {
        let path = format!("/sessions/{session}");
        let began = Instant::now();
        while began.elapsed() < ENDS_WITHIN {
            let asked = Instant::now();
            let record = self.api.get(&path).await.body;
            self.saw(&record, asked);
            if is_final(&record) {
                return Some(record);
            }
            sleep(Duration::from_millis(50)).await;
        }
        self.verdict.violated(Invariant::EveryWaitEnds, format!("{session} did not end"));
        None
    }

    fn saw(&self, session: &Value, asked: Instant) {
        self.model.saw(&text(session, "sessionId"), session, asked, &self.verdict);
    }

    pub(crate) fn script(&self, body: Body) -> Script {
        Script { number: self.number(), body, code: 0 }
    }
}

pub(crate) fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_default().to_owned()
}
