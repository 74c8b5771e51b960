//! All Lambda functions in one program; `_HANDLER` says which one this is.

use std::process::ExitCode;

use aws::{Variables, env, lambda, log};
use handlers::permissions::Function;

fn main() -> ExitCode {
    let variables = Variables::of_process();
    log::begin(&variables);
    match run(&variables) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let error: &dyn std::error::Error = error.as_ref();
            tracing::error!(error, "the function did not start");
            ExitCode::FAILURE
        }
    }
}

fn run(variables: &Variables) -> Result<(), lambda_runtime::Error> {
    if variables.optional("AWS_LAMBDA_RUNTIME_API").is_none() {
        return Err("AWS_LAMBDA_RUNTIME_API is not set: only AWS Lambda starts this program".into());
    }
    let name = variables.required("_HANDLER")?;
    let function = Function::named(name).ok_or_else(|| format!("there is no function {name}"))?;
    let env = env::open(function, variables)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(lambda::serve(function, env))
}
