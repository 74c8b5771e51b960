//! The server: API, control interface and data channels on one port.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::{Router, routing::post};
use sandbox::{Budget, Driver, Egress, Image, Runtime, UidRange};
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};

use crate::{
    api,
    arn::ArnPrefix,
    cluster::{Cluster, State},
    control,
    events::Events,
    exec::Sessions,
    host_port::HostPort,
    link::Links,
    port_mux::PortMux,
    queue::Queue,
};

/// Time between SIGTERM and SIGKILL; 30 seconds by default on Fargate.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// The program of the shell image that moves files.
const TRANSFER: &str = "runner-transfer";

/// AWS has room for any number of tasks.
const BUDGET: Budget = Budget { memory_mib: 1 << 20, disk_mib: 1 << 30, pids: 1 << 22 };

/// The configuration of a server.
#[derive(Debug)]
pub struct Config {
    /// The address to listen on; port 0 takes a free port.
    pub listen: SocketAddr,
    /// The directory of the sandboxes, used by one server at a time.
    pub data_dir: PathBuf,
    /// The image of all tasks.
    pub image: Image,
    /// The URL of the queue for task events; without a queue, events are dropped.
    pub events_queue: Option<String>,
    /// The states of tasks whose events are sent, as in the pattern of a rule; all if empty.
    pub event_states: Vec<String>,
    /// The endpoint of SQS; by default the origin of the queue's URL.
    pub sqs_endpoint: Option<String>,
    /// The region in all ARNs.
    pub region: String,
    /// The account in all ARNs, twelve digits.
    pub account: String,
    /// The capacity providers of instances, each with the number of its instances.
    pub instances: Vec<(String, usize)>,
    /// Where runners connect to, instead of where their tasks are told to.
    pub link_url: Option<String>,
    /// A port of this host that tasks reach at 127.0.0.1.
    pub host_port: Option<u16>,
    /// Seed of the injected faults: the same seed and the same calls give the same faults.
    pub seed: u64,
    /// The program with the subcommand `runtime` of `sandbox`, and that of this crate.
    pub exe: PathBuf,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The path of the program or the signal handlers are not available.
    #[error("this process can't be set up")]
    Exe(#[source] io::Error),
    /// The address can't be bound.
    #[error("can't listen on {0}")]
    Listen(SocketAddr, #[source] io::Error),
    /// The URL of the queue or of its endpoint is invalid.
    #[error("the URL of the events queue or its endpoint is invalid")]
    Queue(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A program of the shell image can't be added to the layer with the runner.
    #[error("can't add a program to the layer with the runner")]
    Programs(#[source] io::Error),
    /// The data directory can't be used, or this host can't isolate sandboxes.
    #[error(transparent)]
    Sandbox(#[from] sandbox::OpenError),
}

/// A running server. It must be stopped by [`Server::stop`]: dropping it leaves its sandboxes running.
#[derive(Debug)]
pub struct Server {
    url: String,
    cluster: Arc<Cluster>,
    serving: JoinHandle<()>,
}

impl Server {
    /// Starts a server. Sandboxes that an earlier server left in the directory are stopped.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let queue = config.events_queue.map(|url| Queue::new(url, config.sqs_endpoint.as_deref()));
        let queue = queue.transpose().map_err(StartError::Queue)?;
        let listen = |error| StartError::Listen(config.listen, error);
        let listener = TcpListener::bind(config.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let (report, mut facts) = mpsc::unbounded_channel();
        let links = Links::new(&config.exe, &config.data_dir, config.link_url);
        let data_dir = config.data_dir.clone();
        let driver = sandbox::Config {
            root: config.data_dir,
            exe: config.exe.clone(),
            runtime: Runtime::BuiltIn,
            image: config.image,
            grace: STOP_TIMEOUT,
            uid_range: UidRange::default(),
            allow_root: false,
            egress: Egress::None,
            prepare: None,
            budget: BUDGET,
            end_with_driver: false,
        };
        // The receiver has ended only if the process ends.
        let driver = Driver::open(driver, move |fact| drop(report.send(fact)))?;
        add_programs(&data_dir, &config.exe).map_err(StartError::Programs)?;
        for left in driver.list(None) {
            // The sandbox may have ended already.
            let _gone = driver.stop(&left.id, "the server has ended");
        }
        let arn_prefix = ArnPrefix { region: config.region, account: config.account };
        let events = Events::new(queue, config.event_states, config.seed);
        let sessions = Sessions::new(config.exe, format!("ws://{address}"));
        let driver = Arc::new(driver);
        let state = State::new(config.instances.into_iter().collect());
        let port = HostPort::new(config.host_port);
        let cluster = Cluster::new(arn_prefix, driver, events, sessions, links, port, state);
        let cluster = Arc::new(cluster);
        let reported = Arc::clone(&cluster);
        tokio::spawn(async move {
            while let Some(fact) = facts.recv().await {
                reported.apply(&fact);
            }
        });
        let router = Router::new()
            .route("/", post(api::handle))
            .merge(control::routes())
            .with_state(Arc::clone(&cluster));
        let port_mux = PortMux::new(listener, Arc::clone(&cluster)).map_err(listen)?;
        let serving = tokio::spawn(async move {
            if let Err(error) = axum::serve(port_mux, router).await {
                tracing::error!(%error, "the server failed");
            }
        });
        Ok(Self { url: format!("http://{address}"), cluster, serving })
    }

    /// The URL of the API, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Ends all tasks, then the server. Returns the number of tasks that did not end.
    pub async fn stop(self) -> usize {
        let left = self.cluster.close().await;
        self.serving.abort();
        left
    }
}

/// Puts the programs of the shell image that a command runs beside the runner, in the layer that all sandboxes
/// have.
fn add_programs(data_dir: &Path, exe: &Path) -> io::Result<()> {
    let program = exe.with_file_name(TRANSFER);
    if !program.exists() {
        tracing::warn!("there is no {TRANSFER}, so that tasks transfer no files");
        return Ok(());
    }
    for entry in fs::read_dir(data_dir)? {
        let directory = entry?.path().join("opt/ephemeral");
        if directory.join("runner").exists() {
            fs::copy(&program, directory.join(TRANSFER))?;
        }
    }
    Ok(())
}
