//! Tests of the runner binary through its socket.

// What clippy.toml permits in tests, it permits in test functions and in modules marked like this.
#[cfg(test)]
mod cgroup;
#[cfg(test)]
mod end;
#[cfg(test)]
mod exec;
#[cfg(test)]
mod files;
#[cfg(test)]
mod identity;
#[cfg(test)]
mod keep;
#[cfg(test)]
mod marks;
#[cfg(test)]
mod members;
#[cfg(test)]
mod output;
#[cfg(test)]
mod processes;
#[cfg(test)]
mod shared;
#[cfg(test)]
mod shell;
#[cfg(test)]
mod spawn;
#[cfg(test)]
mod stdin;
#[cfg(test)]
mod stdio;
#[cfg(test)]
mod terminal;
