//! The conformance suites: cases that every implementation of a port must pass.
//!
//! A suite takes a function that makes a fresh instance, and runs each case on an instance of its own.
//! The name of a failing case is printed to standard error.

#![expect(clippy::unwrap_used, reason = "a suite is a test: it fails by panicking")]

mod compute;
mod endpoint;
mod queue;
mod shell;
mod store;
mod webhooks;

use std::io::{Write as _, stderr};

pub use compute::{ComputeUnderTest, compute_suite};
pub use endpoint::{Endpoint, Received};
pub use queue::{QueueUnderTest, queue_suite};
pub use shell::{ShellUnderTest, script_suite_commands, shell_suite};
pub use store::{store_limits_suite, store_suite};
pub use webhooks::{strict_webhooks_suite, webhooks_suite};

/// Prints the name of the case if the test panics while this value is alive.
struct Case(&'static str);

impl Drop for Case {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Standard error may be closed.
            let _ = writeln!(stderr(), "the case that failed: {}", self.0);
        }
    }
}

/// Runs each case on an instance of its own.
macro_rules! run_cases {
    ($make:expr => $($($module:ident)::+),* $(,)?) => {
        $({
            let _case = $crate::conformance::Case(stringify!($($module)::+));
            let made = $make().await;
            $($module)::+(&made).await;
        })*
    };
}
use run_cases;
