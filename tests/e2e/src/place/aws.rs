//! AWS's shape on one machine: ministack with the real template, the local Fargate, and the proxy between
//! the functions and both.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    api::{Api, client, text},
    process::{self, Program},
    traces,
};

mod audit;
mod calls;
mod fargate;
mod ministack;
mod proxy;
mod users;

use calls::Calls;
use proxy::Proxy;
pub(crate) use proxy::{Counts, Fault, Faults};
use users::Users;

/// The whole of it. What is declared first ends first.
#[derive(Debug)]
pub(crate) struct Aws {
    fargate: Mutex<Program>,
    fargate_url: String,
    ministack: Mutex<Program>,
    proxy: Proxy,
    calls: Calls,
    users: Users,
    /// What `tests/aws/deploy.py` says about the deployment.
    deployed: Value,
    http: reqwest::Client,
    root: PathBuf,
    storm: bool,
    dir: TempDir,
}

impl Aws {
    pub(crate) async fn start(root: &Path, logs: Option<&Path>, storm: bool) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("ephemeral-e2e-").tempdir()?;
        let logs = logs.unwrap_or(dir.path());
        let (proxy, http) = (Proxy::open().await?, client()?);
        let port = process::free_port()?;
        let url = format!("http://127.0.0.1:{port}");
        proxy.target("", &url);
        let ministack = ministack::start(root, dir.path(), logs, port, &proxy.url, &http).await?;
        let deployed = ministack::deploy(root, dir.path(), logs, &url).await?;
        let queue = text(&deployed["queues"], "task-events")?;
        let (fargate, fargate_url) = fargate::start(root, dir.path(), logs, &queue, &url).await?;
        proxy.target("ecs", &fargate_url);
        let calls = Calls::new(http.clone(), &url);
        let users = Users::new(&deployed)?;
        let (fargate, ministack) = (Mutex::new(fargate), Mutex::new(ministack));
        let root = root.to_owned();
        let aws = Self {
            fargate,
            fargate_url,
            ministack,
            proxy,
            calls,
            users,
            deployed,
            http,
            root,
            storm,
            dir,
        };
        aws.calm().await?;
        Ok(aws)
    }

    pub(crate) fn base(&self) -> String {
        self.deployed["api"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) async fn user(&self, name: &str) -> Result<Api> {
        Api::new(&self.base(), Some(self.tokens(name).await?.access))
    }

    /// Both tokens of a user.
    pub(crate) async fn tokens(&self, name: &str) -> Result<users::Tokens> {
        self.users.sign_in(&self.calls, name).await
    }

    /// Calls that came by, of all functions.
    pub(crate) fn counts(&self) -> Counts {
        self.proxy.counts()
    }

    /// Calls of the functions that fail from now on.
    pub(crate) fn spoil(&self, faults: Faults) {
        self.proxy.spoil(faults);
    }

    /// How many did so far.
    pub(crate) fn spoiled(&self) -> u64 {
        self.proxy.spoiled()
    }

    /// What the local Fargate does wrong from now on.
    pub(crate) async fn fargate_faults(&self, faults: &Value) -> Result<()> {
        self.control("faults", faults).await
    }

    /// Takes a session's capacity back.
    pub(crate) async fn interrupt(&self, session: &str) -> Result<()> {
        self.control("interrupt", &json!({"task": self.task(session).await?})).await
    }

    pub(super) async fn kill_task(&self, session: &str) -> Result<()> {
        self.control("kill", &json!({"task": self.task(session).await?})).await
    }

    /// Kills all processes of a function.
    pub(super) fn kill_workers(&self, function: &str) -> Result<()> {
        let workers: Vec<_> = self.workers().into_iter().filter(|(_, of)| of == function).collect();
        ensure!(!workers.is_empty(), "no process of {function} runs");
        workers.into_iter().for_each(|(pid, _)| process::kill(pid));
        Ok(())
    }

    /// Kills one process of any function; whose it was.
    pub(crate) fn kill_one(&self, chance: usize) -> Option<String> {
        let workers = self.workers();
        let (pid, function) = workers.get(chance % workers.len().max(1))?;
        process::kill(*pid);
        Some(function.clone())
    }

    /// The processes of functions, each with the function's name.
    fn workers(&self) -> Vec<(i32, String)> {
        let ministack = self.ministack.lock().unwrap_or_else(PoisonError::into_inner).pid();
        let ours = |pid: &i32| process::parent(*pid) == Some(ministack.cast_signed());
        let function = |pid: i32| {
            let vars = fs::read(format!("/proc/{pid}/environ")).ok()?;
            let mut vars = vars.split(|byte| *byte == 0);
            let name = vars.find_map(|var| var.strip_prefix(b"_HANDLER="))?;
            Some((pid, String::from_utf8_lossy(name).into_owned()))
        };
        process::pids().into_iter().filter(ours).filter_map(function).collect()
    }

    /// What the schedule does every minute.
    pub(super) async fn sweep(&self) -> Result<()> {
        // Where anything may fail, this may too. It comes again.
        let _failed = self.calls.invoke(&text(&self.deployed["functions"], "sweep")?).await;
        Ok(())
    }

    /// Puts a message on a lane, as if it had come again.
    pub(crate) async fn send(&self, lane: &str, message: &Value) -> Result<()> {
        let queue = text(&self.deployed["queues"], lane)?;
        let body = json!({"QueueUrl": queue, "MessageBody": message.to_string()});
        self.calls.json("sqs", "AmazonSQS.SendMessage", &body).await?;
        Ok(())
    }

    /// Ends a session's execution as a whole.
    pub(crate) async fn abort(&self, session: &str) -> Result<()> {
        let body = json!({"executionArn": self.execution(session)?});
        self.calls.json("states", "AWSStepFunctions.StopExecution", &body).await?;
        Ok(())
    }

    /// The types of all events in the history of a session's execution.
    pub(crate) async fn history(&self, session: &str) -> Result<Vec<String>> {
        let body = json!({"executionArn": self.execution(session)?, "maxResults": 1000});
        let history =
            self.calls.json("states", "AWSStepFunctions.GetExecutionHistory", &body).await?;
        let events = history["events"].as_array().context("no history")?;
        Ok(events.iter().filter_map(|e| e["type"].as_str().map(str::to_owned)).collect())
    }

    /// What the functions logged, and all programs of ours.
    pub(super) async fn logs(&self) -> Result<Vec<(String, String)>> {
        let mut all = self.calls.logs().await?;
        for program in [&self.ministack, &self.fargate] {
            let log = program.lock().unwrap_or_else(PoisonError::into_inner).log.clone();
            all.push((log.display().to_string(), fs::read_to_string(log)?));
        }
        Ok(all)
    }

    /// How often each function ran so far.
    pub(crate) async fn invocations(&self) -> Result<std::collections::BTreeMap<String, u64>> {
        let logs = self.calls.logs().await?;
        let groups = self.deployed["logs"].as_object().context("no logs")?;
        let runs = |group: &Value| {
            let log = logs.iter().find(|(name, _)| group == name);
            let starts = log.map_or(0, |(_, log)| log.matches("START RequestId").count());
            u64::try_from(starts).unwrap_or(u64::MAX)
        };
        Ok(groups.iter().map(|(name, group)| (name.clone(), runs(group))).collect())
    }

    pub(super) const fn has_storm(&self) -> bool {
        self.storm
    }

    pub(super) async fn calm(&self) -> Result<()> {
        self.proxy.spoil(weather(self.storm));
        let url = format!("{}/_control/faults", self.fargate_url);
        self.http.delete(url).send().await?.error_for_status()?;
        Ok(())
    }

    /// The local Fargate ends its sandboxes itself.
    pub(super) fn leave(&self) -> Result<()> {
        for program in [&self.fargate, &self.ministack] {
            program.lock().unwrap_or_else(PoisonError::into_inner).end();
        }
        traces::clear(self.dir.path())
    }

    async fn control(&self, what: &str, body: &Value) -> Result<()> {
        let url = format!("{}/_control/{what}", self.fargate_url);
        let answer = self.http.post(url).json(body).send().await?;
        ensure!(answer.status().is_success(), "{what}: {}", answer.text().await?);
        Ok(())
    }

    /// Keeps figures for others to read, in `target/e2e`.
    pub(crate) fn report(&self, name: &str, found: &Value) -> Result<()> {
        let dir = self.root.join("target/e2e");
        fs::create_dir_all(&dir)?;
        fs::write(dir.join(format!("{name}.json")), format!("{found:#}\n"))?;
        Ok(())
    }

    fn execution(&self, session: &str) -> Result<String> {
        let machine = text(&self.deployed, "stateMachine")?;
        Ok(format!("{}:{session}", machine.replace(":stateMachine:", ":execution:")))
    }

    async fn task(&self, session: &str) -> Result<String> {
        let tasks = self.tasks_of(session).await?;
        tasks.into_iter().next().context("the session has no task")
    }

    /// The tasks of a session that have not ended.
    pub(crate) async fn tasks_of(&self, session: &str) -> Result<Vec<String>> {
        self.tasks(json!({"startedBy": session})).await
    }

    /// The tasks that have not ended and fit.
    async fn tasks(&self, mut body: Value) -> Result<Vec<String>> {
        body["cluster"] = self.deployed["cluster"].clone();
        let target = "AmazonEC2ContainerServiceV20141113.ListTasks";
        let list = self.calls.json_at(&self.fargate_url, "ecs", target, &body).await?;
        let tasks = list["taskArns"].as_array().context("no list")?;
        Ok(tasks.iter().filter_map(|task| task.as_str().map(str::to_owned)).collect())
    }
}

impl Drop for Aws {
    fn drop(&mut self) {
        // An error was told by `leave`, or there is nobody to tell.
        let _told = self.leave();
    }
}

/// What happens to calls when no scenario says otherwise.
fn weather(storm: bool) -> Faults {
    let calm = Faults::default();
    if !storm {
        return calm;
    }
    calm.chance(3, Fault::Throttled).chance(1, Fault::Broken).chance(1, Fault::AnswerLost)
}
