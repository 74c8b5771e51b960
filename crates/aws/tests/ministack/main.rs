//! The ports against ministack, an emulator of AWS services.

// What clippy.toml permits in tests, it permits in test functions and in modules marked like this.
#[cfg(test)]
mod deployment;
#[cfg(test)]
mod functions;
#[cfg(test)]
mod lambda;
#[cfg(test)]
mod links;
#[cfg(test)]
mod queue;
#[cfg(test)]
mod server;
#[cfg(test)]
mod store;
#[cfg(test)]
mod workflow;
