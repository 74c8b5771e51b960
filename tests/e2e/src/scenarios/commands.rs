//! Commands.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::Scenario;
use crate::{harness::Harness, user::SOON, wait::until};

pub(super) const SCENARIOS: [Scenario; 12] = [
    Scenario::new("cancel", |harness| Box::pin(cancel(harness))),
    Scenario::new("timeout", |harness| Box::pin(timeout(harness))),
    Scenario::new("order and turns", |harness| Box::pin(order(harness))),
    Scenario::new("big output", |harness| Box::pin(big_output(harness))),
    Scenario::new("kept output", |harness| Box::pin(kept_output(harness))),
    Scenario::new("merged output", |harness| Box::pin(merged_output(harness))),
    Scenario::new("shared shells", |harness| Box::pin(shared_shells(harness))),
    Scenario::new("parallel output", |harness| Box::pin(parallel_output(harness))),
    Scenario::new("wait", |harness| Box::pin(wait(harness))),
    Scenario::new("shells and programs", |harness| Box::pin(programs(harness))),
    Scenario::new("processes", |harness| Box::pin(processes(harness))),
    Scenario::new("idempotency", |harness| Box::pin(idempotency(harness))),
];

/// Cancels a running command, and a queued one behind it.
async fn cancel(harness: &Harness<'_>) -> Result<()> {
    let api = harness.user().await?;
    let started = api.ready(&json!({})).await?;
    let running = api.execute(&started.session, "echo begun; sleep 500").await?;
    let waiting = api.execute(&started.session, "echo never").await?;
    api.job_is(&running, "running", SOON).await?;
    let began = Instant::now();
    for job in [&waiting, &running] {
        api.post(&format!("/jobs/{job}/cancel"), &json!({})).await?.expect(202)?;
        let end = api.finished(job, SOON).await?;
        ensure!(end["status"] == "cancelled", "{end}");
    }
    ensure!(began.elapsed() < Duration::from_secs(30), "a cancelled command went on");
    let left = api.output_of(&started.session, "pgrep -c sleep || true").await?;
    ensure!(left.trim() == "0", "{left} processes of a cancelled command are left");
    api.stop(&started.session).await?;
    Ok(())
}

/// A timeout ends a command and all its children.
async fn timeout(harness: &Harness<'_>) -> Result<()> {
    let api = harness.user().await?;
    let started = api.ready(&json!({})).await?;
    let body = json!({"command": "echo begun; sleep 500 & sleep 501", "timeoutSeconds": 2});
    let job = api.execute_with(&started.session, &body).await?;
    let end = api.finished(&job, SOON).await?;
    ensure!(end["status"] == "timed_out", "{end}");
    ensure!(end["stdout"]["text"] == "begun\n", "the output before the timeout is not kept: {end}");
    let left = api.output_of(&started.session, "pgrep -c sleep || true").await?;
    ensure!(left.trim() == "0", "{left} children are left");
    api.stop(&started.session).await?;
    Ok(())
}

/// Lists what a command has left running, and ends it; or says that this place can't.
async fn processes(harness: &Harness<'_>) -> Result<()> {
    let api = harness.user().await?;
    let started = api.ready(&json!({})).await?;
    let body = json!({"command": "sleep 1000 & echo $!", "background": true});
    let job = api.execute_with(&started.session, &body).await?;
    let pid = api.finished(&job, SOON).await?["stdout"]["text"].as_str().map(str::to_owned);
    let pid: i64 = pid.context("no output")?.trim().parse()?;
    let path = format!("/sessions/{}/processes", started.session);
    let signal = json!({"signal": "KILL"});
    if harness.place.as_aws().is_some() {
        for answer in
            [api.get(&path).await?, api.post(&format!("{path}/{pid}/signal"), &signal).await?]
        {
            ensure!(answer.expect(501)?.body["code"] == "processes_unavailable", "another code");
        }
    } else {
        let listed = api.get(&path).await?.expect(200)?.body["processes"].clone();
        ensure!(listed[0]["pid"] == pid && listed[0]["jobId"] == *job, "{listed}");
        api.post(&format!("{path}/{pid}/signal"), &signal).await?.expect(204)?;
        let left = api.output_of(&started.session, "pgrep -c sleep || true").await?;
        ensure!(left.trim() == "0", "{left} processes are left");
    }
    api.stop(&started.session).await?;
    Ok(())
}

/// Serial commands run in order of arrival; a parallel one runs beside them.
async fn order(harness: &Harness<'_>) -> Result<()> {
    let api = harness.user().await?;
    let started = api.start(&json!({})).await?;
    let session = &started.session;
    let mut jobs = Vec::new();
    for number in 0..5 {
        jobs.push(api.execute(session, &format!("sleep 0.2; echo {number} >> order")).await?);
    }
    for job in &jobs {
        api.finished(job, SOON).await?;
    }
    let order = api.output_of(session, "tr -d '\\n' < order").await?;
    ensure!(order == "01234", "they ran as {order}");
    let blocked = api.execute(session, "sleep 500").await?;
    api.job_is(&blocked, "running", SOON).await?;
    let beside = json!({"command": "echo beside", "concurrency": "parallel"});
    let beside = api.execute_with(session, &beside).await?;
    let end = api.finished(&beside, SOON).await?;
    ensure!(end["stdout"]["text"] == "beside\n", "{end}");
    api.stop(session).await?;
    Ok(())
}

/// More output than is kept, and bytes that are not UTF-8.
async fn big_output(harness: &Harness<'_>) -> Result<()> {
    const KEPT: usize = 3 << 20;
    let api = harness.user().await?;
    let started = api.ready(&json!({})).await?;
    let line = "i=0; head -c 4000000 /dev/zero | tr '\\0' x; printf end >&2";
    let body = json!({"command": line, "maxOutputBytes": KEPT});
    let job = api.execute_with(&started.session, &body).await?;
    let end = api.finished(&job, Duration::from_secs(120)).await?;
    ensure!(end["exitCode"] == 0, "it did not end well");
    let stdout = &end["stdout"];
    ensure!(stdout["bytes"] == 4_000_000 && stdout["truncated"] == true, "counted wrongly");
    let kept = api.stream(&job, "stdout", 1 << 20).await?;
    ensure!(kept.len() == KEPT && kept.iter().all(|byte| *byte == b'x'), "kept {}", kept.len());
    let every = "python3 -c 'import sys; sys.stdout.buffer.write(bytes(range(256)) * 64)'";
    let job = api.execute(&started.session, every).await?;
    let end = api.finished(&job, SOON).await?;
    ensure!(end["stdout"]["encoding"] == "base64", "{end}");
    let bytes = api.stream(&job, "stdout", 1000).await?;
    let expected: Vec<u8> = (0..=255).cycle().take(256 * 64).collect();
    ensure!(bytes == expected, "the bytes changed on their way");
    api.stop(&started.session).await?;
    Ok(())
}

/// The beginning, the end, or both of longer output, with the gap between them.
async fn kept_output(harness: &Harness<'_>) -> Result<()> {
    let api = harness.user().await?;
    let started = api.ready(&json!({})).await?;
    let line = "echo begin; head -c 100000 /dev/zero | tr '\\0' x; echo; echo end";
    let begin = format!("begin\n{}", "x".repeat(2042));
    let end = format!("{}\nend\n", "x".repeat(2043));
    let kept = |keep: &str| json!({"command": line, "maxOutputBytes": 4096, "keep": keep});
    for (body, text, gap) in [
        (kept("both"), format!("{begin}{end}"), json!({"from": 2048, "to": 97_963})),
        (
            json!({"command": line, "maxOutputBytes": 4096}),
            format!("{begin}{end}"),
            json!({"from": 2048, "to": 97_963}),
        ),
        (kept("tail"), format!("{}{end}", "x".repeat(2048)), json!({"from": 0, "to": 95_915})),
        (kept("head"), format!("{begin}{}", "x".repeat(2048)), json!(null)),
    ] {
        let job = api.execute_with(&started.session, &body).await?;
        let ended = api.finished(&job, SOON).await?;
        let stdout = &ended["stdout"];
        ensure!(stdout["bytes"] == 100_011 && stdout["keptBytes"] == 4096, "{stdout}");
        ensure!(stdout["truncated"] == true && stdout["gap"] == gap, "{stdout}");
        let kept = api.stream(&job, "stdout", 1000).await?;
        ensure!(kept == text.as_bytes(), "kept {:?}", String::from_utf8_lossy(&kept));
    }
    let all = json!({"command": "seq 1000", "maxOutputBytes": 3893});
    let job = api.execute_with(&started.session, &all).await?;
    let ended = api.finished(&job, SOON).await?;
    ensure!(ended["stdout"]["truncated"] == false && ended["stdout"]["gap"].is_null(), "{ended}");
    api.stop(&started.session).await?;
    Ok(())
}

/// Stdout and stderr as one stream, in the order of the writes, cut as one, with marks of which is which.
async fn merged_output(harness: &Harness<'_>) -> Result<()> {
    let api = harness.user().await?;
    let started = api.ready(&json!({})).await?;
    let line = "for i in $(seq 100); do echo o$i; echo e$i >&2; done";
    let all: String = (1..=100).map(|i| format!("o{i}\ne{i}\n")).collect();
    let cut = format!("{}{}", &all[..50], &all[all.len() - 50..]);
    for (limit, text) in [(1 << 20, all.as_str()), (100, cut.as_str())] {
        let body = json!({"command": line, "merge": true, "maxOutputBytes": limit});
        let job = api.execute_with(&started.session, &body).await?;
        let ended = api.finished(&job, SOON).await?;
        let (stdout, stderr) = (&ended["stdout"], &ended["stderr"]);
        ensure!(stdout["bytes"] == all.len() && stdout["keptBytes"] == text.len(), "{stdout}");
        ensure!(stderr["bytes"] == 0, "{stderr}");
        let kept = api.stream(&job, "stdout", 1000).await?;
        ensure!(kept == text.as_bytes(), "kept {:?}", String::from_utf8_lossy(&kept));
        let mark = |offset: usize, stream: &str| json!({"offset": offset, "stream": stream});
        let first = [mark(0, "stdout"), mark(3, "stderr")];
        let begin = stdout["marks"].as_array().and_then(|marks| marks.get(..2));
        ensure!(begin == Some(&first[..]), "{stdout}");
        // The last two lines, which are behind the gap if there is one.
        let path = format!("/jobs/{job}/output?offset={}", all.len() - 10);
        let end = api.get(&path).await?.expect(200)?.body;
        let last = json!([mark(all.len() - 10, "stdout"), mark(all.len() - 5, "stderr")]);
        ensure!(end["text"] == "o100\ne100\n" && end["marks"] == last, "{end}");
    }
    api.stop(&started.session).await?;
    Ok(())
}

/// A shell keeps its state from one command to the next, also over a cancelled one.
async fn shared_shells(harness: &Harness<'_>) -> Result<()> {
    let api = harness.user().await?;
    let started = api.ready(&json!({"env": {"FROM_START": "yes"}})).await?;
    let run = async |name: &str, line: &str| {
        let body = json!({"command": line, "state": "shared", "shellName": name});
        api.execute_with(&started.session, &body).await
    };
    let check = async |name: &str, line: &str, code: i64, text: &str, (is_new, has_ended)| {
        let job = api.finished(&run(name, line).await?, SOON).await?;
        let shell = json!({"name": name, "isNew": is_new, "hasEnded": has_ended});
        ensure!(job["exitCode"] == code && job["stdout"]["text"] == text, "{line}: {job}");
        ensure!(job["shell"] == shell, "{line}: {job}");
        Ok(())
    };
    let (new, found, ended) = ((true, false), (false, false), (false, true));
    let set = "cd /tmp; x=1; f() { echo f $x; }; export Y=2; sleep 500 & echo $FROM_START";
    check("main", set, 0, "yes\n", new).await?;
    check(
        "main",
        "f; pwd; sh -c 'echo $Y'; jobs | wc -l; exit_with() { return 7; }; exit_with",
        7,
        "f 1\n/tmp\n2\n1\n",
        found,
    )
    .await?;
    check("main", "echo $?; if", 2, "", found).await?;
    check("other", "echo ${x-none}", 0, "none\n", new).await?;
    let endless = run("main", "echo begun; while :; do :; done; echo lost").await?;
    until("output of the command", SOON, async || {
        let job = api.get(&format!("/jobs/{endless}")).await?.body;
        Ok(if job["stdout"]["bytes"] == 6 { Ok(()) } else { Err(job.to_string()) })
    })
    .await?;
    api.post(&format!("/jobs/{endless}/cancel"), &json!({})).await?.expect(202)?;
    let end = api.finished(&endless, SOON).await?;
    ensure!(end["status"] == "cancelled" && end["shell"]["hasEnded"] == false, "{end}");
    check("main", "f; kill %1; exit 3", 3, "f 1\n", ended).await?;
    check("main", "echo ${x-none}", 0, "none\n", new).await?;
    api.stop(&started.session).await?;
    Ok(())
}

/// The whole output of commands that end at the same time is stored.
async fn parallel_output(harness: &Harness<'_>) -> Result<()> {
    let api = harness.user().await?;
    let started = api.ready(&json!({})).await?;
    let line = "head -c 300000 /dev/zero | tr '\\0' a; echo END";
    let body = json!({"command": line, "concurrency": "parallel"});
    let starts = (0..10).map(|_| api.execute_with(&started.session, &body));
    for job in futures::future::join_all(starts).await {
        let ended = api.finished(&job?, Duration::from_secs(120)).await?;
        let stdout = &ended["stdout"];
        ensure!(stdout["bytes"] == 300_004 && stdout["keptBytes"] == 300_004, "{stdout}");
    }
    api.stop(&started.session).await?;
    Ok(())
}

/// A request that waits gets the finished job, and so does its repetition.
async fn wait(harness: &Harness<'_>) -> Result<()> {
    let api = harness.user().await?;
    let start = api.post("/shell/start?waitSeconds=25", &json!({})).await?;
    let session = start.body["sessionId"].as_str().context("an id")?.to_owned();
    let state = api.get(&format!("/sessions/{session}")).await?.expect(200)?;
    ensure!(start.status == 202 || state.body["status"] == "ready", "{}", state.body);
    api.finished(start.body["jobId"].as_str().context("an id")?, SOON).await?;
    let body = json!({"sessionId": session, "command": "echo hi"});
    let path = "/shell/execute?waitSeconds=25";
    let first = api.post_with_key(path, "wait-1", &body).await?.expect(200)?;
    ensure!(first.body["stdout"]["text"] == "hi\n", "{}", first.body);
    let again = api.post_with_key(path, "wait-1", &body).await?.expect(200)?;
    ensure!(again.header("idempotent-replayed") == "true" && again.body == first.body, "another");
    let accepted = api.post_with_key("/shell/execute", "wait-1", &body).await?.expect(202)?;
    ensure!(accepted.body["jobId"] == first.body["jobId"], "{}", accepted.body);
    let long = json!({"sessionId": session, "command": "sleep 600"});
    api.post("/shell/execute?waitSeconds=1", &long).await?.expect(202)?;
    api.stop(&session).await?;
    Ok(())
}

/// Which shell runs a line, and how a program that can't be run is reported.
async fn programs(harness: &Harness<'_>) -> Result<()> {
    let api = harness.user().await?;
    let started = api.ready(&json!({})).await?;
    let which = "echo ${BASH_VERSION:+bash}";
    let has_bash = api.output_of(&started.session, "command -v bash || true").await?;
    let default = if has_bash.trim().is_empty() { "\n" } else { "bash\n" };
    ensure!(api.output_of(&started.session, which).await? == default, "another shell by default");
    let sh = json!({"command": "echo ${0##*/}", "shell": "sh"});
    let job = api.execute_with(&started.session, &sh).await?;
    let ended = api.finished(&job, SOON).await?;
    ensure!(ended["stdout"]["text"] == "sh\n", "{ended}");
    for (command, code) in [("/tmp", "not_executable"), ("/no/such", "command_not_found")] {
        let job = api.execute_with(&started.session, &json!({"command": [command]})).await?;
        let ended = api.finished(&job, SOON).await?;
        ensure!(ended["status"] == "failed" && ended["error"]["code"] == code, "{ended}");
    }
    api.stop(&started.session).await?;
    Ok(())
}

/// A repeated request gets the same response; a different one with the same key is refused.
async fn idempotency(harness: &Harness<'_>) -> Result<()> {
    let api = harness.user().await?;
    let body = json!({"ttlSeconds": 300});
    let first = api.post_with_key("/shell/start", "start-1", &body).await?.expect(202)?;
    let again = api.post_with_key("/shell/start", "start-1", &body).await?.expect(202)?;
    ensure!(first.body == again.body, "another response to the same request");
    ensure!(
        again.header("idempotent-replayed") == "true",
        "the replayed response has no header for it"
    );
    ensure!(first.header("idempotent-replayed").is_empty(), "the first is no replay");
    let other = api.post_with_key("/shell/start", "start-1", &json!({"ttlSeconds": 301})).await?;
    other.problem(422, "idempotency_mismatch")?;
    ensure!(api.active().await? == 1, "it was started twice");
    let session = first.body["sessionId"].as_str().context("an id")?;
    let append = json!({"sessionId": session, "command": "echo once >> ran; cat ran"});
    let sends = (0..8).map(|_| api.post_with_key("/shell/execute", "execute-1", &append));
    let mut jobs = Vec::new();
    for answer in futures::future::join_all(sends).await {
        // 409: another request with this key is in progress.
        let answer = answer?;
        if answer.status != 409 {
            jobs.push(answer.expect(202)?.body["jobId"].as_str().context("an id")?.to_owned());
        }
    }
    ensure!(!jobs.is_empty() && jobs.iter().all(|job| *job == jobs[0]), "several jobs: {jobs:?}");
    let end = api.finished(&jobs[0], SOON).await?;
    ensure!(end["stdout"]["text"] == "once\n", "{end}");
    api.stop(session).await?;
    Ok(())
}
