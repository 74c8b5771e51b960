//! Tasks on an ECS whose every answer is given by the test.

// What clippy.toml permits in tests, it permits in test functions and in modules marked like this.
#[cfg(test)]
mod ecs;
#[cfg(test)]
mod run;
#[cfg(test)]
mod tell;
