//! Attacks on authentication and authorization: without a token, with a wrong one, and with ids of what belongs to another user.

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};

use super::Attack;
use crate::server::Server;

pub(super) const ATTACKS: [Attack; 2] = [
    Attack::new("come without a valid token", |server| Box::pin(without_token(server))),
    Attack::new("use what belongs to another user", |server| Box::pin(of_another(server))),
];

/// Every route that needs a token, with ids of the same form as real ones.
fn routes(session: &str, job: &str) -> Vec<(Method, String, Value)> {
    let get = |path: String| (Method::GET, path, Value::Null);
    let post = |path: &str, body: Value| (Method::POST, path.to_owned(), body);
    vec![
        get(format!("/sessions/{session}")),
        get(format!("/sessions/{session}/events")),
        get(format!("/sessions/{session}/jobs")),
        get(format!("/jobs/{job}")),
        get(format!("/jobs/{job}?waitSeconds=1")),
        get(format!("/jobs/{job}/output?stream=stdout")),
        get(format!("/jobs/{job}/stream")),
        post("/shell/execute", json!({"sessionId": session, "command": "true"})),
        post("/shell/stop", json!({"sessionId": session})),
        post(&format!("/sessions/{session}/extend"), json!({"ttlSecondsFromNow": 60})),
        post(&format!("/jobs/{job}/cancel"), json!({})),
        post(&format!("/jobs/{job}/signal"), json!({"signal": "TERM"})),
    ]
}

/// The routes that have no id of another user.
fn own_routes() -> Vec<(Method, String, Value)> {
    vec![
        (Method::GET, "/sessions".to_owned(), Value::Null),
        (Method::GET, "/quota".to_owned(), Value::Null),
        (Method::GET, "/webhooks/deliveries".to_owned(), Value::Null),
        (Method::POST, "/shell/start".to_owned(), json!({})),
    ]
}

async fn without_token(server: &Server) -> Result<Option<String>> {
    let alice = server.user("token-owner").await?;
    let session = alice.ready().await?;
    let job = alice.execute(&session, &json!({"command": "true"})).await?;
    let good = alice.token().to_owned();
    let swapped: String = good.chars().rev().collect();
    let headers = [
        None,
        Some("Bearer".to_owned()),
        Some("Bearer ".to_owned()),
        Some("Bearer nonsense".to_owned()),
        Some("Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.".to_owned()),
        Some(format!("Basic {good}")),
        Some(format!("Bearer {swapped}")),
        Some(format!("Bearer {}", &good[..good.len() - 1])),
        Some(format!("Bearer {good}x")),
        Some(format!("Bearer {}", good.to_uppercase())),
        Some(format!("Bearer {good},Bearer {good}")),
        Some(good.clone()),
    ];
    let http = client::http_client()?;
    let mut all = routes(&session, &job);
    all.extend(own_routes());
    for header in &headers {
        for (method, path, body) in &all {
            let url = format!("http://{}/v1{path}", server.address);
            let mut request = http.request(method.clone(), url).json(body);
            if let Some(header) = header {
                request = request.header("authorization", header);
            }
            let status = request.send().await?.status().as_u16();
            ensure!(status == 401, "{method} {path} with {header:?}: {status}");
        }
    }
    alice.stop(&session).await?;
    Ok(None)
}

/// Whether a record exists can't be told: the answer is the same as for an id that nobody has.
async fn of_another(server: &Server) -> Result<Option<String>> {
    let (alice, mallory) = (server.user("owner").await?, server.user("thief").await?);
    let session = alice.ready().await?;
    let job = alice.execute(&session, &json!({"command": "echo secret"})).await?;
    alice.finished(&job).await?;
    let nobody = ("sh_01ARZ3NDEKTSV4RRFFQ69G5FAV", "job_01ARZ3NDEKTSV4RRFFQ69G5FAV");
    let real = routes(&session, &job);
    let unknown = routes(nobody.0, nobody.1);
    for ((method, path, body), (_, unknown_path, unknown_body)) in real.iter().zip(&unknown) {
        let answer = request(&mallory, method, path, body).await?;
        let other = request(&mallory, method, unknown_path, unknown_body).await?;
        ensure!(answer.0 == 404, "{method} {path}: {} {}", answer.0, answer.1);
        let same = answer.1.replace(&session, nobody.0).replace(&job, nobody.1) == other.1;
        ensure!(same, "{method} {path} tells that the record exists: {} and {}", answer.1, other.1);
    }
    for (method, path, body) in own_routes().iter().filter(|(method, ..)| method == Method::GET) {
        let answer = request(&mallory, method, path, body).await?;
        ensure!(!answer.1.contains(&session), "{path} shows another user's session");
    }
    let state = alice.get(&format!("/sessions/{session}")).await?.expect(200)?.body;
    ensure!(state["status"] == "ready", "another user changed the session: {state}");
    alice.stop(&session).await?;
    Ok(None)
}

/// The status, and the body without the id of the request.
async fn request(
    user: &crate::user::User,
    method: &Method,
    path: &str,
    body: &Value,
) -> Result<(u16, String)> {
    let answer =
        if method == Method::GET { user.get(path).await? } else { user.post(path, body).await? };
    let mut body = answer.body;
    body.as_object_mut().context(path.to_owned())?.remove("requestId");
    Ok((answer.status, body.to_string()))
}
