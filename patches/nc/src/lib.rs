//! The part of `nc` that `libcontainer` compiles against. It is used for one setting of an OCI
//! configuration, `process.scheduler`, which this project never writes; the setting is refused.

/// An error number of the kernel.
pub type Errno = i32;

/// `struct sched_attr` of `sched_setattr(2)`.
#[expect(non_camel_case_types, reason = "the name that libcontainer uses")]
#[derive(Clone, Copy, Debug)]
pub struct sched_attr_t {
    pub size: u32,
    pub sched_policy: u32,
    pub sched_flags: u64,
    pub sched_nice: i32,
    pub sched_priority: u32,
    pub sched_runtime: u64,
    pub sched_deadline: u64,
    pub sched_period: u64,
    pub sched_util_min: u32,
    pub sched_util_max: u32,
}

/// Always fails with `ENOSYS`: the scheduling policy of a sandbox can't be set.
pub fn sched_setattr(_pid: i32, _attr: &sched_attr_t, _flags: u32) -> Result<(), Errno> {
    const ENOSYS: Errno = 38;
    Err(ENOSYS)
}
