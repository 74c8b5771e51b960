//! `kill ID PID...`: sends a signal to processes of a shell.

use serde_json::{Value, json};

use super::Context;
use crate::{args::Kill, error::CliError};

pub(super) async fn kill(context: &Context, args: &Kill) -> Result<(), CliError> {
    let client = context.client()?;
    let signal: Value = match args.signal.parse::<u32>() {
        Ok(number) => number.into(),
        Err(_) => args.signal.clone().into(),
    };
    // Every process gets the signal, also behind one that has ended.
    let mut failed = None;
    for pid in &args.pids {
        let path = format!("/sessions/{}/processes/{pid}/signal", args.id);
        if let Err(error) = client.post(&path, &json!({"signal": signal})).await {
            failed.get_or_insert(error.about(&format!("process {pid}")));
        }
    }
    failed.map_or(Ok(()), Err)
}
