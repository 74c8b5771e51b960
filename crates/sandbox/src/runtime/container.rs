//! The built-in runtime: `libcontainer` with the Landlock domain and the seccomp filter of this crate, because
//! libcontainer's own filter needs the C library libseccomp at build time.

use std::path::Path;

use libcontainer::container::builder::ContainerBuilder;
use libcontainer::oci_spec::runtime::Spec;
use libcontainer::syscall::syscall::SyscallType;
use libcontainer::workload::default::{DefaultExecutor, get_executor};
use libcontainer::workload::{Executor, ExecutorError, ExecutorValidationError};

use super::waiting::Assignment;
use super::{AnyError, PID_FILE, STATE_DIR};
use crate::{landlock, seccomp};

/// Creates and starts the container of the bundle in `dir`. If it `waits`, its PID 1 executes the runner only
/// when it gets its task.
pub(super) fn run(id: &str, dir: &Path, waits: bool) -> Result<(), AnyError> {
    let mut container = ContainerBuilder::new(id.to_owned(), SyscallType::default())
        .with_executor(ConfiningExecutor { waits })
        .with_root_path(dir.join(STATE_DIR))?
        .with_pid_file(Some(dir.join(PID_FILE)))?
        .as_init(dir)
        .with_systemd(false)
        .with_detach(true)
        .build()?;
    container.start()?;
    Ok(())
}

/// Enters the Landlock domain and installs the seccomp filter right before libcontainer executes the container's
/// process.
#[derive(Clone)]
struct ConfiningExecutor {
    waits: bool,
}

impl Executor for ConfiningExecutor {
    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        landlock::confine()?;
        seccomp::confine()?;
        if !self.waits {
            return get_executor().exec(spec);
        }
        let Some(assignment) = Assignment::receive()? else { std::process::exit(0) };
        get_executor().exec(&assignment.applied(spec))
    }

    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        DefaultExecutor {}.validate(spec)
    }
}
