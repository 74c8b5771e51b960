//! A temporary server in this process, for one command.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use local::{
    config::{Config, Egress, Image, Program, Runtime, Sandbox},
    sandbox::OpenError,
    server::{Server, StartError},
};
use tempfile::TempDir;

use crate::{
    args::{self, Isolation},
    error::{CliError, Exit},
    find_server::Address,
};

/// The beginning of the names of temporary directories of servers.
const PREFIX: &str = "ephemeral-";
/// The longest time until a new server has locked its directory.
const LOCKED_WITHIN: Duration = Duration::from_secs(5);

/// A server whose data is removed when it is stopped.
pub(crate) struct Embedded {
    server: Server,
    dir: TempDir,
}

impl Embedded {
    pub(crate) async fn start(
        isolation: &Isolation,
        image: Option<PathBuf>,
    ) -> Result<Self, CliError> {
        let created = tempfile::Builder::new().prefix(PREFIX).tempdir();
        let dir = created
            .map_err(|error| CliError::chain("can't create a temporary directory", &error))?;
        // Nothing depends on its result, and it may go on beside the server.
        let own = fs::metadata(dir.path()).map(|found| found.uid());
        drop(own.map(|own| tokio::task::spawn_blocking(move || remove_abandoned(own))));
        let mut config = Config::new(dir.path().to_owned(), sandbox(isolation, image)?);
        config.listen.set_port(0);
        config.end_with_server = true;
        config.prepared = 0;
        let server = Server::start(config).await.map_err(|error| start_failed(&error))?;
        Ok(Self { server, dir })
    }

    /// Its URL and token.
    pub(crate) fn address(&self) -> Result<Address, CliError> {
        let url = self.server.url().to_owned();
        let token = std::fs::read_to_string(self.server.token_path()).map_err(|error| {
            CliError::chain("can't read the token of the temporary server", &error)
        })?;
        Ok(Address { url, token: token.trim().to_owned() })
    }

    /// Stops it and removes its data.
    pub(crate) async fn stop(self) -> Result<(), CliError> {
        let stopped = self.server.stop().await;
        let removed = self.dir.close();
        stopped.map_err(|error| CliError::chain("the temporary server did not stop", &error))?;
        removed.map_err(|error| {
            CliError::chain("can't remove the data of the temporary server", &error)
        })
    }
}

/// Removes what temporary servers have left that were killed. Their shells have ended by themselves.
fn remove_abandoned(own_uid: u32) {
    let entries = fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
        let dir = entry.path();
        if let Err(error) = remove_if_abandoned(&dir, own_uid) {
            let error: &dyn std::error::Error = &error;
            tracing::debug!(error, dir = %dir.display(), "failed to remove an abandoned directory");
        }
    }
}

fn remove_if_abandoned(dir: &Path, own_uid: u32) -> io::Result<()> {
    let sandboxes = dir.join("sandboxes");
    // A server locks the file right after it has created it.
    let Ok(lock) = fs::symlink_metadata(sandboxes.join("lock")) else { return Ok(()) };
    let is_old = lock.modified()?.elapsed().is_ok_and(|age| age > LOCKED_WITHIN);
    // Others may have made such a directory in order to have ours removed.
    let found = fs::symlink_metadata(dir)?;
    let is_ours = found.is_dir() && found.uid() == own_uid;
    if is_old && is_ours && local::sandbox::remove_abandoned(&sandboxes)? {
        fs::remove_dir_all(dir)?;
    }
    Ok(())
}

/// The sandbox configuration that the options select.
pub(crate) fn sandbox(isolation: &Isolation, image: Option<PathBuf>) -> Result<Sandbox, CliError> {
    let exe = std::env::current_exe()
        .map_err(|error| CliError::chain("can't find the path of this program", &error))?;
    let runtime = match (isolation.sandbox, &isolation.runtime) {
        (args::Sandbox::None, _) => Runtime::Bare,
        (args::Sandbox::Oci, Some(path)) => {
            Runtime::Program(Program { path: path.clone(), args: isolation.runtime_arg.clone() })
        }
        (args::Sandbox::Oci, None) => Runtime::BuiltIn,
    };
    let image = image.map_or(Image::Host, Image::File);
    let allow_root = isolation.root == args::Root::Allow;
    Ok(Sandbox { exe, runtime, image, uid_range: isolation.uid_range, allow_root })
}

/// What the option `--network` of a server selects.
pub(crate) fn egress(network: args::Reach) -> Egress {
    match network {
        args::Reach::None => Egress::None,
        args::Reach::Public => Egress::Public,
        args::Reach::Any => Egress::Any,
    }
}

/// The error for a server that did not start, with what to do about it.
pub(crate) fn start_failed(cause: &StartError) -> CliError {
    let error = CliError::chain("the server did not start", cause);
    match cause {
        StartError::Sandbox(OpenError::Unsupported(_)) => {
            error.hint("run `ephemeral doctor` to see what this machine lacks")
        }
        StartError::Sandbox(OpenError::Image(_)) => {
            error.hint("create a suitable file with `docker save IMAGE -o FILE`")
        }
        StartError::Listen(..) => error.hint(
            "check whether a server is running already; `--listen 127.0.0.1:0` uses any free port",
        ),
        StartError::InsecureListen(_) => error
            .with_exit(Exit::Usage)
            .hint("give --tls-cert and --tls-key, or --insecure-listen on a trusted network"),
        StartError::Database(_) => {
            error.hint("choose another --data-dir, or stop the server that uses this one")
        }
        StartError::Sandbox(_)
        | StartError::Tls(..)
        | StartError::File(..)
        | StartError::Backend(_) => error,
    }
}
