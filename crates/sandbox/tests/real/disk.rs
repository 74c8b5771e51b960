//! The disk of a sandbox.

use std::fs;
use std::path::Path;

use runner::protocol::Cause;
use sandbox::{Image, TaskSpec};

use crate::host::{Host, host, host_with, spec};

/// A host whose disks are images; `None` with the reason where they are not.
fn host_with_disks(host: Option<Host>) -> Option<Host> {
    let host = host?;
    if host.driver().has_disks() {
        return Some(host);
    }
    println!("SKIPPED: the disks of this host are held in memory");
    None
}

/// The loop devices of images below this directory.
fn loop_devices(dir: &Path) -> Vec<String> {
    let devices = fs::read_dir("/sys/block").unwrap().flatten();
    let files = devices.map(|device| fs::read_to_string(device.path().join("loop/backing_file")));
    files.flatten().filter(|file| file.starts_with(dir.to_str().unwrap())).collect()
}

#[test]
fn a_disk_larger_than_the_memory_is_filled_without_killing_anything() {
    let Some(host) = host_with_disks(host()) else { return };
    let id = host.start(TaskSpec { memory_mib: 64, disk_mib: 256, ..spec("disk") });
    let size = host.sh(&id, "df --output=size -B1M /tmp ~ /var/tmp | tail -3 | tr -s ' \\n' ' '");
    let sizes: Vec<u32> = size.stdout.split_whitespace().map(|one| one.parse().unwrap()).collect();
    assert!(sizes.len() == 3 && sizes.iter().all(|size| (230..=256).contains(size)), "{size:?}");

    let most = host.sh(&id, "head -c 150M /dev/zero > /tmp/a && echo ok");
    assert_eq!((most.stdout.as_str(), most.stderr.as_str()), ("ok\n", ""));
    let rest = host.sh(&id, "head -c 150M /dev/zero > ~/b; echo $?");
    assert!(rest.stderr.contains("No space left"), "{rest:?}");
    assert_eq!((rest.stdout.as_str(), &rest.exit.cause), ("1\n", &Cause::Exited { code: 0 }));
    assert_eq!(host.driver().oom_kills(&id), 0);

    let again = host.sh(&id, "rm /tmp/a ~/b && echo text > /tmp/a && cat /tmp/a");
    assert_eq!(again.stdout, "text\n");
    assert_eq!(loop_devices(host.dir.path()).len(), 1);
    host.stop(&id);
    let gone = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while !loop_devices(host.dir.path()).is_empty() {
        assert!(std::time::Instant::now() < gone, "a loop device is left");
        std::thread::yield_now();
    }
}

#[test]
fn disks_start_empty_and_belong_to_one_sandbox() {
    let Some(host) = host_with_disks(host()) else { return };
    let one = host.start(TaskSpec { disk_mib: 64, ..spec("disk-a") });
    let other = host.start(TaskSpec { disk_mib: 64, ..spec("disk-b") });
    assert_eq!(
        host.sh(&one, "ls -A /tmp ~ | wc -l; echo secret > /tmp/a").exit.cause,
        Cause::Exited { code: 0 }
    );
    assert_eq!(host.sh(&other, "ls -A /tmp").stdout, "");
    let devices = host.sh(&other, "find /dev -type b; mount | grep -c 'ext4.*nosuid.*nodev'");
    assert!(!devices.stdout.contains("/dev/"), "{devices:?}");
    host.stop(&one);
    let third = host.start(TaskSpec { disk_mib: 64, ..spec("disk-c") });
    assert_eq!(host.sh(&third, "cat /tmp/*; ls -A /tmp").stdout, "");
    host.stop(&other);
    host.stop(&third);
}

#[test]
fn what_is_written_to_an_image_is_on_the_same_disk() {
    let images = tempfile::tempdir().unwrap();
    let image = crate::images::saved_image(images.path(), "{}", &[]);
    let host = host_with(|config| config.image = Image::File(image));
    let Some(host) = host_with_disks(host) else { return };
    let id = host.start(TaskSpec { memory_mib: 64, disk_mib: 64, ..spec("disk-image") });
    let mounts = host.sh(&id, "cat /proc/self/mounts").stdout;
    let root = mounts.lines().find(|line| line.starts_with("overlay / ")).unwrap();
    let upper = format!("upperdir={}", host.dir.path().join(id.as_str()).join("scratch").display());
    assert!(root.contains(&upper), "{root}");
    for point in ["/tmp", "/home/shelluser"] {
        assert!(
            !mounts.contains(&format!(" {point} ")),
            "{point} is on the disk of the root: {mounts}"
        );
    }
    let full = host.sh(&id, "cat /dev/zero > /tmp/large || echo full");
    assert_eq!(full.stdout, "full\n", "{}", full.stderr);
    host.stop(&id);
}
