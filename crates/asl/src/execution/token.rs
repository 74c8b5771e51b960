//! Task tokens: `<execution name>.<attempt>.<128 random bits in hex>`.

use super::Host;

pub(super) fn new(execution: &str, attempt: u64, host: &mut dyn Host) -> String {
    format!("{execution}.{attempt}.{:016x}{:016x}", host.random(), host.random())
}

/// The name of the execution that issued a task token; `None` if the text does not have the form of
/// a token. Only [`Execution::answered`](crate::Execution::answered) checks that the token is valid.
pub fn execution_of(token: &str) -> Option<&str> {
    let mut parts = token.rsplitn(3, '.');
    let (nonce, attempt, execution) = (parts.next()?, parts.next()?, parts.next()?);
    let nonce_fits = nonce.len() == 32 && nonce.bytes().all(|b| b.is_ascii_hexdigit());
    let attempt_fits = !attempt.is_empty() && attempt.bytes().all(|b| b.is_ascii_digit());
    (nonce_fits && attempt_fits && !execution.is_empty()).then_some(execution)
}
