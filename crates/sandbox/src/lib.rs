//! Sandboxes on this host: one per task, each with the runner as its PID 1.
//!
//! A [`Driver`] owns a directory and what runs from it. It reports what happens to its tasks as
//! [`TaskFacts`], in the shape in which a cloud reports its own. Nothing it has started depends on
//! it to live: after a crash, a new driver on the same directory finds everything again.

mod bundle;
mod cgroup;
mod doctor;
mod driver;
mod host;
mod image;
mod record;
mod rootfs;
mod rootless;
mod runtime;
mod seccomp;
mod task;

pub use doctor::{Check, Verdict, doctor};
pub use driver::{Config, Driver, Image, OpenError, RunError, Runtime, StopError};
pub use image::ImageError;
pub use runtime::runtime_main;
pub use task::{Desired, Network, NotATaskId, Status, StopCode, TaskFacts, TaskId, TaskSpec};
