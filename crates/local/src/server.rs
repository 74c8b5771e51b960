//! The server of one machine: opens the ports, runs the engine and serves the API. Sandboxes run on when
//! it stops.

use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use ::mcp::HttpServer;
use axum::{Router, middleware, routing::get};
use domain::{Secret, ports::BackendError};
use tokio::{sync::watch, task::JoinHandle, time::timeout};

use self::{
    accept::Acceptor, connections::Connections, console::Codes, terminal::Terminals,
    users::UserRequests,
};
use crate::{
    config::{Config, Tls},
    data_channels,
    database::{Database, OpenError},
    engine::{Engine, Running},
    env::{self, Ports},
    publish::{self, Publisher},
    tokens::Tokens,
};

mod accept;
mod access;
mod body;
mod connections;
mod console;
mod files;
mod host;
mod limited_reads;
mod mcp;
mod memory_protection;
mod metrics;
mod open_files;
mod repoll;
mod terminal;
mod timed_stream;
mod tls;
mod upgrade;
mod users;

/// How long open requests may take when the server stops. A long poll may be cut off: clients repeat it.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Tokens and output would cross a network unencrypted.
    #[error("refused to listen on {0} without TLS: the address is beyond loopback")]
    InsecureListen(SocketAddr),
    /// The server can't listen on the address.
    #[error("failed to listen on {0}")]
    Listen(SocketAddr, #[source] io::Error),
    /// The certificate or its key can't be used.
    #[error("failed to load the certificate {} with the key {}", .0.certificates.display(), .0.key.display())]
    Tls(Tls, #[source] domain::ports::BoxError),
    /// This host can't isolate shells as configured.
    #[error(transparent)]
    Sandbox(#[from] sandbox::OpenError),
    /// The data directory can't be used.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// A file in the data directory can't be written.
    #[error("failed to write {}", .0.display())]
    File(PathBuf, #[source] io::Error),
    /// Something else failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// A running server. Dropping it aborts all work, which loses nothing; [`Server::stop`] lets open work
/// finish.
#[derive(Debug)]
pub struct Server {
    url: String,
    data_dir: PathBuf,
    db: Database,
    engine: Arc<Engine>,
    running: Running,
    publisher: Publisher,
    terminals: Terminals,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
    closed: JoinHandle<()>,
    codes: Option<Codes>,
    mcp: HttpServer,
}

impl Server {
    /// Opens the data directory, resumes the sessions in it, and serves the API.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        if !config.listen.ip().is_loopback() && config.tls.is_none() && !config.insecure_listen {
            return Err(StartError::InsecureListen(config.listen));
        }
        let tls = config.tls.as_ref().map(tls::acceptor).transpose()?;
        let room = open_files::raise_limit();
        memory_protection::protect();
        let db = Database::open(&config.data_dir)?;
        let listen = |error| StartError::Listen(config.listen, error);
        let listener = accept::listen(config.listen).map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let ports = env::open(&config, &db).await?;
        let tokens = Tokens::new(db.clone(), ports.env.clock.clone(), ports.env.ids.clone());
        files::token(&config.data_dir, &tokens).await?;
        let codes = config.console.then(|| Codes::new(tokens.clone(), ports.env.ids.clone()));
        let publisher = publisher(&config, &db, &ports).await?;
        let closed = ports.closed;
        let users = UserRequests::new(config.requests);
        let (stop, stopped) = watch::channel(false);
        let terminals = Terminals {
            env: ports.env.clone(),
            dial: ports.dial,
            channels: ports.channels,
            users: users.clone(),
            tokens: tokens.clone(),
            origins: config.terminal_origins.into(),
            open: Arc::default(),
            stopped: stopped.clone(),
        };
        let engine = Engine::new(ports.env, ports.store, ports.queue, ports.workflow);
        let engine = Arc::new(engine);
        let on_loopback = address.ip().is_loopback();
        let mcp = HttpServer::default();
        let routes = Routes {
            tokens,
            codes: codes.clone(),
            users,
            terminals: terminals.clone(),
            mcp: mcp.clone(),
        };
        let router = routes.router(&engine, on_loopback);
        let scheme = if tls.is_some() { "https" } else { "http" };
        let limits = config.connections;
        let connections = Connections::new(&limits, room, on_loopback);
        let acceptor = Acceptor { tls, router, connections, limits };
        let serving = tokio::spawn(acceptor.run(listener, stopped));
        let url = format!("{scheme}://{address}");
        terminals.channels.set_url(&url);
        files::announce(&config.data_dir, &url)?;
        let running = engine.run();
        tracing::info!(url, "listening on {url}");
        let data_dir = config.data_dir;
        Ok(Self {
            url,
            data_dir,
            db,
            engine,
            running,
            publisher,
            terminals,
            stop,
            serving,
            closed,
            codes,
            mcp,
        })
    }

    /// The URL of the API, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The path of the file with the token of the user `local`.
    pub fn token_path(&self) -> PathBuf {
        files::token_path(&self.data_dir)
    }

    /// The path of the file with the key that signs the events of all users.
    pub fn events_key_path(&self) -> PathBuf {
        files::events_key_path(&self.data_dir)
    }

    /// Whether the server has the console at its URL.
    pub const fn has_console(&self) -> bool {
        self.codes.is_some()
    }

    /// A one-time code by which the user `local` can sign in to the console within ten minutes.
    ///
    /// # Errors
    /// If the file of the token can't be read.
    pub fn console_code(&self) -> io::Result<Option<Secret<String>>> {
        let Some(codes) = &self.codes else { return Ok(None) };
        let token = std::fs::read_to_string(self.token_path())?;
        Ok(Some(codes.create(Secret::new(token.trim().to_owned()), Instant::now())))
    }

    /// The engine of the server.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Stops the server: takes no new work, and lets open work finish within seconds. Sessions and their
    /// shells are left to the next server on this data directory.
    ///
    /// # Errors
    /// If not all records could be written.
    pub async fn stop(self) -> Result<(), BackendError> {
        files::withdraw(&self.data_dir);
        self.stop.send_replace(true);
        self.terminals.close();
        self.mcp.close();
        let abort = self.serving.abort_handle();
        if timeout(STOP_TIMEOUT, self.serving).await.is_err() {
            abort.abort();
        }
        self.running.stop().await;
        self.publisher.stop().await;
        self.db.flush().await?;
        drop((self.engine, self.terminals));
        // The data directory must be free for the next server in this process.
        let _timed_out = timeout(STOP_TIMEOUT, self.closed).await;
        Ok(())
    }
}

/// Publishes the events of all users as configured.
async fn publisher(config: &Config, db: &Database, ports: &Ports) -> Result<Publisher, StartError> {
    let Ports { env, listeners, .. } = ports;
    let key = config.events.url.as_ref().map(|_| files::events_key(&config.data_dir, &*env.ids));
    let destinations = publish::destinations(&config.events, key.transpose()?, &env.clock)
        .map_err(|(path, error)| StartError::File(path, error))?;
    Ok(Publisher::start(db, listeners, destinations).await?)
}

/// What the routes of the server need.
struct Routes {
    tokens: Tokens,
    codes: Option<Codes>,
    users: UserRequests,
    terminals: Terminals,
    mcp: HttpServer,
}

impl Routes {
    fn router(self, engine: &Arc<Engine>, on_loopback: bool) -> Router {
        let data_channel = format!("{}{{id}}", data_channels::PATH);
        let metrics = get(metrics::handle).with_state((Arc::clone(engine), on_loopback));
        let limit = middleware::from_fn_with_state(self.users, users::limit);
        let api = handlers::http::router(engine.env().clone());
        let api_of_tools = api.clone().layer(limit.clone());
        let api = api.route("/metrics", metrics);
        let router = match self.codes {
            Some(codes) => console::mount(api, codes),
            None => api,
        };
        mcp::mount(router, self.mcp, api_of_tools)
            .layer(limit)
            .route(&data_channel, get(terminal::handle).with_state(self.terminals))
            .layer(middleware::from_fn_with_state(self.tokens, access::authenticate))
            .layer(middleware::from_fn_with_state(on_loopback, host::check))
    }
}

#[cfg(test)]
mod tests;
