//! What every implementation of a port must do, as cases to run against it.
//!
//! A suite takes a function that makes a fresh instance, and runs each case on its own. A failing
//! case says its name on standard error.

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
pub use shell::{ShellUnderTest, act_out, shell_suite};
pub use store::store_suite;
pub use webhooks::{strict_webhooks_suite, webhooks_suite};

/// Says which case it was if the test panics while this lives.
struct Case(&'static str);

impl Drop for Case {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Nothing can be done about a closed standard error.
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
