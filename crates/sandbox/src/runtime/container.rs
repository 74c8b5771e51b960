//! The built-in runtime: `libcontainer` with the seccomp filter of this crate, because libcontainer's
//! own filter needs the C library libseccomp at build time.

use std::path::Path;

use libcontainer::container::builder::ContainerBuilder;
use libcontainer::oci_spec::runtime::Spec;
use libcontainer::syscall::syscall::SyscallType;
use libcontainer::workload::default::{DefaultExecutor, get_executor};
use libcontainer::workload::{Executor, ExecutorError, ExecutorValidationError};

use super::{AnyError, PID_FILE, STATE_DIR};
use crate::seccomp;

/// Creates and starts the container of the bundle in `dir`.
pub(super) fn run(id: &str, dir: &Path) -> Result<(), AnyError> {
    let mut container = ContainerBuilder::new(id.to_owned(), SyscallType::default())
        .with_executor(SeccompExecutor)
        .with_root_path(dir.join(STATE_DIR))?
        .with_pid_file(Some(dir.join(PID_FILE)))?
        .as_init(dir)
        .with_systemd(false)
        .with_detach(true)
        .build()?;
    container.start()?;
    Ok(())
}

/// Installs the seccomp filter right before libcontainer executes the container's process.
#[derive(Clone)]
struct SeccompExecutor;

impl Executor for SeccompExecutor {
    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        seccomp::confine()?;
        get_executor().exec(spec)
    }

    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        DefaultExecutor {}.validate(spec)
    }
}
