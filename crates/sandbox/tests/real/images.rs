//! Sandboxes whose root is an image file.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use sandbox::{Driver, Image, OpenError};

use crate::host::{config, host_with, spec};

/// A tar as `docker save` writes it, with dash, cat and what they are linked to, and these
/// files or, if the name ends with a slash, directories.
fn saved_image(dir: &Path, image_config: &str, files: &[(&str, &str, u64)]) -> PathBuf {
    let mut layer = tar::Builder::new(Vec::new());
    layer.follow_symlinks(true);
    for program in ["/bin/sh", "/bin/cat", "/usr/bin/id"] {
        layer.append_path_with_name(program, program.trim_start_matches('/')).unwrap();
        let listed = Command::new("ldd").arg(program).output().unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        let libraries = listed.split_whitespace().filter(|word| word.starts_with('/'));
        for library in libraries {
            layer.append_path_with_name(library, library.trim_start_matches('/')).unwrap();
        }
    }
    for (name, content, uid) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len().try_into().unwrap());
        let is_directory = name.ends_with('/');
        header.set_entry_type(if is_directory {
            tar::EntryType::Directory
        } else {
            tar::EntryType::Regular
        });
        header.set_mode(if is_directory { 0o755 } else { 0o644 });
        header.set_uid(*uid);
        header.set_gid(*uid);
        layer.append_data(&mut header, name, content.as_bytes()).unwrap();
    }
    let layer = layer.into_inner().unwrap();
    let manifest = r#"[{"Config":"c.json","RepoTags":["x"],"Layers":["l/layer.tar"]}]"#;
    let path = dir.join("image.tar");
    let mut tar = tar::Builder::new(File::create(&path).unwrap());
    for (name, content) in [
        ("manifest.json", manifest.as_bytes()),
        ("c.json", image_config.as_bytes()),
        ("l/layer.tar", &layer),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len().try_into().unwrap());
        header.set_mode(0o644);
        tar.append_data(&mut header, name, content).unwrap();
    }
    tar.into_inner().unwrap().flush().unwrap();
    path
}

#[test]
fn a_sandbox_runs_from_a_docker_save_archive() {
    let dir = tempfile::tempdir().unwrap();
    let image = saved_image(dir.path(), "{}", &[]);
    let Some(host) = host_with(|config| config.image = Image::File(image)) else { return };
    let (one, two) = (host.start(spec("one")), host.start(spec("two")));
    let done = host.sh(&one, "cat /etc/passwd; echo \"$HOME\"; echo hi > ~/f; cat ~/f; ls");
    assert!(done.stdout.contains("shelluser:x:1000:1000::/home/shelluser:/bin/sh\n"), "{done:?}");
    assert!(done.stdout.ends_with("/home/shelluser\nhi\n"), "{done:?}");
    assert!(done.stderr.contains("ls: not found"), "{done:?}");
    let denied = host.sh(&one, "echo x > /etc/passwd || echo > /bin/x || echo denied");
    assert_eq!(denied.stdout, "denied\n");
    let written = host.sh(
        &one,
        "for d in /tmp /run /run/lock /var/log /var/tmp; do echo > $d/x || echo $d; done",
    );
    assert_eq!(written.stdout, "", "{}", written.stderr);
    assert!(matches!(host.client(&two).probe(), runner::protocol::Event::Ready { .. }));
    host.stop(&one);
    host.stop(&two);
}

/// Where commands of an image run, and as whom.
const WHERE: &str =
    "pwd; id -u; id -g; id -G; echo $HOME; cat ~/.profile; echo $PATH $COLOR $EPHEMERAL";

#[test]
fn commands_run_with_the_environment_directory_and_user_of_the_image() {
    let dir = tempfile::tempdir().unwrap();
    let passwd = "root:x:0:0::/root:/bin/sh\napp:x:1234:1235::/srv/app:/bin/sh\n";
    let group = "root:x:0:\napp:x:1235:\naudio:x:29:app\n";
    let config = r#"{"config":{"User":"app","WorkingDir":"/work","Env":["PATH=/x:/usr/bin:/bin","COLOR=a=b c","HOME=/srv/app"]}}"#;
    let files = [
        ("etc/passwd", passwd, 0),
        ("etc/group", group, 0),
        ("srv/app/", "", 1234),
        ("srv/app/.profile", "baked in\n", 1234),
        ("work/file", "content\n", 0),
    ];
    let image = saved_image(dir.path(), config, &files);
    let Some(host) = host_with(|config| config.image = Image::File(image)) else { return };
    let id = host.start(spec("settings"));
    let done = host.sh(&id, WHERE);
    let expected = "/work\n1234\n1235\n1235 29\n/srv/app\nbaked in\n/x:/usr/bin:/bin a=b c 1\n";
    assert_eq!(done.stdout, expected, "{}", done.stderr);
    let own = host.sh(&id, "cat file; echo > ~/new && echo wrote; env_of_pid_1=$(cat /proc/1/environ 2>&1) || echo hidden");
    assert_eq!(own.stdout, "content\nwrote\nhidden\n", "{}", own.stderr);
    let mut client = host.client(&id);
    let given = [("COLOR".to_owned(), "blue".to_owned())].to_vec();
    let done = client.run_with("echo $COLOR; pwd", |start| {
        start.env = given;
        start.cwd = Some("/srv".into());
    });
    assert_eq!(done.stdout, "blue\n/srv\n");
    host.stop(&id);
}

#[test]
fn a_user_without_an_entry_is_a_number_and_root_is_replaced() {
    for (user, ids) in [
        ("4321", "4321\n0\n"),
        ("4321:77", "4321\n77\n"),
        ("0", "1000\n1000\n"),
        ("root:root", "1000\n1000\n"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let config = format!(r#"{{"config":{{"User":"{user}","Env":null}}}}"#);
        let image = saved_image(dir.path(), &config, &[]);
        let Some(host) = host_with(|config| config.image = Image::File(image)) else { return };
        let id = host.start(spec("numbers"));
        let done = host.sh(&id, "id -u; id -g; id -un");
        assert_eq!(done.stdout, format!("{ids}shelluser\n"), "{user}: {}", done.stderr);
        host.stop(&id);
    }
}

#[test]
fn a_user_that_the_image_does_not_know_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(&dir.path().join("root"));
    let image = saved_image(dir.path(), r#"{"config":{"User":"nobody-knows"}}"#, &[]);
    config.image = Image::File(image);
    match Driver::open(config, |_| {}) {
        Err(OpenError::Image(error)) => {
            assert!(error.to_string().contains("nobody-knows"), "{error}")
        }
        Err(OpenError::Unsupported(reason)) => println!("SKIPPED: {reason}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_driver_does_not_open_with_a_file_that_is_not_an_image() {
    let dir = tempfile::tempdir().unwrap();
    let none = dir.path().join("none.tar");
    std::fs::write(&none, "not an image").unwrap();
    let mut config = config(&dir.path().join("root"));
    config.image = Image::File(none);
    let refused = Driver::open(config, |_| {});
    assert!(matches!(refused, Err(OpenError::Image(_) | OpenError::Unsupported(_))), "{refused:?}");
}
