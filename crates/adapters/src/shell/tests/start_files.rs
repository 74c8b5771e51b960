//! Files of a start.

use domain::{
    file::{FileRefusal, NewFile},
    ports::FilesError,
};

use super::*;

fn file(path: String, mode: Option<u32>, base64: &str) -> NewFile {
    NewFile { path, mode, base64: base64.into() }
}

/// A runner, and a directory that the users of commands and of files may write to; it ends with the runner.
async fn writable() -> Option<(Runner, String)> {
    let runner = Runner::of(RealRunner::start_apart()?, Duration::ZERO);
    let (dir, ..) = runner.run("a", "dir=$(mktemp -d); chmod 777 $dir; echo $dir").await;
    Some((runner, dir.trim().to_owned()))
}

#[tokio::test]
async fn files_are_written_with_their_modes_and_again() {
    let Some((runner, dir)) = writable().await else { return };
    let mut files = vec![file(format!("{dir}/sub/empty"), Some(0o600), "")];
    files.extend((0..15).map(|number| file(format!("{dir}/{number}"), None, "aGVsbG8K")));
    for _ in 0..2 {
        runner.shell.write_files(&task(), &files).await.unwrap();
    }
    let line = format!("cd {dir}; stat -c '%a %s' sub/empty 3; cat [0-9]* | uniq -c");
    let (shown, ..) = runner.run("b", &line).await;
    let shown: Vec<_> = shown.lines().map(str::trim).collect();
    assert_eq!(shown, ["600 0", "644 6", "15 hello"]);
}

#[tokio::test]
async fn a_refused_file_is_named_by_its_path() {
    let Some((runner, dir)) = writable().await else { return };
    for (path, refusal) in [
        (format!("{dir}/good/below"), FileRefusal::NotADirectory),
        (dir.clone(), FileRefusal::NotAFile),
        ("/proc/self/new".to_owned(), FileRefusal::NotAFile),
        ("/dev/zero".to_owned(), FileRefusal::NotAFile),
    ] {
        let files = [file(format!("{dir}/good"), None, "eA=="), file(path.clone(), None, "eA==")];
        runner.shell.write_files(&task(), &files[..1]).await.unwrap();
        match runner.shell.write_files(&task(), &files).await {
            Err(FilesError::Refused(why, message)) => {
                assert_eq!(why, refusal, "{path}: {message}");
                assert!(message.starts_with(&format!("{path}: ")), "{message}");
            }
            other => panic!("{path}: {other:?}"),
        }
    }
}
