//! Sandboxes whose root is an image file.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use sandbox::{Driver, Image, OpenError};

use crate::host::{config, host_with, spec};

/// A tar as `docker save` writes it, with dash, cat and what they are linked to.
pub(crate) fn saved_image(dir: &Path) -> PathBuf {
    let mut layer = tar::Builder::new(Vec::new());
    layer.follow_symlinks(true);
    for program in ["/bin/sh", "/bin/cat"] {
        layer.append_path_with_name(program, program.trim_start_matches('/')).unwrap();
        let listed = Command::new("ldd").arg(program).output().unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        let libraries = listed.split_whitespace().filter(|word| word.starts_with('/'));
        for library in libraries {
            layer.append_path_with_name(library, library.trim_start_matches('/')).unwrap();
        }
    }
    let layer = layer.into_inner().unwrap();
    let manifest = r#"[{"Config":"c.json","RepoTags":["x"],"Layers":["l/layer.tar"]}]"#;
    let path = dir.join("image.tar");
    let mut tar = tar::Builder::new(File::create(&path).unwrap());
    for (name, content) in
        [("manifest.json", manifest.as_bytes()), ("c.json", b"{}"), ("l/layer.tar", &layer)]
    {
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
    let image = saved_image(dir.path());
    let Some(host) = host_with(|config| config.image = Image::File(image)) else { return };
    let (one, two) = (host.start(spec("one")), host.start(spec("two")));
    let done = host.sh(&one, "cat /etc/passwd; echo \"$HOME\"; echo hi > ~/f; cat ~/f; ls");
    assert!(done.stdout.contains("shelluser:x:1000:1000::/home/shelluser:/bin/sh\n"), "{done:?}");
    assert!(done.stdout.ends_with("/home/shelluser\nhi\n"), "{done:?}");
    assert!(done.stderr.contains("ls: not found"), "{done:?}");
    let denied = host.sh(&one, "echo x > /etc/passwd || echo > /bin/x || echo denied");
    assert_eq!(denied.stdout, "denied\n");
    assert!(matches!(host.client(&two).probe(), runner::protocol::Event::Ready { .. }));
    host.stop(&one);
    host.stop(&two);
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
