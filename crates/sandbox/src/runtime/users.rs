//! The user namespaces of a sandbox whose server is root: user_namespaces(7).
//!
//! There are two. The outer one, in which PID 1 runs, has all ids of the sandbox's block. The inner one
//! below it, which commands enter, lacks the id of PID 1. So root among the commands has no rights over
//! PID 1, nor over any other namespace of the sandbox, all of which belong to the outer one.
//!
//! Both are created by a process with the sandbox's own uid: the kernel counts what the users of a
//! namespace have (inotify instances, pending signals, message queues, ...) for its creator too.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::fs::Gid;
use rustix::process::{DumpableBehavior, Pid, Uid, WaitOptions, set_dumpable_behavior, waitpid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, LinkNameSpaceType, UnshareFlags, move_into_link_name_space,
    set_capabilities, set_keep_capabilities, set_thread_groups, set_thread_res_gid,
    set_thread_res_uid,
};

use super::AnyError;
use super::namespaces::unshare;
use crate::uid_range::{BLOCK, Block};

/// The two user namespaces of a sandbox.
#[derive(Debug)]
pub(super) struct UserNamespaces {
    outer: OwnedFd,
    inner: OwnedFd,
}

/// Namespaces that another process is creating meanwhile.
#[derive(Debug)]
pub(super) struct NewUserNamespaces {
    block: Block,
    child: Child,
}

impl NewUserNamespaces {
    pub(super) fn start(block: Block) -> Result<Self, AnyError> {
        Ok(Self { block, child: Child::start(|parent| make_outer(block, parent))? })
    }

    pub(super) fn finish(self) -> Result<UserNamespaces, AnyError> {
        let first = self.block.runner();
        let created = self.child.finish(|pid, channel| {
            receive(channel)?;
            write_maps(pid, &format!("0 {first} {BLOCK}"))?;
            send(channel, 0)?;
            let inner = Pid::from_raw(receive(channel)?).ok_or(io::ErrorKind::InvalidData)?;
            Ok(UserNamespaces { outer: namespace_of(pid)?, inner: namespace_of(inner)? })
        });
        created.map_err(|error| format!("failed to create user namespaces: {error}").into())
    }
}

impl UserNamespaces {
    /// The namespace of commands.
    pub(super) fn inner(&self) -> &OwnedFd {
        &self.inner
    }

    /// Makes this process root in the outer namespace.
    pub(super) fn enter(&self) -> io::Result<()> {
        move_into_link_name_space(self.outer.as_fd(), Some(LinkNameSpaceType::User))?;
        set_thread_groups(&[])?;
        set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT)?;
        set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)?;
        // The change has made the files of this process in /proc root's.
        Ok(set_dumpable_behavior(DumpableBehavior::Dumpable)?)
    }
}

/// The child: enters the outer namespace, and creates the inner one by a child of its own, because only a
/// process in the outer namespace can write the map of the inner one.
fn make_outer(block: Block, parent: &mut UnixStream) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(block.runner()), Gid::from_raw(block.runner()));
    set_thread_groups(&[])?;
    set_thread_res_gid(gid, gid, gid)?;
    // Some distributions let only privileged processes create a user namespace.
    set_keep_capabilities(true)?;
    set_thread_res_uid(uid, uid, uid)?;
    let kept = CapabilitySet::SYS_ADMIN;
    let inheritable = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, inheritable })?;
    // Otherwise the files of its child in /proc would be root's.
    set_dumpable_behavior(DumpableBehavior::Dumpable)?;
    unshare(UnshareFlags::NEWUSER).map_err(io::Error::other)?;
    send(parent, 0)?;
    receive(parent)?;
    Child::start(make_inner)?.finish(|pid, child| {
        receive(child)?;
        write_maps(pid, &format!("0 1 {}", BLOCK - 1))?;
        send(parent, pid.as_raw_nonzero().get())?;
        wait_for_close(parent)
    })
}

fn make_inner(parent: &mut UnixStream) -> io::Result<()> {
    unshare(UnshareFlags::NEWUSER).map_err(io::Error::other)?;
    send(parent, 0)?;
    wait_for_close(parent)
}

fn write_maps(pid: Pid, map: &str) -> io::Result<()> {
    ["uid_map", "gid_map"].iter().try_for_each(|file| fs::write(format!("/proc/{pid}/{file}"), map))
}

fn namespace_of(pid: Pid) -> io::Result<OwnedFd> {
    Ok(File::open(format!("/proc/{pid}/ns/user"))?.into())
}

fn send(channel: &mut UnixStream, number: i32) -> io::Result<()> {
    channel.write_all(&number.to_ne_bytes())
}

fn receive(channel: &mut UnixStream) -> io::Result<i32> {
    let mut bytes = [0; size_of::<i32>()];
    match channel.read_exact(&mut bytes) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(io::Error::other(
            "the kernel does not permit them; see the sysctl user.max_user_namespaces",
        )),
        done => done.map(|()| i32::from_ne_bytes(bytes)),
    }
}

fn wait_for_close(channel: &mut UnixStream) -> io::Result<()> {
    channel.read_to_end(&mut Vec::new()).map(drop)
}

/// A forked process that is connected with this one, and ends when its side is closed.
#[derive(Debug)]
struct Child {
    pid: Pid,
    channel: UnixStream,
}

impl Child {
    fn start(run: impl FnOnce(&mut UnixStream) -> io::Result<()>) -> io::Result<Self> {
        let (own, mut its) = UnixStream::pair()?;
        let Some(pid) = fork()? else {
            drop(own);
            // The parent sees a failure by the closed channel.
            let _ = run(&mut its);
            exit();
        };
        Ok(Self { pid, channel: own })
    }

    /// Talks with the process, and ends it.
    fn finish<T>(
        mut self,
        talk: impl FnOnce(Pid, &mut UnixStream) -> io::Result<T>,
    ) -> io::Result<T> {
        let done = talk(self.pid, &mut self.channel);
        drop(self.channel);
        waitpid(Some(self.pid), WaitOptions::empty())?;
        done
    }
}

/// Forks this process, which has a single thread. Returns `None` in the child.
#[expect(unsafe_code, reason = "neither std nor rustix can fork")]
fn fork() -> io::Result<Option<Pid>> {
    // SAFETY: with a single thread no lock is held by another one, so the child may go on as the parent
    // could.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        pid => Ok(Pid::from_raw(pid)),
    }
}

/// Ends the child without running destructors, whose effects belong to its parent.
#[expect(unsafe_code, reason = "std has no function for it")]
fn exit() -> ! {
    // SAFETY: takes a plain number and does not return.
    unsafe { libc::_exit(0) }
}
