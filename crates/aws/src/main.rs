//! All Lambda functions in one program; `_HANDLER` says which one this is.

use std::{env, process::ExitCode};

use aws::{functions::Function, lambda, log};

fn main() -> ExitCode {
    log::begin();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let error: &dyn std::error::Error = error.as_ref();
            tracing::error!(error, "the function did not start");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), lambda_runtime::Error> {
    if env::var_os("AWS_LAMBDA_RUNTIME_API").is_none() {
        return Err("AWS_LAMBDA_RUNTIME_API is not set: only AWS Lambda starts this program".into());
    }
    let name = env::var("_HANDLER").map_err(|_| "_HANDLER is not set")?;
    let function = Function::named(&name).ok_or_else(|| format!("there is no function {name}"))?;
    let env = aws::env::open(function)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(lambda::serve(function, env))
}
