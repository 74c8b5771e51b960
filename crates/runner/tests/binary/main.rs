//! Tests of the runner binary through its socket.

// What clippy.toml permits in tests, it permits in test functions and in modules marked like this.
#[cfg(test)]
mod end;
#[cfg(test)]
mod identity;
#[cfg(test)]
mod output;
#[cfg(test)]
mod shell;
#[cfg(test)]
mod spawn;
#[cfg(test)]
mod stdio;
