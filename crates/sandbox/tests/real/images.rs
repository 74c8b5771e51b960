//! Sandboxes whose root is an image file.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use sandbox::{Driver, Image, OpenError};

use crate::host::{config, host_in, host_with, spec};

/// A tar as `docker save` writes it, with dash, cat and what they are linked to, and these
/// files or, if the name ends with a slash, directories.
pub(crate) fn saved_image(dir: &Path, image_config: &str, files: &[(&str, &str, u64)]) -> PathBuf {
    let mut layer = layer_with(&["/bin/sh", "/bin/cat", "/usr/bin/id"]);
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
    save(dir, image_config, layer)
}

/// An image with the programs that create users and change files, as an image of Debian has them. Returns
/// `None` and prints the reason if this host lacks one of them.
pub(crate) fn debian_like(dir: &Path) -> Option<PathBuf> {
    let programs = [
        "sh", "cat", "chmod", "chown", "cp", "id", "ln", "ls", "mkdir", "mkfifo", "mv", "rm",
        "stat", "su", "useradd",
    ];
    let dirs = ["/usr/sbin", "/usr/bin"].map(Path::new);
    let find = |name: &&str| dirs.iter().map(|dir| dir.join(name)).find(|path| path.exists());
    let found: Vec<PathBuf> = programs.iter().filter_map(find).collect();
    let modules = fs::read_dir("/usr/lib/x86_64-linux-gnu/security");
    let (true, Ok(modules)) = (found.len() == programs.len(), modules) else {
        println!("SKIPPED: this host lacks programs of Debian");
        return None;
    };
    let modules = modules.map(|entry| entry.unwrap().path());
    let files: Vec<PathBuf> = found.into_iter().chain(modules).collect();
    let files: Vec<&str> = files.iter().filter_map(|path| path.to_str()).collect();
    let mut layer = layer_with(&files);
    for dir in ["etc/pam.d", "etc/security"] {
        layer.append_dir_all(dir, Path::new("/").join(dir)).unwrap();
    }
    layer.append_path_with_name("/etc/login.defs", "etc/login.defs").unwrap();
    let etc: [(&str, &[u8], u32); 4] = [
        ("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n", 0o644),
        ("etc/group", b"root:x:0:\n", 0o644),
        ("etc/shadow", b"root:*:19000:0:99999:7:::\n", 0o600),
        ("etc/gshadow", b"root:*::\n", 0o600),
    ];
    for (name, content, mode) in etc {
        let mut header = tar::Header::new_gnu();
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(content.len().try_into().unwrap());
        header.set_mode(mode);
        layer.append_data(&mut header, name, content).unwrap();
    }
    Some(save(dir, "{}", layer))
}

/// A layer of a merged-usr root with these programs or libraries and what they are linked to.
fn layer_with(files: &[&str]) -> tar::Builder<Vec<u8>> {
    let mut layer = tar::Builder::new(Vec::new());
    layer.follow_symlinks(true);
    let mut added = BTreeSet::new();
    for file in files {
        let listed = Command::new("ldd").arg(file).output().unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        let libraries = listed.split_whitespace().filter(|word| word.starts_with('/'));
        for path in libraries.chain([*file]) {
            // On a merged-usr host, where /lib is a link.
            let merged = fs::canonicalize(path).unwrap().starts_with("/usr");
            let name = path.trim_start_matches('/');
            let name = if merged && !name.starts_with("usr") {
                format!("usr/{name}")
            } else {
                name.into()
            };
            if added.insert(name.clone()) {
                layer.append_path_with_name(path, name).unwrap();
            }
        }
    }
    for name in ["bin", "sbin", "lib", "lib64"] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mode(0o777);
        header.set_mtime(0);
        layer.append_link(&mut header, name, format!("usr/{name}")).unwrap();
    }
    layer
}

fn save(dir: &Path, image_config: &str, layer: tar::Builder<Vec<u8>>) -> PathBuf {
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
    assert!(done.stdout.contains("shelluser:*:1000:1000::/home/shelluser:/bin/sh\n"), "{done:?}");
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
fn an_image_on_a_file_system_without_idmapped_mounts_keeps_its_owners() {
    let dir = tempfile::tempdir().unwrap();
    let Some(image) = debian_like(dir.path()) else { return };
    // A mount namespace of this thread, which the driver's threads inherit.
    if !rustix::process::geteuid().is_root() {
        println!("SKIPPED: needs root");
        return;
    }
    own_mounts();
    let names = ["lower", "upper", "work", "data"].map(|name| dir.path().join(name));
    for name in &names {
        fs::create_dir(name).unwrap();
    }
    let [lower, upper, work, data] = names.each_ref().map(|path| path.display());
    let options = format!("lowerdir={lower},upperdir={upper},workdir={work}");
    let options = std::ffi::CString::new(options).unwrap();
    let none = rustix::mount::MountFlags::empty();
    rustix::mount::mount("overlay", data.to_string(), "overlay", none, options.as_c_str()).unwrap();

    let Some(host) = host_in(dir.path().join("data"), |config| config.image = Image::File(image))
    else {
        return;
    };
    let id = host.start(spec("copied"));
    let line = "stat -c '%u %a' / /usr/bin/cat /etc/shadow /home/shelluser; id -u; \
                cat /etc/shadow 2>/dev/null || echo denied";
    assert_eq!(host.sh(&id, line).stdout, "0 755\n0 755\n0 600\n1000 700\n1000\ndenied\n");
    let line = "echo x >> /etc/hosts; useradd service; chown service /usr/bin/cat; cat /etc/shadow | wc -l";
    assert_eq!(host.sh_as(&id, "root", line).stdout, "", "this image has no wc");
    let line = "stat -c %U /usr/bin/cat";
    assert_eq!(host.sh(&id, line).stdout, "service\n");
    host.stop(&id);
}

#[expect(unsafe_code, reason = "unshare is unsafe for the file descriptor table")]
fn own_mounts() {
    use rustix::mount::{MountPropagationFlags, mount_change};
    use rustix::thread::{UnshareFlags, unshare_unsafe};
    // SAFETY: a mount namespace affects neither descriptors nor memory.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.unwrap();
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
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
