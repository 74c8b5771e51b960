//! The requests of users, and what the users learned from the responses.

use std::collections::{BTreeMap, BTreeSet};

use domain::{JobId, SessionId, UserId};
use fastrand::Rng;
use serde_json::{Value, json};
use testkit::Invariant;

use crate::invariants::Violation;

const USERS: [&str; 3] = ["ann", "bob", "cleo"];

/// A request, which may be sent several times.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) user: UserId,
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) key: Option<String>,
    pub(crate) body: Option<Value>,
}

/// All users, and the ids that they learned from responses.
#[derive(Default)]
pub(crate) struct Users {
    pub(crate) requests: Vec<Request>,
    sessions: Vec<(UserId, SessionId)>,
    jobs: Vec<(UserId, JobId)>,
    deliveries: Vec<(UserId, String)>,
    /// The first response to each idempotency key.
    answers: BTreeMap<String, Value>,
    pub(crate) accepted: BTreeSet<JobId>,
}

impl Users {
    /// The number of the next request: a new one, or the repetition of an earlier one.
    pub(crate) fn next_request(&mut self, rng: &mut Rng) -> usize {
        if rng.f64() < 0.12 && !self.requests.is_empty() {
            // The client repeats a request whose response was lost or is late, mostly a recent one.
            let back = if rng.f64() < 0.8 { 4 } else { self.requests.len() };
            let again = self.requests.len() - 1 - rng.usize(..back.min(self.requests.len()));
            if self.requests[again].key.is_some() {
                return again;
            }
        }
        let user = UserId::new(USERS[rng.usize(..USERS.len())]);
        let request = self.new_request(user, rng);
        self.requests.push(request);
        self.requests.len() - 1
    }

    fn new_request(&self, user: UserId, rng: &mut Rng) -> Request {
        let own: Vec<SessionId> =
            self.sessions.iter().filter(|(of, _)| *of == user).map(|(_, id)| *id).collect();
        // The newest sessions: older ones have ended.
        let fresh = &own[own.len().saturating_sub(4)..];
        let (session, job) = (rng.choice(fresh).copied(), self.job_of(&user, rng));
        let deliveries: Vec<&String> =
            self.deliveries.iter().filter(|(of, _)| *of == user).map(|(_, id)| id).collect();
        let delivery = rng.choice(&deliveries).copied();
        let post = |path: String, body| (("POST", path), Some(body));
        let get = |path: String| (("GET", path), None);
        let ((method, path), body) = match (rng.usize(..100), session, job) {
            (20..62, Some(id), _) => post("/v1/shell/execute".into(), execute(id, rng)),
            (62..68, Some(id), _) => {
                post("/v1/shell/stop".into(), json!({"sessionId": id, "drain": rng.f64() < 0.4}))
            }
            (68..72, Some(id), _) => post(
                format!("/v1/sessions/{id}/extend"),
                json!({"ttlSecondsFromNow": 1 + rng.usize(..300), "allowShorten": rng.f64() < 0.5}),
            ),
            (72..80, _, Some(id)) => post(format!("/v1/jobs/{id}/cancel"), json!({})),
            (80..83, _, Some(id)) => {
                post(format!("/v1/jobs/{id}/signal"), json!({"signal": "TERM"}))
            }
            (83..89, _, Some(id)) => get(format!("/v1/jobs/{id}?waitSeconds={}", rng.usize(..26))),
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
            _ => post("/v1/shell/start".into(), start(rng)),
        };
        let keyed = method == "POST" && rng.f64() < 0.6;
        let key = keyed.then(|| format!("{user}-{}", self.requests.len()));
        Request { user, method, path, key, body }
    }

    fn job_of(&self, user: &UserId, rng: &mut Rng) -> Option<JobId> {
        let own: Vec<JobId> =
            self.jobs.iter().filter(|(of, _)| of == user).map(|(_, id)| *id).collect();
        rng.choice(&own[own.len().saturating_sub(6)..]).copied()
    }

    /// Checks a response, and learns the ids in it.
    pub(crate) fn check_response(
        &mut self,
        number: usize,
        status: u16,
        body: &Value,
    ) -> Option<Violation> {
        let request = self.requests[number].clone();
        let violation = |invariant, problem: &str| {
            let what = format!("{problem}: {status} {body} to {request:?}");
            Some(Violation::new(invariant, vec![request.path.clone()], what))
        };
        match status {
            200 | 202 => {}
            404 => return violation(Invariant::AcceptedOnce, "an accepted record is not found"),
            400 | 401 | 403 | 405 | 413 | 415 | 422 | 500 => {
                return violation(Invariant::ResponsesAreDocumented, "an undocumented response");
            }
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
                return violation(Invariant::AcceptedOnce, "one key got two responses");
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

fn start(rng: &mut Rng) -> Value {
    let mut body = json!({"ttlSeconds": 5 + rng.usize(..300)});
    if rng.f64() < 0.2 {
        body["idleTimeoutSeconds"] = json!(5 + rng.usize(..60));
    }
    if rng.f64() < 0.4 {
        body["admission"] = json!("queue");
    }
    if rng.f64() < 0.2 {
        body["command"] = json!("one shot");
    }
    if rng.f64() < 0.3 {
        body["webhook"] = json!({"url": "https://hooks.example.com/in"});
        if rng.f64() < 0.3 {
            body["webhook"]["events"] = json!(["session.ready", "job.completed", "job.lost"]);
        }
    }
    body
}

fn execute(session: SessionId, rng: &mut Rng) -> Value {
    let mut body = json!({"sessionId": session, "command": "work"});
    if rng.f64() < 0.4 {
        body["concurrency"] = json!("parallel");
    } else if rng.f64() < 0.3 {
        body["state"] = json!("shared");
        body["shellName"] = json!(["main", "other"][rng.usize(..2)]);
    }
    if rng.f64() < 0.3 {
        body["timeoutSeconds"] = json!(1 + rng.usize(..90));
    }
    if rng.f64() < 0.2 {
        body["maxOutputBytes"] = json!(rng.usize(..20));
        body["keep"] = json!(["both", "head", "tail"][rng.usize(..3)]);
    }
    body
}
