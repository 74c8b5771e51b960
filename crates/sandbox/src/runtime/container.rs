//! The built-in runtime: `libcontainer`, and our own seccomp filter.
//!
//! libcontainer's filter needs the C library libseccomp at build time; ours needs only cargo.

use std::path::Path;

use libcontainer::container::builder::ContainerBuilder;
use libcontainer::oci_spec::runtime::Spec;
use libcontainer::syscall::syscall::SyscallType;
use libcontainer::workload::default::{DefaultExecutor, get_executor};
use libcontainer::workload::{Executor, ExecutorError, ExecutorValidationError};

use super::{AnyError, PID_FILE, STATE_DIR};
use crate::seccomp;

/// Makes the container of the bundle in `dir` and starts it.
pub(super) fn run(id: &str, dir: &Path) -> Result<(), AnyError> {
    let mut container = ContainerBuilder::new(id.to_owned(), SyscallType::default())
        .with_executor(Confined)
        .with_root_path(dir.join(STATE_DIR))?
        .with_pid_file(Some(dir.join(PID_FILE)))?
        .as_init(dir)
        .with_systemd(false)
        .with_detach(true)
        .build()?;
    container.start()?;
    Ok(())
}

/// Executes as libcontainer does, with the filter in force from the last step on.
#[derive(Clone)]
struct Confined;

impl Executor for Confined {
    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        seccomp::confine()?;
        get_executor().exec(spec)
    }

    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        DefaultExecutor {}.validate(spec)
    }
}
