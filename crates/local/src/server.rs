//! The server of one machine: opens everything, serves the API, leaves sandboxes running at its end.

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use axum::{Router, middleware, routing::get, serve::ListenerExt};
use domain::ports::BackendError;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle, time::timeout};

use crate::{
    config::Config,
    database::{Database, OpenError},
    engine::{Engine, Running},
    env,
    tokens::Tokens,
};

mod access;
mod files;
mod metrics;
mod tls;

/// What answers under way get when the server stops. A long-poll may be cut: it is asked again.
const GRACE: Duration = Duration::from_secs(2);

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Tokens and output would cross a network in the clear.
    #[error("{0} is beyond loopback: give a certificate, or permit it by --insecure-listen")]
    InsecureListen(SocketAddr),
    /// The address can't be had.
    #[error("can't listen on {0}")]
    Listen(SocketAddr, #[source] io::Error),
    /// The certificate or its key can't be used.
    #[error("the certificate can't be used")]
    Tls(#[source] domain::ports::BoxError),
    /// Shells can't be isolated here.
    #[error(transparent)]
    Sandbox(#[from] sandbox::OpenError),
    /// The data directory is not to be had.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// A file in the data directory can't be written.
    #[error("{} can't be written", .0.display())]
    File(PathBuf, #[source] io::Error),
    /// Something else failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// A running server. Dropping it cuts everything short, which does no harm; [`Server::stop`] is kinder.
#[derive(Debug)]
pub struct Server {
    url: String,
    data_dir: PathBuf,
    db: Database,
    engine: Arc<Engine>,
    running: Running,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
    closed: JoinHandle<()>,
}

impl Server {
    /// Opens the data directory, takes up what is in there, and serves the API.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        if !config.listen.ip().is_loopback() && config.tls.is_none() && !config.insecure_listen {
            return Err(StartError::InsecureListen(config.listen));
        }
        let acceptor = config.tls.as_ref().map(tls::acceptor).transpose()?;
        let db = Database::open(&config.data_dir)?;
        let listen = |error| StartError::Listen(config.listen, error);
        let listener = TcpListener::bind(config.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let ports = env::open(&config, &db).await?;
        let tokens = Tokens::new(db.clone(), ports.env.clock.clone(), ports.env.ids.clone());
        files::token(&config.data_dir, &tokens).await?;
        let closed = ports.closed;
        let engine = Engine::new(ports.env, ports.store, ports.queue, ports.workflow);
        let engine = Arc::new(engine);
        let router = router(&engine, tokens, address.ip().is_loopback());
        let (stop, stopped) = watch::channel(false);
        let (scheme, serving) = match acceptor {
            Some(acceptor) => {
                ("https", serve(tls::TlsListener::new(listener, acceptor), router, stopped))
            }
            None => ("http", serve(listener.tap_io(tls::send_at_once), router, stopped)),
        };
        let url = format!("{scheme}://{address}");
        files::announce(&config.data_dir, &url)?;
        let running = engine.run();
        tracing::info!(url, "listening on {url}");
        Ok(Self { url, data_dir: config.data_dir, db, engine, running, stop, serving, closed })
    }

    /// Where the API is, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The file that holds the token of user `local`.
    pub fn token_path(&self) -> PathBuf {
        files::token_path(&self.data_dir)
    }

    /// What moves by itself in here.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Takes up no more work, finishes what is at hand within seconds, and leaves sessions and their
    /// shells to the next server on this data directory.
    pub async fn stop(self) -> Result<(), BackendError> {
        files::withdraw(&self.data_dir);
        self.stop.send_replace(true);
        let cut = self.serving.abort_handle();
        if timeout(GRACE, self.serving).await.is_err() {
            cut.abort();
        }
        self.running.stop().await;
        self.db.flush().await?;
        drop(self.engine);
        // Whoever starts the next server in this process must find the directory free.
        let _cut = timeout(GRACE, self.closed).await;
        Ok(())
    }
}

fn router(engine: &Arc<Engine>, tokens: Tokens, on_loopback: bool) -> Router {
    let metrics = get(metrics::handle).with_state((Arc::clone(engine), on_loopback));
    handlers::http::router(engine.env().clone())
        .route("/metrics", metrics)
        .layer(middleware::from_fn_with_state(tokens, access::authenticate))
}

fn serve<L>(listener: L, router: Router, mut stopped: watch::Receiver<bool>) -> JoinHandle<()>
where
    L: axum::serve::Listener,
    L::Addr: std::fmt::Debug,
{
    let stop = async move {
        // The sender goes away only with the server.
        let _gone = stopped.wait_for(|stop| *stop).await;
    };
    tokio::spawn(async move {
        let served = axum::serve(listener, router).with_graceful_shutdown(stop).await;
        if let Err(error) = served {
            tracing::error!(%error, "the API is not served any more");
        }
    })
}

#[cfg(test)]
mod tests;
