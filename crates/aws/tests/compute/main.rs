//! The compute port against a scripted ECS.

// What clippy.toml permits in tests, it permits in test functions and in modules marked like this.
#[cfg(test)]
mod ecs;
#[cfg(test)]
mod run;
#[cfg(test)]
mod stop_describe_list;
