//! The ports over the local Fargate: real sandboxes with the real runner, reached as over ECS Exec.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use adapters::clock::SystemClock;
use adapters::shell::RunnerShell;
use aws::{
    compute::{EcsCompute, LaunchConfig, Providers},
    shell::ExecDial,
};
use domain::{
    TaskId,
    ports::{Clock, CommandEvent, Compute, RunTask, Shell, ShellError},
    size::{Network, Size},
};
use testkit::conformance;

use crate::ecs::{CLUSTER, config};

const IMAGE: &str = "default";

/// A local Fargate process, and the ports that call it.
struct Fargate {
    process: Child,
    url: String,
    compute: Arc<EcsCompute>,
    shell: Arc<RunnerShell<ExecDial>>,
    tasks: AtomicUsize,
    _dir: tempfile::TempDir,
}

impl Fargate {
    /// Prints the reason and returns none if the program is not built or this host has no sandboxes.
    fn start() -> Option<Self> {
        let exe = std::env::current_exe().unwrap();
        let program = exe.ancestors().nth(2).unwrap().join("fargate");
        if !program.exists() {
            println!("SKIPPED: {} is not built", program.display());
            return None;
        }
        let dir = tempfile::Builder::new().prefix("exec-").tempdir().unwrap();
        let mut process = Command::new(program)
            .args(["--listen", "127.0.0.1:0", "--data-dir"])
            .arg(dir.path().join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        if line.is_empty() {
            let mut reason = String::new();
            process.stderr.take().unwrap().read_to_string(&mut reason).unwrap();
            process.wait().unwrap();
            assert!(reason.contains("can't isolate a sandbox"), "{reason}");
            println!("SKIPPED: {}", reason.trim());
            return None;
        }
        let started: serde_json::Value = serde_json::from_str(&line).unwrap();
        let url = started["url"].as_str().unwrap().to_owned();
        let compute = compute(&url, CLUSTER);
        let dial = ExecDial::new(&config(&url), CLUSTER.to_owned(), compute.clone());
        let shell = Arc::new(RunnerShell::new(dial, Arc::new(SystemClock)));
        Some(Self { process, url, compute, shell, tasks: AtomicUsize::new(0), _dir: dir })
    }

    async fn run(&self) -> TaskId {
        let number = self.tasks.fetch_add(1, SeqCst);
        let task = RunTask {
            started_by: "sh_1".to_owned(),
            client_token: format!("token-{number}"),
            image: IMAGE.to_owned(),
            size: Size::DEFAULT,
            network: Network::Egress,
            spot: false,
            lifetime: Duration::from_hours(1),
        };
        self.compute.run(&task).await.unwrap()
    }

    /// Probes until the result is anything but `NotReady`.
    async fn probe_until_decided(&self, task: &TaskId) -> Result<(), ShellError> {
        let started = Instant::now();
        loop {
            match self.shell.probe(task).await {
                Err(ShellError::NotReady) => {}
                decided => return decided,
            }
            assert!(
                started.elapsed() < Duration::from_secs(60),
                "the task is not ready after 60 s"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Fargate {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.process);
        // The process stops its tasks before it exits.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.process.wait();
    }
}

fn compute(url: &str, cluster: &str) -> Arc<EcsCompute> {
    let group = |network, name: &str| (network, name.to_owned());
    let launch = LaunchConfig {
        providers: Providers::Fargate,
        image: IMAGE.to_owned(),
        task_definition: "ephemeral-shell".to_owned(),
        subnets: vec!["subnet-0a".to_owned()],
        security_groups: BTreeMap::from([
            group(Network::Egress, "sg-0a"),
            group(Network::None, "sg-0b"),
        ]),
        assign_public_ip: true,
        link: None,
    };
    Arc::new(EcsCompute::new(&config(url), cluster.to_owned(), Some(launch)))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_of_the_port_passes_in_sandboxes() {
    let Some(fargate) = Fargate::start() else { return };
    conformance::shell_suite(async || {
        let task = fargate.run().await;
        fargate.probe_until_decided(&task).await.unwrap();
        let (shell, clock) = (Arc::clone(&fargate.shell) as _, Arc::new(SystemClock));
        conformance::ShellUnderTest { shell, task, clock }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_of_tasks_passes() {
    let Some(fargate) = Fargate::start() else { return };
    conformance::compute_suite(async || {
        // Each case uses its own cluster; the local Fargate accepts any name.
        let cluster = format!("cluster-{}", fargate.tasks.fetch_add(1, SeqCst));
        conformance::ComputeUnderTest {
            compute: compute(&fargate.url, &cluster),
            settle: Box::new(|| Box::pin(tokio::time::sleep(Duration::from_millis(50)))),
            image: IMAGE.to_owned(),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_not_ready_then_ready_then_gone() {
    let Some(fargate) = Fargate::start() else { return };
    let task = fargate.run().await;
    assert!(matches!(fargate.shell.probe(&task).await, Err(ShellError::NotReady)));
    fargate.probe_until_decided(&task).await.unwrap();
    fargate.compute.stop(&task, "test").await.unwrap();
    let started = Instant::now();
    while !matches!(fargate.probe_until_decided(&task).await, Err(ShellError::Gone)) {
        assert!(started.elapsed() < Duration::from_secs(60), "the task is not gone after 60 s");
    }
}

/// The agent runs the bridge as root in the same sandbox as the command.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_cannot_interfere_with_the_bridge() {
    let Some(fargate) = Fargate::start() else { return };
    let task = fargate.run().await;
    fargate.probe_until_decided(&task).await.unwrap();
    let line = r#"
        for process in /proc/[0-9]*; do
            test "$(cat $process/comm 2>/dev/null)" = runner || continue
            echo a runner
            kill -9 ${process#/proc/} 2>/dev/null && echo killed
            cat $process/environ 2>/dev/null && echo read
            ls $process/fd/ 2>/dev/null && echo listed
        done
        ls /run/ephemeral 2>/dev/null && echo entered
        for terminal in /dev/pts/[0-9]*; do
            (: > $terminal) 2>/dev/null && echo wrote
            (: < $terminal) 2>/dev/null && echo listened
        done
        echo the end
    "#;
    let (job, env) = (testkit::job_id("a"), BTreeMap::new());
    let command = testkit::command(line);
    let started = fargate.shell.start(&task, job, &command, &env, (0, 0)).await.unwrap();
    let mut attached = started.attached().unwrap();
    let mut output = Vec::new();
    let until = SystemClock.now() + Duration::from_secs(30);
    while let Some(event) = attached.next(until).await.unwrap() {
        match event {
            CommandEvent::Output { bytes, .. } => output.extend(bytes),
            CommandEvent::Started => {}
            CommandEvent::Ended(_) => break,
        }
    }
    assert_eq!(String::from_utf8(output).unwrap(), "a runner\na runner\nthe end\n");
}
