//! Which shell runs a command line.

use std::path::Path;

use runner::protocol::Start;

/// Where an image may have bash.
const BASH: [&str; 2] = ["/bin/bash", "/usr/bin/bash"];

/// The same job with bash in place of `sh`, if it prefers bash and the image has it.
pub(crate) fn with_bash(start: &Start) -> Option<Start> {
    let bash = BASH.into_iter().filter(|_| start.prefer_bash).find(|path| Path::new(path).exists());
    bash.map(|bash| {
        let mut start = start.clone();
        if let Some(shell) = start.argv.first_mut() {
            bash.clone_into(shell);
        }
        start
    })
}
