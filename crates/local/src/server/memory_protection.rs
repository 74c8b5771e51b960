//! Protects the server from the kernel's out-of-memory killer.

use std::fs;

/// The score of the server: processes with higher ones are killed first, all shells among them.
const SCORE: &str = "-500";

/// Lowers the score of this process, which needs the capability `CAP_SYS_RESOURCE`. Launchers of shells reset
/// it for themselves.
pub(super) fn protect() {
    if let Err(error) = fs::write("/proc/self/oom_score_adj", SCORE) {
        tracing::debug!(%error, "the server is not protected from the out-of-memory killer");
    }
}
