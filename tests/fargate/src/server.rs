//! Everything put together, on one port.

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use axum::{Router, routing::post};
use sandbox::{Driver, Image, Runtime};
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};

use crate::{
    api, cluster::Cluster, control, events::Events, exec::Sessions, front::Front, queue::Queue,
    realm::Realm,
};

/// From SIGTERM to SIGKILL. Fargate's default is 30 seconds.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// What a server is given.
#[derive(Debug)]
pub struct Config {
    /// Port 0 takes a free one.
    pub listen: SocketAddr,
    /// For the sandboxes, and for one server at a time.
    pub data_dir: PathBuf,
    /// What is in the sandboxes.
    pub image: Image,
    /// URL of the queue that gets the tasks' events; without one, nobody does.
    pub events_queue: Option<String>,
    /// Where the queue's service is; the origin of its URL if `None`.
    pub sqs_endpoint: Option<String>,
    /// In all ARNs, as the account.
    pub region: String,
    /// Twelve digits.
    pub account: String,
    /// Of all chance: the same seed and the same calls give the same faults.
    pub seed: u64,
    /// The program that does `runtime` as `sandbox` has it.
    pub exe: PathBuf,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The process doesn't know what it is.
    #[error("this process can't be set up")]
    Exe(#[source] io::Error),
    /// The address can't be had.
    #[error("can't listen on {0}")]
    Listen(SocketAddr, #[source] io::Error),
    /// The URL of the queue or of its service is none.
    #[error("the events' queue can't be used")]
    Queue(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The data directory is not to be had, or this host isolates nothing.
    #[error(transparent)]
    Sandbox(#[from] sandbox::OpenError),
}

/// A running server. It must be stopped: dropped, it leaves its sandboxes running.
#[derive(Debug)]
pub struct Server {
    url: String,
    cluster: Arc<Cluster>,
    serving: JoinHandle<()>,
}

impl Server {
    /// Serves from now on. What a server before it left in the directory ends.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let queue = config.events_queue.map(|url| Queue::new(url, config.sqs_endpoint.as_deref()));
        let queue = queue.transpose().map_err(StartError::Queue)?;
        let listen = |error| StartError::Listen(config.listen, error);
        let listener = TcpListener::bind(config.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let (report, mut facts) = mpsc::unbounded_channel();
        let driver = sandbox::Config {
            root: config.data_dir,
            exe: config.exe.clone(),
            runtime: Runtime::BuiltIn,
            image: config.image,
            grace: STOP_TIMEOUT,
        };
        // Nobody listens any more once the process ends.
        let driver = Driver::open(driver, move |fact| drop(report.send(fact)))?;
        for left in driver.list(None) {
            // It may have ended by itself.
            let _gone = driver.stop(&left.id, "its server is gone");
        }
        let realm = Realm { region: config.region, account: config.account };
        let events = Events::new(queue, config.seed);
        let sessions = Sessions::new(config.exe, format!("ws://{address}"));
        let cluster = Arc::new(Cluster::new(realm, Arc::new(driver), events, sessions));
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
        let front = Front::new(listener, Arc::clone(&cluster)).map_err(listen)?;
        let serving = tokio::spawn(async move {
            if let Err(error) = axum::serve(front, router).await {
                tracing::error!(%error, "nothing is served any more");
            }
        });
        Ok(Self { url: format!("http://{address}"), cluster, serving })
    }

    /// Where the API is, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Ends all tasks, then the server. Answers how many tasks would not end.
    pub async fn stop(self) -> usize {
        let left = self.cluster.close().await;
        self.serving.abort();
        left
    }
}
