//! Tasks and their shells: over the local Fargate, and over a small fake of ECS Exec with scripted errors.

// What clippy.toml permits in tests, it permits in test functions and in modules marked like this.
#[cfg(test)]
mod agent;
#[cfg(test)]
mod ecs;
#[cfg(test)]
mod exec;
#[cfg(test)]
mod fargate;
