#![doc = include_str!("../README.md")]

mod bundle;
mod cgroup;
mod digest;
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

pub use doctor::{Check, CheckStatus, doctor, doctor_hostile};
pub use driver::{Config, Driver, Image, OpenError, Program, RunError, Runtime, StopError};
pub use image::ImageError;
pub use runtime::runtime_main;
pub use task::{Desired, Network, Status, StopCode, TaskFacts, TaskId, TaskIdError, TaskSpec};
