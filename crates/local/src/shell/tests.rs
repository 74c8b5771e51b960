use std::{
    fs,
    io::Write,
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use adapters::{
    clock::{MonotonicIds, SystemClock},
    shell::Dial,
};
use domain::{TaskId, ports::ShellError};
use parking_lot::Mutex;
use tokio::io::AsyncReadExt;

use super::{DataChannels, Tasks, UnixDial};

struct Host {
    socket: PathBuf,
    gone: bool,
    deadline: Mutex<Option<(TaskId, Duration)>>,
}

impl Tasks for Host {
    fn socket(&self, _: &TaskId) -> PathBuf {
        self.socket.clone()
    }

    fn is_gone(&self, _: &TaskId) -> bool {
        self.gone
    }

    fn memory_kills(&self, _: &TaskId) -> u64 {
        0
    }

    fn set_deadline(&self, task: &TaskId, after: Duration) {
        *self.deadline.lock() = Some((task.clone(), after));
    }
}

fn dial(socket: PathBuf, gone: bool) -> UnixDial {
    let channels = DataChannels::new(Arc::new(SystemClock), Arc::new(MonotonicIds::default()));
    UnixDial::new(Arc::new(Host { socket, gone, deadline: Mutex::default() }), channels)
}

#[tokio::test]
async fn the_host_is_told_the_deadline_too() {
    let host = Arc::new(Host { socket: PathBuf::new(), gone: false, deadline: Mutex::default() });
    let (task, after) = (TaskId::new("t"), Duration::from_secs(60));
    let channels = DataChannels::new(Arc::new(SystemClock), Arc::new(MonotonicIds::default()));
    UnixDial::new(host.clone(), channels).set_deadline(&task, after).await;
    assert_eq!(*host.deadline.lock(), Some((task, after)));
}

#[tokio::test]
async fn a_socket_with_a_long_path_is_reached() {
    let dir = tempfile::tempdir().unwrap();
    let long = dir.path().join("d".repeat(100)).join("e".repeat(100));
    fs::create_dir_all(&long).unwrap();
    // The kernel binds only to the short path.
    let short = dir.path().join("short");
    std::os::unix::fs::symlink(&long, &short).unwrap();
    let listener = UnixListener::bind(short.join("sock")).unwrap();
    let mut reached = dial(long.join("sock"), false).open(&TaskId::new("t")).await.unwrap();
    let (mut runner, _): (UnixStream, _) = listener.accept().unwrap();
    runner.write_all(b"here").unwrap();
    let mut received = [0; 4];
    reached.read_exact(&mut received).await.unwrap();
    assert_eq!(&received, b"here");
}

#[tokio::test]
async fn a_socket_without_a_listener_is_not_ready_or_gone_with_its_task() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("sock");
    let open = async |gone| dial(socket.clone(), gone).open(&TaskId::new("t")).await.err();
    assert!(matches!(open(false).await, Some(ShellError::NotReady)));
    assert!(matches!(open(true).await, Some(ShellError::Gone)));
    drop(UnixListener::bind(&socket).unwrap());
    assert!(matches!(open(false).await, Some(ShellError::NotReady)));
}
