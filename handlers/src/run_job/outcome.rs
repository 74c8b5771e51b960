//! What the end of a command means for its job.

use domain::{
    job::{Failure as JobFailure, Outcome},
    ports::{CommandEnd, EndCause},
};

/// The outcome of a job whose command ended so.
pub(super) fn of(end: &CommandEnd) -> Outcome {
    let exit = end.exit;
    match &end.cause {
        EndCause::Exited => Outcome::Completed { exit, failure: None },
        EndCause::OutOfMemory => {
            let failure = JobFailure::new("oom_killed", "the shell's memory limit was hit");
            Outcome::Completed { exit, failure: Some(failure) }
        }
        EndCause::TimedOut => Outcome::TimedOut { exit },
        EndCause::Cancelled => Outcome::Cancelled { exit, failure: None },
        EndCause::Shutdown => {
            let failure = JobFailure::new("session_ended", "the session ended while it ran");
            Outcome::Cancelled { exit, failure: Some(failure) }
        }
        EndCause::NotFound(message) => {
            Outcome::Failed { failure: JobFailure::new("command_not_found", message) }
        }
        EndCause::NotExecutable(message) => {
            Outcome::Failed { failure: JobFailure::new("not_executable", message) }
        }
        EndCause::SpawnFailed(message) => {
            Outcome::Failed { failure: JobFailure::new("spawn_failed", message) }
        }
        EndCause::Unknown => {
            let message = "the runner does not know how the command ended";
            Outcome::Lost { failure: JobFailure::new("end_unknown", message) }
        }
    }
}
