//! A container whose PID 1 is created before there is a task for it, and waits.
//!
//! PID 1 reads one line from a pipe on its standard input, whose only writer is the driver. So it ends by
//! itself if the driver ends, or gives the sandbox up.

use std::fs::File;
use std::io;
use std::time::Duration;

use libcontainer::oci_spec::runtime::Spec;
use serde::{Deserialize, Serialize};

use super::AnyError;

/// What PID 1 is told about its task.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Assignment {
    /// How long the runner runs at most, unless a caller moves its deadline.
    lifetime_ms: Option<u64>,
}

impl Assignment {
    pub(crate) fn new(time_left: Option<Duration>) -> Self {
        let millis = time_left.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
        Self { lifetime_ms: millis }
    }

    pub(crate) fn line(&self) -> io::Result<String> {
        Ok(serde_json::to_string(self)? + "\n")
    }

    /// Waits for the line. `None` if the sandbox is not needed any more.
    pub(super) fn receive() -> Result<Option<Self>, AnyError> {
        let mut line = String::new();
        io::stdin().read_line(&mut line)?;
        // The runner and its commands must not have the pipe.
        rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
        if !line.ends_with('\n') {
            return Ok(None);
        }
        Ok(Some(serde_json::from_str(&line)?))
    }

    /// The configuration of the container with the runner's arguments for this task.
    pub(super) fn applied(&self, spec: &Spec) -> Spec {
        let mut spec = spec.clone();
        let mut process = spec.process().clone().unwrap_or_default();
        let mut args = process.args().clone().unwrap_or_default();
        if let Some(millis) = self.lifetime_ms {
            args.extend(["--lifetime-ms".to_owned(), millis.to_string()]);
        }
        process.set_args(Some(args));
        spec.set_process(Some(process));
        spec
    }
}

#[cfg(test)]
mod tests {
    use libcontainer::oci_spec::runtime::ProcessBuilder;

    use super::*;

    #[test]
    fn the_runner_gets_the_lifetime_of_its_task() {
        let mut spec = Spec::default();
        let process = ProcessBuilder::default().args(["runner".to_owned()]).build().unwrap();
        spec.set_process(Some(process));
        let args = |assignment: Assignment| {
            let spec = assignment.applied(&spec);
            spec.process().as_ref().unwrap().args().clone().unwrap()
        };
        let limited = Assignment::new(Some(Duration::from_secs(2)));
        assert_eq!(args(limited), ["runner", "--lifetime-ms", "2000"]);
        assert_eq!(args(Assignment::new(None)), ["runner"]);
    }

    #[test]
    fn an_assignment_is_one_line() {
        let assignment = Assignment::new(Some(Duration::from_millis(1)));
        let line = assignment.line().unwrap();
        assert_eq!(line.matches('\n').count(), 1);
        assert_eq!(serde_json::from_str::<Assignment>(&line).unwrap(), assignment);
    }
}
