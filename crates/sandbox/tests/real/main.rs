//! Sandboxes for real: namespaces, control groups, processes. Each test leaves the host as it was.

mod host;
mod life;
mod limits;
mod walls;
