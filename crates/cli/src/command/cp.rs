//! `cp`: copies a file or a directory to or from a shell.

use std::{ffi::OsString, path::Path, process::ExitCode};

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};

use self::place::{Place, Remote};
use super::Context;
use crate::{
    args::Cp,
    client::Client,
    error::{CliError, Exit},
    interrupt::Interrupt,
};

mod chunks;
mod download;
mod place;
mod tree;
mod upload;

pub(super) async fn cp(context: &Context, args: Cp) -> Result<ExitCode, CliError> {
    let mut interrupt = Interrupt::listen()?;
    let Cp { recursive, source, target } = args;
    let places = (Place::parse(source), Place::parse(target));
    let copied = async {
        match places {
            (Place::Local(from), Place::Remote(to)) => {
                upload::file_or_tree(context, &from, &to, recursive).await
            }
            (Place::Pipe, Place::Remote(to)) => upload::standard_input(context, &to).await,
            (Place::Remote(from), Place::Local(to)) => {
                download::file_or_tree(context, &from, &to, recursive).await
            }
            (Place::Remote(from), Place::Pipe) => download::standard_output(context, &from).await,
            (Place::Remote(_), Place::Remote(_)) => Err(usage("both places are in shells")),
            (Place::Local(_) | Place::Pipe, Place::Local(_) | Place::Pipe) => {
                Err(usage("neither place is in a shell"))
            }
        }
    };
    // What is not complete is removed when the future is dropped, on either side.
    tokio::select! {
        copied = copied => copied.map(|()| ExitCode::SUCCESS),
        signal = interrupt.received() => Ok(ExitCode::from(signal.exit())),
    }
}

fn usage(problem: &str) -> CliError {
    CliError::new(Exit::Usage, problem)
        .hint("name one of them ID:PATH, such as sh_01J…:notes.txt; a file is ./sh_01J…:notes.txt")
}

/// The route for the files of a shell.
fn route(remote: &Remote, kind: &str) -> String {
    let path = percent_encode(remote.path.as_encoded_bytes(), NON_ALPHANUMERIC);
    format!("/sessions/{}/files{kind}?path={path}", remote.shell)
}

/// Whether the path leads to a directory; false if nothing is there.
async fn is_directory(client: &Client, remote: &Remote) -> Result<bool, CliError> {
    let listed = client.list(&format!("{}&limit=1", route(remote, "/list"))).await;
    match listed {
        Ok(_) => Ok(true),
        Err(error) if error.is_code("path_not_found") || error.is_code("not_a_directory") => {
            Ok(false)
        }
        Err(error) => Err(remote.error(error)),
    }
}

/// The last name of a path, if it has one: `.` and `..` are none.
fn name(path: &Path) -> Option<OsString> {
    path.file_name()
        .map(OsString::from)
        .filter(|_| !path.as_os_str().as_encoded_bytes().ends_with(b"/."))
}
