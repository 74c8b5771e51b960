//! Tests with real namespaces, cgroups and processes. Each test leaves the host unchanged.

// What clippy.toml permits in tests, it permits in test functions and in modules marked like this.
#[cfg(test)]
mod budget;
#[cfg(test)]
mod deadline;
#[cfg(test)]
mod disk;
#[cfg(test)]
mod doctor;
#[cfg(test)]
mod egress;
#[cfg(test)]
mod host;
#[cfg(test)]
mod host_image;
mod identity;
#[cfg(test)]
mod images;
#[cfg(test)]
mod inherited;
#[cfg(test)]
mod isolation;
#[cfg(test)]
mod landlock;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod own_machine;
#[cfg(test)]
mod prepared;
mod root;
#[cfg(test)]
mod runtimes;
