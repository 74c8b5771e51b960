//! Sandboxes for real: namespaces, control groups, processes. Each test leaves the host as it was.

// What clippy.toml permits in tests, it permits in test functions and in modules marked like this.
#[cfg(test)]
mod doctor;
#[cfg(test)]
mod egress;
#[cfg(test)]
mod host;
#[cfg(test)]
mod images;
#[cfg(test)]
mod life;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod runtimes;
#[cfg(test)]
mod walls;
