//! Clients that use the API as users do, while the server dies again and again beneath them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use testkit::Dice;
use tokio::time::sleep;

use crate::{
    api::{Answer, Api},
    book::{Book, Run, is_final},
    script::{self, Body, Script},
    verdict::{Invariant, Verdict},
};

mod scenes;

/// More than the longest wait that the load asks for, on a slow machine with kills in between.
const ENDS_WITHIN: Duration = Duration::from_mins(3);

/// What all clients share.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) api: Api,
    pub(crate) book: Book,
    pub(crate) verdict: Verdict,
    /// Stands in every command line that we have run.
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
            book: Book::default(),
            verdict: Verdict::default(),
            mark,
            sink,
            quota,
            numbers: AtomicU64::new(1),
            ending: AtomicBool::new(false),
        }
    }

    /// Lets the clients finish what they are at.
    pub(crate) fn end(&self) {
        self.ending.store(true, Relaxed);
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.ending.load(Relaxed)
    }

    /// Works until the load ends.
    pub(crate) async fn client(self: Arc<Self>, mut dice: Dice) {
        while !self.is_ending() {
            self.scene(&mut dice).await;
        }
    }

    /// Looks at the quota and at the sessions all the time.
    pub(crate) async fn watch(self: Arc<Self>) {
        while !self.is_ending() {
            let quota = self.api.get("/v1/quota").await.body;
            let active = quota["active"].as_u64();
            self.verdict.check(
                active.is_some_and(|active| active <= self.quota),
                Invariant::QuotaIsNeverExceeded,
                || format!("{active:?} sessions were active, {} may be", self.quota),
            );
            let asked = Instant::now();
            let page = self.api.get("/v1/sessions?limit=50").await.body;
            for session in page["data"].as_array().into_iter().flatten() {
                self.saw(session, asked);
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// A number that is used once.
    pub(crate) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Relaxed)
    }

    /// Starts a session with these wishes; none if the quota is reached.
    pub(crate) async fn start(&self, dice: &mut Dice, wishes: &Value) -> Option<(String, Value)> {
        let mut body = wishes.clone();
        if dice.chance(60) {
            body["webhook"] = json!({"url": self.sink});
        }
        if dice.chance(60) {
            body["admission"] = json!("queue");
        }
        let answer = self.accepted(dice, "/v1/shell/start", &body, &[202, 429]).await?;
        if answer.status == 429 {
            return None;
        }
        let told = answer.body;
        let session = text(&told, "sessionId");
        self.book.session(&session, |known| {
            known.start_job = text(&told, "jobId");
            known.secret = told["webhookSecret"].as_str().map(str::to_owned);
        });
        Some((session, told))
    }

    /// Has a command accepted; none if the session takes no more.
    pub(crate) async fn execute(
        &self,
        dice: &mut Dice,
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
        let answer = self.accepted(dice, "/v1/shell/execute", &body, &[202, 409, 410]).await?;
        if answer.status != 202 {
            let known = self.book.pages().sessions[session].clone();
            let may_be = known.cut_short || known.killed;
            self.verdict.check(may_be, Invariant::AnswersAreDocumented, || {
                format!("{session} took no command: {} {}", answer.status, answer.body["code"])
            });
            return None;
        }
        let job = text(&answer.body, "jobId");
        self.ran(session, &job, script, serial);
        Some(job)
    }

    pub(crate) fn ran(&self, session: &str, job: &str, script: Script, serial: bool) {
        let (session, job) = (session.to_owned(), job.to_owned());
        self.book.pages().runs.push(Run { job, session, script, serial, cancel_asked: false });
    }

    /// Reads what the session's commands have signed so far.
    pub(crate) async fn audit(&self, dice: &mut Dice, session: &str) {
        let body = json!({
            "sessionId": session,
            "command": script::audit(&self.mark),
            "concurrency": "parallel",
        });
        let answer = self.accepted(dice, "/v1/shell/execute", &body, &[202, 409, 410]).await;
        let Some(answer) = answer.filter(|answer| answer.status == 202) else { return };
        let job = text(&answer.body, "jobId");
        self.book.session(session, |known| known.audits.push(job.clone()));
        self.end_of(&job).await;
    }

    /// Sends SIGTERM to a command once it runs.
    pub(crate) async fn terminate(&self, dice: &mut Dice, job: &str) {
        let (path, began) = (format!("/v1/jobs/{job}"), Instant::now());
        while began.elapsed() < ENDS_WITHIN {
            let record = self.api.get(&path).await.body;
            if is_final(&record) {
                return;
            }
            if record["status"] == "running" {
                let wish = json!({"signal": "TERM"});
                self.accepted(dice, &format!("{path}/signal"), &wish, &[202, 409]).await;
                return;
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn cancel(&self, dice: &mut Dice, job: &str) {
        for run in self.book.pages().runs.iter_mut().filter(|run| run.job == job) {
            run.cancel_asked = true;
        }
        let path = format!("/v1/jobs/{job}/cancel");
        self.accepted(dice, &path, &json!({}), &[200, 202, 409]).await;
    }

    /// Asks for the end of a session. `open` says whether commands may be open.
    pub(crate) async fn stop(
        &self,
        dice: &mut Dice,
        session: &str,
        drain: bool,
        open: bool,
    ) -> Option<String> {
        if open && !drain {
            self.book.session(session, |known| known.cut_short = true);
        }
        let body = json!({"sessionId": session, "drain": drain, "reason": "the client is done"});
        let answer = self.accepted(dice, "/v1/shell/stop", &body, &[202]).await?;
        let job = text(&answer.body, "jobId");
        self.book.pages().stops.push((session.to_owned(), job.clone()));
        Some(job)
    }

    /// Posts with a key of its own, now and then twice. None, and noted, if the answer is not one
    /// of these.
    pub(crate) async fn accepted(
        &self,
        dice: &mut Dice,
        path: &str,
        body: &Value,
        documented: &[u16],
    ) -> Option<Answer> {
        let key = format!("{}-{}", self.mark, self.number());
        let answer = self.api.post(path, &key, body).await;
        if !documented.contains(&answer.status) {
            self.verdict.broken(
                Invariant::AnswersAreDocumented,
                format!("{path} answered {} {}", answer.status, answer.body["code"]),
            );
            return None;
        }
        if answer.status == 202 && dice.chance(10) {
            let again = self.api.post(path, &key, body).await;
            let same = again.replayed && (again.status, &again.body) == (202, &answer.body);
            self.verdict.check(same, Invariant::AcceptedOnce, || {
                format!("{path} answered {} to a key that it knew", again.status)
            });
        }
        Some(answer)
    }

    /// The job when it is over.
    pub(crate) async fn end_of(&self, job: &str) -> Option<Value> {
        let path = format!("/v1/jobs/{job}?waitSeconds=10");
        let began = Instant::now();
        while began.elapsed() < ENDS_WITHIN {
            let asked = Instant::now();
            let answer = self.api.get(&path).await;
            if answer.status != 200 {
                self.verdict.broken(
                    Invariant::AcceptedOnce,
                    format!("{job} was accepted and answers {}", answer.status),
                );
                return None;
            }
            self.book.saw(job, &answer.body, asked, &self.verdict);
            if is_final(&answer.body) {
                return Some(answer.body);
            }
        }
        self.verdict.broken(Invariant::NothingHangs, format!("{job} did not end"));
        None
    }

    /// The session when it is over.
    pub(crate) async fn end_of_session(&self, session: &str) -> Option<Value> {
        let path = format!("/v1/sessions/{session}");
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
        self.verdict.broken(Invariant::NothingHangs, format!("{session} did not end"));
        None
    }

    fn saw(&self, session: &Value, asked: Instant) {
        self.book.saw(&text(session, "sessionId"), session, asked, &self.verdict);
    }

    pub(crate) fn script(&self, body: Body) -> Script {
        Script { number: self.number(), body, code: 0 }
    }
}

pub(crate) fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_default().to_owned()
}
