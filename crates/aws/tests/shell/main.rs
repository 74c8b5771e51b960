//! The shell's port over ECS Exec: a real runner behind real terminals and real data channels, in
//! place of ECS a few lines; and the same over the local Fargate.

// What clippy.toml permits in tests, it permits in test functions and in modules marked like this.
#[cfg(test)]
mod agent;
#[cfg(test)]
mod ecs;
#[cfg(test)]
mod exec;
#[cfg(test)]
mod fargate;
