//! A server of our own, in this process, for one command.

use std::path::PathBuf;

use local::{
    config::{Config, Image, Runtime, Sandbox},
    sandbox::OpenError,
    server::{Server, StartError},
};
use tempfile::TempDir;

use crate::{
    args::{self, Place},
    failure::{Exit, Failure},
    find::Address,
};

/// A server that is gone with all its data when it is stopped.
pub(crate) struct Embedded {
    server: Server,
    dir: TempDir,
}

impl Embedded {
    pub(crate) async fn start(place: &Place, image: Option<PathBuf>) -> Result<Self, Failure> {
        let made = tempfile::Builder::new().prefix("ephemeral-").tempdir();
        let dir = made.map_err(|error| Failure::chain("can't make a directory", &error))?;
        let mut config = Config::new(dir.path().to_owned(), sandbox(place, image)?);
        config.listen.set_port(0);
        let server = Server::start(config).await.map_err(|error| refused(&error))?;
        Ok(Self { server, dir })
    }

    /// Where it is.
    pub(crate) fn address(&self) -> Result<Address, Failure> {
        let url = self.server.url().to_owned();
        let token = std::fs::read_to_string(self.server.token_path())
            .map_err(|error| Failure::chain("can't read our own token", &error))?;
        Ok(Address { url, token: token.trim().to_owned() })
    }

    /// Ends it and removes its data.
    pub(crate) async fn stop(self) -> Result<(), Failure> {
        let stopped = self.server.stop().await;
        let removed = self.dir.close();
        stopped.map_err(|error| Failure::chain("our server did not stop", &error))?;
        removed.map_err(|error| Failure::chain("can't remove our server's data", &error))
    }
}

/// How shells are kept apart, as the options say.
pub(crate) fn sandbox(place: &Place, image: Option<PathBuf>) -> Result<Sandbox, Failure> {
    let exe = std::env::current_exe()
        .map_err(|error| Failure::chain("can't find our own program", &error))?;
    let runtime = match (place.sandbox, &place.runtime) {
        (args::Sandbox::None, _) => Runtime::Bare,
        (args::Sandbox::Oci, Some(program)) => Runtime::Program(program.clone()),
        (args::Sandbox::Oci, None) => Runtime::BuiltIn,
    };
    let image = image.map_or(Image::Host, Image::File);
    Ok(Sandbox { exe, runtime, image })
}

/// Why a server did not start, and what to do about it.
pub(crate) fn refused(error: &StartError) -> Failure {
    let failure = Failure::chain("the server did not start", error);
    match error {
        StartError::Sandbox(OpenError::Unfit(_)) => {
            failure.hint("`ephemeral doctor` says what this machine lacks")
        }
        StartError::Sandbox(OpenError::Image(_)) => {
            failure.hint("`docker save IMAGE -o FILE` makes a file that fits")
        }
        StartError::Listen(..) => {
            failure.hint("is a server running already? `--listen 127.0.0.1:0` takes any free port")
        }
        StartError::InsecureListen(_) => failure
            .with_exit(Exit::Usage)
            .hint("give --tls-cert and --tls-key, or --insecure-listen if the network is yours"),
        StartError::Database(_) => failure.hint("choose another --data-dir, or stop that server"),
        StartError::Sandbox(_)
        | StartError::Tls(..)
        | StartError::File(..)
        | StartError::Backend(_) => failure,
    }
}
