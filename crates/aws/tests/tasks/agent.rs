//! A fake of the ECS Exec agent in a container: a command on a terminal, connected to a data channel.

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

/// Bytes of output in one message.
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
    forward_output(terminal.try_clone().unwrap(), output);
    forward_input(terminal, input);
    child
}

fn forward_output(mut terminal: File, mut output: Output) {
    let (send, mut printed) = tokio::sync::mpsc::channel::<Vec<u8>>(1);
    thread::spawn(move || {
        let mut buffer = [0; CHUNK];
        // A terminal reports by an error that its other end is closed.
        while let Ok(count @ 1..) = terminal.read(&mut buffer) {
            if send.blocking_send(buffer[..count].to_vec()).is_err() {
                break;
            }
        }
    });
    tokio::spawn(async move {
        while let Some(buffer) = printed.recv().await {
            if output.write_all(&buffer).await.is_err() {
                break;
            }
        }
    });
}

fn forward_input(mut terminal: File, mut input: Input) {
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
