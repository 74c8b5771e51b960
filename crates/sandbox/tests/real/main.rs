//! Sandboxes for real: namespaces, control groups, processes. Each test leaves the host as it was.

mod doctor;
mod egress;
mod host;
mod images;
mod life;
mod limits;
mod runtimes;
mod walls;
