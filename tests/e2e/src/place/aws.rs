//! AWS's shape on one machine: ministack with the real template, the local Fargate, and the proxy between
//! the functions and both.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use client::{http_client, text};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    Capacity, Variant,
    process::{self, Program},
    traces,
    user::User,
};

mod audit;
mod calls;
mod fargate;
mod functions;
mod links;
mod ministack;
mod proxy;
mod users;

use calls::Calls;
pub(crate) use functions::Invocations;
use proxy::Proxy;
pub(crate) use proxy::{Counts, Fault, Faults, Units};
use users::Users;

/// The programs and the deployment. Fields are dropped in order of declaration.
#[derive(Debug)]
pub(crate) struct Aws {
    fargate: Mutex<Program>,
    fargate_url: String,
    /// The URL of ministack itself, without injected faults.
    url: String,
    ministack: Mutex<Program>,
    proxy: Proxy,
    calls: Calls,
    users: Users,
    /// The outputs of `tests/aws/deploy.py`.
    deployed: Value,
    http: reqwest::Client,
    root: PathBuf,
    variant: Variant,
    dir: TempDir,
}

impl Aws {
    pub(crate) async fn start(root: &Path, logs: Option<&Path>, variant: Variant) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("ephemeral-e2e-").tempdir()?;
        let logs = logs.unwrap_or(dir.path());
        let (proxy, http) = (Proxy::open().await?, http_client()?);
        let port = process::free_port()?;
        let url = format!("http://127.0.0.1:{port}");
        proxy.target("", &url);
        let ministack = ministack::start(root, dir.path(), logs, port, &proxy.url, &http).await?;
        let deployed = ministack::deploy(root, dir.path(), logs, &url, variant).await?;
        let queue = text(&deployed["queues"], "task-events")?;
        let link = deployed["link"].as_str();
        if let Some(link) = link {
            proxy.target("execute-api", link);
        }
        let link = link.map(|link| link.replacen("http", "ws", 1));
        let sqs = (queue.as_str(), url.as_str());
        let tasks = fargate::Tasks {
            link: link.as_deref(),
            capacity: variant.capacity,
            host_port: proxy.port(),
        };
        let (fargate, fargate_url) = fargate::start(root, dir.path(), logs, sqs, tasks).await?;
        proxy.target("ecs", &fargate_url);
        let calls = Calls::new(http.clone(), &url);
        let users = Users::new(&deployed)?;
        let (fargate, ministack) = (Mutex::new(fargate), Mutex::new(ministack));
        let root = root.to_owned();
        let aws = Self {
            fargate,
            fargate_url,
            url,
            ministack,
            proxy,
            calls,
            users,
            deployed,
            http,
            root,
            variant,
            dir,
        };
        aws.reset_faults().await?;
        Ok(aws)
    }

    pub(crate) fn base(&self) -> String {
        self.deployed["api"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) async fn user(&self, name: &str) -> Result<User> {
        let user = User::new(&self.base(), Some(self.tokens(name).await?.access))?;
        // The template's network is `public`, which offers no other.
        Ok(user.with_network("egress"))
    }

    /// The access token and the id token of a user.
    pub(crate) async fn tokens(&self, name: &str) -> Result<users::Tokens> {
        self.users.sign_in(&self.calls, name).await
    }

    /// The calls of all functions so far, by service and operation.
    pub(crate) fn counts(&self) -> Counts {
        self.proxy.counts()
    }

    /// Sets the calls of the functions that fail from now on.
    pub(crate) fn inject(&self, faults: Faults) {
        self.proxy.inject(faults);
    }

    /// The number of calls that failed by injection so far.
    pub(crate) fn injected(&self) -> u64 {
        self.proxy.injected()
    }

    /// Sets the faults of the local Fargate from now on.
    pub(crate) async fn fargate_faults(&self, faults: &Value) -> Result<()> {
        self.control("faults", faults).await
    }

    /// Interrupts the Spot task of a session.
    pub(crate) async fn interrupt(&self, session: &str) -> Result<()> {
        self.control("interrupt", &json!({"task": self.task(session).await?})).await
    }

    pub(super) async fn kill_task(&self, session: &str) -> Result<()> {
        self.control("kill", &json!({"task": self.task(session).await?})).await
    }

    /// Kills all processes of these functions, of which one at least has some.
    pub(super) fn kill_workers(&self, functions: &[&str]) -> Result<()> {
        let is_one = |function: &str| functions.contains(&function);
        let workers: Vec<_> = self.workers().into_iter().filter(|(_, of)| is_one(of)).collect();
        ensure!(!workers.is_empty(), "no process of {functions:?} runs");
        workers.into_iter().for_each(|(pid, _)| process::kill(pid));
        Ok(())
    }

    /// Kills one process of any function; returns the function.
    pub(crate) fn kill_one(&self, number: usize) -> Option<String> {
        let workers = self.workers();
        let (pid, function) = workers.get(number % workers.len().max(1))?;
        process::kill(*pid);
        Some(function.clone())
    }

    /// The processes of functions, each with the function's name.
    fn workers(&self) -> Vec<(i32, String)> {
        let ministack = self.ministack.lock().pid();
        let ours = |pid: &i32| process::parent(*pid) == Some(ministack.cast_signed());
        let function = |pid: i32| {
            let vars = fs::read(format!("/proc/{pid}/environ")).ok()?;
            let mut vars = vars.split(|byte| *byte == 0);
            let name = vars.find_map(|var| var.strip_prefix(b"_HANDLER="))?;
            Some((pid, String::from_utf8_lossy(name).into_owned()))
        };
        process::pids().into_iter().filter(ours).filter_map(function).collect()
    }

    /// Invokes the sweep, as the schedule does every minute.
    pub(super) async fn sweep(&self) -> Result<()> {
        // An injected fault may fail this call; the caller sweeps again.
        let _failed = self.calls.invoke(&text(&self.deployed["functions"], "sweep")?).await;
        Ok(())
    }

    /// Sends a message to a lane, as in a redelivery.
    pub(crate) async fn send(&self, lane: &str, message: &Value) -> Result<()> {
        let queue = text(&self.deployed["queues"], lane)?;
        let body = json!({"QueueUrl": queue, "MessageBody": message.to_string()});
        self.calls.json("sqs", "AmazonSQS.SendMessage", &body).await?;
        Ok(())
    }

    /// Adds a rule to the deployment's bus, with a new queue as its target; returns the URL of the queue.
    pub(crate) async fn rule_with_queue(&self, name: &str, pattern: &Value) -> Result<String> {
        let bus = text(&self.deployed, "bus")?;
        let queue = json!({"QueueName": name});
        let queue = self.calls.json("sqs", "AmazonSQS.CreateQueue", &queue).await?;
        let url = text(&queue, "QueueUrl")?;
        let arn = json!({"QueueUrl": url, "AttributeNames": ["QueueArn"]});
        let arn = self.calls.json("sqs", "AmazonSQS.GetQueueAttributes", &arn).await?;
        let arn = text(&arn["Attributes"], "QueueArn")?;
        let rule = json!({"Name": name, "EventBusName": bus, "EventPattern": pattern.to_string()});
        self.calls.json("events", "AWSEvents.PutRule", &rule).await?;
        let target =
            json!({"Rule": name, "EventBusName": bus, "Targets": [{"Id": "1", "Arn": arn}]});
        self.calls.json("events", "AWSEvents.PutTargets", &target).await?;
        Ok(url)
    }

    /// Takes messages from a queue; each is JSON.
    pub(crate) async fn receive(&self, queue: &str) -> Result<Vec<Value>> {
        let body = json!({"QueueUrl": queue, "MaxNumberOfMessages": 10});
        let found = self.calls.json("sqs", "AmazonSQS.ReceiveMessage", &body).await?;
        let mut bodies = Vec::new();
        for message in found["Messages"].as_array().into_iter().flatten() {
            bodies.push(serde_json::from_str(&text(message, "Body")?)?);
            let handle = text(message, "ReceiptHandle")?;
            let body = json!({"QueueUrl": queue, "ReceiptHandle": handle});
            self.calls.json("sqs", "AmazonSQS.DeleteMessage", &body).await?;
        }
        Ok(bodies)
    }

    /// Aborts the execution of a session.
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

    /// The logs of the functions, of ministack and of the local Fargate.
    pub(super) async fn logs(&self) -> Result<Vec<(String, String)>> {
        let mut all = self.calls.logs().await?;
        for program in [&self.ministack, &self.fargate] {
            let log = program.lock().log.clone();
            all.push((log.display().to_string(), fs::read_to_string(log)?));
        }
        Ok(all)
    }

    /// The capacity units of the table that the functions have consumed so far.
    pub(crate) fn units(&self) -> Units {
        self.proxy.units()
    }

    /// The invocations of each function so far.
    pub(crate) async fn invocations(&self) -> Result<BTreeMap<String, Invocations>> {
        let groups = serde_json::from_value(self.deployed["logs"].clone())?;
        Ok(functions::invocations(&groups, &self.calls.logs().await?))
    }

    pub(super) const fn has_faults(&self) -> bool {
        self.variant.with_faults
    }

    /// Whether tasks run on instances.
    pub(crate) fn has_instances(&self) -> bool {
        self.variant.capacity == Capacity::Ec2
    }

    /// Sets the numbers of on-demand and of Spot instances.
    pub(crate) async fn set_instances(&self, on_demand: usize, spot: usize) -> Result<()> {
        let [on_demand_provider, spot_provider] = fargate::PROVIDERS;
        let body = json!({on_demand_provider: on_demand, spot_provider: spot});
        self.control("instances", &body).await
    }

    pub(super) async fn reset_faults(&self) -> Result<()> {
        self.proxy.inject(background_faults(self.variant.with_faults));
        let url = format!("{}/_control/faults", self.fargate_url);
        self.http.delete(url).send().await?.error_for_status()?;
        if self.has_instances() {
            self.set_instances(fargate::MANY, fargate::MANY).await?;
        }
        Ok(())
    }

    /// Ends all programs; the local Fargate ends its sandboxes.
    pub(super) fn leave(&self) -> Result<()> {
        for program in [&self.fargate, &self.ministack] {
            program.lock().end();
        }
        traces::clear(self.dir.path())
    }

    async fn control(&self, what: &str, body: &Value) -> Result<()> {
        let url = format!("{}/_control/{what}", self.fargate_url);
        let answer = self.http.post(url).json(body).send().await?;
        ensure!(answer.status().is_success(), "{what}: {}", answer.text().await?);
        Ok(())
    }

    /// Runs a command of infra/bin/operate.ts, as the scripts of a deployment do; returns its output.
    pub(crate) async fn operate(&self, command: &str) -> Result<String> {
        let (url, ecs) = (&self.url, &self.fargate_url);
        let out = tokio::process::Command::new(self.root.join("scripts/infra"))
            .args(["operate", command])
            .env("AWS_ENDPOINT_URL", url)
            .env("AWS_ENDPOINT_URL_ECS", ecs)
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("EPHEMERAL_DRAIN_SECONDS", "3")
            .kill_on_drop(true)
            .output()
            .await?;
        let error = String::from_utf8_lossy(&out.stderr);
        ensure!(out.status.success(), "operate {command}: {error}");
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    }

    /// Writes figures to `target/e2e`.
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

    /// The matching tasks that have not ended.
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
        // `leave` has reported the error before, or the program is being interrupted.
        let _error = self.leave();
    }
}

/// The faults while no scenario sets its own.
fn background_faults(with_faults: bool) -> Faults {
    let none = Faults::default();
    if !with_faults {
        return none;
    }
    none.percent(3, Fault::Throttled).percent(1, Fault::Broken).percent(1, Fault::AnswerLost)
}
