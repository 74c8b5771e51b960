//! The interface of `rust-criu` that `libcontainer` compiles against. Sandboxes are never
//! checkpointed, so creating a [`Criu`] always fails, and no other method can be called.

use std::convert::Infallible;
use std::fmt;
use std::os::fd::RawFd;

/// How CRIU treats control groups; the values of its protocol.
#[derive(Clone, Debug)]
pub enum CgMode {
    IGNORE = 0,
    NONE = 1,
    PROPS = 2,
    SOFT = 3,
    FULL = 4,
    STRICT = 5,
    DEFAULT = 6,
}

/// Says that checkpoints are not supported.
#[derive(Clone, Copy, Debug)]
pub struct CriuError;

impl fmt::Display for CriuError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("checkpoints are not supported by this build")
    }
}

impl std::error::Error for CriuError {}

/// A connection to CRIU. No value of this type exists.
#[derive(Debug)]
pub struct Criu(Infallible);

impl Criu {
    /// Always fails.
    pub fn new() -> Result<Self, CriuError> {
        Err(CriuError)
    }

    pub fn get_criu_version(&mut self) -> Result<u32, CriuError> {
        match self.0 {}
    }

    pub fn dump(&mut self) -> Result<(), CriuError> {
        match self.0 {}
    }
}

/// Setters that `libcontainer` calls between `new` and `dump`.
macro_rules! setters {
    ($($name:ident($($argument:ident: $kind:ty),+);)+) => {
        impl Criu {$(
            pub fn $name(&mut self, $($argument: $kind),+) {
                let _ = ($($argument),+);
                match self.0 {}
            }
        )+}
    };
}

setters! {
    set_external_mount(key: String, value: String);
    add_external(external: String);
    set_images_dir_fd(fd: RawFd);
    set_work_dir_fd(fd: RawFd);
    set_log_file(file: String);
    set_log_level(level: i32);
    set_pid(pid: i32);
    set_leave_running(on: bool);
    set_ext_unix_sk(on: bool);
    set_shell_job(on: bool);
    set_tcp_established(on: bool);
    set_file_locks(on: bool);
    set_orphan_pts_master(on: bool);
    set_manage_cgroups(on: bool);
    set_root(path: String);
    cgroups_mode(mode: CgMode);
    set_link_remap(on: bool);
}

/// The key of a namespace in CRIU's options; used with a [`Criu`] only, so never called.
pub fn criu_ns_to_key(name: &str) -> String {
    format!("extRoot{name}NS")
}
