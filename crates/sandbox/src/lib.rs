#![doc = include_str!("../README.md")]

mod budget;
mod bundle;
mod cgroup;
mod digest;
mod disk;
mod doctor;
mod driver;
mod host;
mod image;
mod landlock;
mod record;
mod rootfs;
mod rootless;
mod runtime;
mod seccomp;
mod task;
mod uid_range;

pub use budget::Budget;
pub use doctor::{Check, CheckStatus, doctor, doctor_hostile};
pub use driver::{
    Config, Driver, Egress, Image, Kind, OpenError, Prepare, Program, RunError, Runtime, StopError,
    remove_abandoned,
};
pub use image::ImageError;
pub use runtime::runtime_main;
pub use task::{Desired, Network, Status, StopCode, TaskFacts, TaskId, TaskIdError, TaskSpec};
pub use uid_range::{UidRange, UidRangeError};
