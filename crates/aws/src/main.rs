//! One program for all Lambda functions; `_HANDLER` selects the function.

use std::process::ExitCode;

use aws::{Variables, env, lambda, log};
use handlers::permissions::{Function, Permission};

fn main() -> ExitCode {
    let variables = Variables::of_process();
    log::init(&variables);
    match run(&variables) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let error: &dyn std::error::Error = error.as_ref();
            tracing::error!(error, "the function failed to start");
            ExitCode::FAILURE
        }
    }
}

fn run(variables: &Variables) -> Result<(), lambda_runtime::Error> {
    if variables.optional("AWS_LAMBDA_RUNTIME_API").is_none() {
        return Err(
            "AWS_LAMBDA_RUNTIME_API is not set: this program runs only in AWS Lambda".into()
        );
    }
    let name = variables.required("_HANDLER")?;
    let function =
        Function::named(name).ok_or_else(|| format!("_HANDLER names no function: {name}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if function.may(Permission::Publish) {
        let bus = env::bus(variables)?;
        return runtime.block_on(lambda::serve_events(&bus));
    }
    let env = env::open(function, variables)?;
    let redelivery = env::redelivery(function, variables)?;
    let link = env::link(function, variables)?;
    runtime.block_on(lambda::serve(function, env, redelivery, link))
}
