//! What AWS's agent is in a container: a command on a terminal, carried over a data channel.

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::OwnedFd,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use ssm::server::{Event, Input, Output};
use tokio::io::AsyncWriteExt;

/// Of output, in one message.
const CHUNK: usize = 1024;

/// Runs the command until it ends or its terminal is closed.
pub(crate) fn run(mut command: Command, input: Input, output: Output) -> Child {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let inner = || -> Stdio {
        let open = File::options().read(true).write(true).open(name.to_str().unwrap());
        OwnedFd::from(open.unwrap()).into()
    };
    let child = command.stdin(inner()).stdout(inner()).stderr(inner()).spawn().unwrap();
    let terminal = File::from(terminal);
    print(terminal.try_clone().unwrap(), output);
    enter(terminal, input);
    child
}

fn print(mut terminal: File, mut output: Output) {
    let (send, mut printed) = tokio::sync::mpsc::channel::<Vec<u8>>(1);
    thread::spawn(move || {
        let mut piece = [0; CHUNK];
        // An error is how a terminal says that nobody has its other end open.
        while let Ok(count @ 1..) = terminal.read(&mut piece) {
            if send.blocking_send(piece[..count].to_vec()).is_err() {
                break;
            }
        }
    });
    tokio::spawn(async move {
        while let Some(piece) = printed.recv().await {
            if output.write_all(&piece).await.is_err() {
                break;
            }
        }
    });
}

fn enter(mut terminal: File, mut input: Input) {
    let (send, typed) = mpsc::channel::<Vec<u8>>();
    thread::spawn(move || {
        while let Ok(bytes) = typed.recv() {
            if terminal.write_all(&bytes).is_err() {
                break;
            }
        }
    });
    tokio::spawn(async move {
        while let Some(event) = input.next().await {
            if let Event::Bytes(bytes) = event
                && send.send(bytes.to_vec()).is_err()
            {
                break;
            }
        }
    });
}
