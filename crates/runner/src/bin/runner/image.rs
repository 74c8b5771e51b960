//! The settings of the shell's image, which a container engine gives to PID 1: `ENV` and `WORKDIR`.

use std::env;

use crate::spawn::{Defaults, Users};

/// Prefixes of the variables that ECS and the service add to those of the image. Some lead to credentials.
const OF_ECS: [&str; 3] = ["AWS_", "ECS_", "EPHEMERAL_LINK_"];
/// Variables that container engines set for PID 1, whose user and name are not those of commands.
const OF_PID_1: [&str; 2] = ["HOME", "HOSTNAME"];

pub(crate) fn defaults(users: Users) -> Defaults {
    let variables = env::vars_os();
    // Text in another encoding can't be part of a request either.
    let variables = variables
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)));
    let workdir = env::current_dir().ok().and_then(|dir| dir.into_os_string().into_string().ok());
    Defaults {
        users,
        env: variables.filter(|(key, _)| is_of_image(key)).collect(),
        // Engines start in `/` if the image names no directory.
        workdir: workdir.filter(|dir| dir != "/"),
    }
}

fn is_of_image(key: &str) -> bool {
    !OF_PID_1.contains(&key) && !OF_ECS.iter().any(|prefix| key.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::is_of_image;

    #[test]
    fn variables_of_the_container_engine_are_not_those_of_the_image() {
        let of_ecs = [
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "AWS_EXECUTION_ENV",
            "AWS_REGION",
            "ECS_AGENT_URI",
            "ECS_CONTAINER_METADATA_URI_V4",
            "EPHEMERAL_LINK_URL",
        ];
        for key in of_ecs.into_iter().chain(["HOME", "HOSTNAME"]) {
            assert!(!is_of_image(key), "{key}");
        }
        for key in ["PATH", "LANG", "JAVA_HOME", "HOMEDIR", "MY_AWS_KEY"] {
            assert!(is_of_image(key), "{key}");
        }
    }
}
