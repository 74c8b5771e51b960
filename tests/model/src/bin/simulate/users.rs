//! What users ask for, and what they were told.

use std::collections::{BTreeMap, BTreeSet};

use domain::{JobId, SessionId, UserId};
use serde_json::{Value, json};
use testkit::Dice;

use crate::laws::{Law, Violation};

const USERS: [&str; 3] = ["ann", "bob", "cleo"];

/// A request, as often as it is sent.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) user: UserId,
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) key: Option<String>,
    pub(crate) body: Option<Value>,
}

/// All users, with what they know from answers.
#[derive(Default)]
pub(crate) struct Users {
    pub(crate) requests: Vec<Request>,
    sessions: Vec<(UserId, SessionId)>,
    jobs: Vec<(UserId, JobId)>,
    deliveries: Vec<(UserId, String)>,
    /// What each key was answered with.
    answers: BTreeMap<String, Value>,
    pub(crate) accepted: BTreeSet<JobId>,
}

impl Users {
    /// The number of a request to send now.
    pub(crate) fn think(&mut self, dice: &mut Dice) -> usize {
        if dice.chance(12) && !self.requests.is_empty() {
            // An answer was lost, or is too slow: the same again, mostly soon.
            let back = if dice.chance(80) { 4 } else { self.requests.len() };
            let again = self.requests.len() - 1 - dice.below(back.min(self.requests.len()));
            if self.requests[again].key.is_some() {
                return again;
            }
        }
        let user = UserId::new(USERS[dice.below(USERS.len())]);
        let request = self.wish(user, dice);
        self.requests.push(request);
        self.requests.len() - 1
    }

    fn wish(&self, user: UserId, dice: &mut Dice) -> Request {
        let own: Vec<SessionId> =
            self.sessions.iter().filter(|(of, _)| *of == user).map(|(_, id)| *id).collect();
        // Mostly the newest: the old ones are over.
        let fresh = &own[own.len().saturating_sub(4)..];
        let (session, job) = (dice.pick(fresh).copied(), self.job_of(&user, dice));
        let deliveries: Vec<&String> =
            self.deliveries.iter().filter(|(of, _)| *of == user).map(|(_, id)| id).collect();
        let delivery = dice.pick(&deliveries).copied();
        let post = |path: String, body| (("POST", path), Some(body));
        let get = |path: String| (("GET", path), None);
        let ((method, path), body) = match (dice.below(100), session, job) {
            (20..62, Some(id), _) => post("/v1/shell/execute".into(), execute(id, dice)),
            (62..68, Some(id), _) => {
                post("/v1/shell/stop".into(), json!({"sessionId": id, "drain": dice.chance(40)}))
            }
            (68..72, Some(id), _) => post(
                format!("/v1/sessions/{id}/extend"),
                json!({"ttlSecondsFromNow": 1 + dice.below(300), "allowShorten": dice.chance(50)}),
            ),
            (72..80, _, Some(id)) => post(format!("/v1/jobs/{id}/cancel"), json!({})),
            (80..83, _, Some(id)) => {
                post(format!("/v1/jobs/{id}/signal"), json!({"signal": "TERM"}))
            }
            (83..89, _, Some(id)) => get(format!("/v1/jobs/{id}?waitSeconds={}", dice.below(26))),
            (89..91, Some(id), _) => get(format!("/v1/sessions/{id}")),
            (91..93, Some(id), _) => get(format!("/v1/sessions/{id}/events")),
            (93..95, Some(id), _) => get(format!("/v1/sessions/{id}/jobs")),
            (95..96, Some(_), _) => get("/v1/sessions".into()),
            (96..97, Some(_), _) => get("/v1/quota".into()),
            (97..99, Some(_), _) => get("/v1/webhooks/deliveries".into()),
            (99.., Some(_), _) if delivery.is_some() => {
                let id = delivery.map_or("", String::as_str);
                post(format!("/v1/webhooks/deliveries/{id}/redeliver"), json!({}))
            }
            _ => post("/v1/shell/start".into(), start(dice)),
        };
        let keyed = method == "POST" && dice.chance(60);
        let key = keyed.then(|| format!("{user}-{}", self.requests.len()));
        Request { user, method, path, key, body }
    }

    fn job_of(&self, user: &UserId, dice: &mut Dice) -> Option<JobId> {
        let own: Vec<JobId> =
            self.jobs.iter().filter(|(of, _)| of == user).map(|(_, id)| *id).collect();
        dice.pick(&own[own.len().saturating_sub(6)..]).copied()
    }

    /// Learns from an answer, and judges it.
    pub(crate) fn hear(&mut self, number: usize, status: u16, body: &Value) -> Option<Violation> {
        let request = self.requests[number].clone();
        let is = |wrong: &str| {
            let what = format!("{wrong}: {status} {body} to {request:?}");
            Some(Violation::new(Law::Answers, vec![request.path.clone()], what))
        };
        match status {
            200 | 202 => {}
            404 => return is("what was accepted is not found"),
            400 | 401 | 403 | 405 | 413 | 415 | 422 | 500 => return is("no such answer is due"),
            _ => return None,
        }
        if request.method == "GET" {
            let listed = body["data"].as_array().into_iter().flatten();
            let ids = listed.filter_map(|one| one["deliveryId"].as_str());
            let of_user = |id: &str| (request.user.clone(), id.to_owned());
            self.deliveries.extend(ids.map(of_user));
            return None;
        }
        let id = |name: &str| body[name].as_str().map(str::to_owned);
        if let Some(key) = &request.key {
            let first = self.answers.entry(key.clone()).or_insert_with(|| body.clone());
            if first != body {
                return is("one key was answered in two ways");
            }
        }
        let session = id("sessionId").and_then(|text| text.parse().ok());
        if let Some(session) = session
            && !self.sessions.iter().any(|(_, known)| *known == session)
        {
            self.sessions.push((request.user.clone(), session));
        }
        for name in ["jobId", "commandJobId"] {
            if let Some(job) = id(name).and_then(|text| text.parse().ok())
                && self.accepted.insert(job)
            {
                self.jobs.push((request.user.clone(), job));
            }
        }
        None
    }
}

fn start(dice: &mut Dice) -> Value {
    let mut body = json!({"ttlSeconds": 5 + dice.below(300)});
    if dice.chance(20) {
        body["idleTimeoutSeconds"] = json!(5 + dice.below(60));
    }
    if dice.chance(40) {
        body["admission"] = json!("queue");
    }
    if dice.chance(20) {
        body["command"] = json!("one shot");
    }
    if dice.chance(30) {
        body["webhook"] = json!({"url": "https://hooks.example.com/in"});
        if dice.chance(30) {
            body["webhook"]["events"] = json!(["session.ready", "job.completed", "job.lost"]);
        }
    }
    body
}

fn execute(session: SessionId, dice: &mut Dice) -> Value {
    let mut body = json!({"sessionId": session, "command": "work"});
    if dice.chance(40) {
        body["concurrency"] = json!("parallel");
    }
    if dice.chance(30) {
        body["timeoutSeconds"] = json!(1 + dice.below(90));
    }
    if dice.chance(20) {
        body["maxOutputBytes"] = json!(dice.below(20));
    }
    body
}
