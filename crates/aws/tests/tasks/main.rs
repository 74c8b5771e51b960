//! Tasks, and the shells in them: over the local Fargate, and over an ECS of a few lines that fails as
//! it is told to.

// What clippy.toml permits in tests, it permits in test functions and in modules marked like this.
#[cfg(test)]
mod agent;
#[cfg(test)]
mod ecs;
#[cfg(test)]
mod exec;
#[cfg(test)]
mod fargate;
