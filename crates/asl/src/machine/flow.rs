//! The data flow of a state: InputPath, Parameters, the state's work, ResultSelector, ResultPath,
//! OutputPath.

use crate::failure::{DATA_LIMIT_EXCEEDED, Failure};
use crate::path::Path;
use crate::template::Template;
use serde_json::{Value, json};

/// The maximum size of a state's input or output in bytes of JSON (Step Functions service quotas).
const MAX_BYTES: usize = 256 * 1024;

/// The data fields of a state. A path is `None` if the definition sets it to `null`.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    pub(crate) input_path: Option<Path>,
    pub(crate) parameters: Option<Template>,
    pub(crate) result_selector: Option<Template>,
    pub(crate) result_path: Option<Path>,
    pub(crate) output_path: Option<Path>,
}

impl Flow {
    /// The defaults: the state passes its data on unchanged.
    pub(crate) fn unchanged() -> Self {
        Self {
            input_path: Some(Path::root()),
            parameters: None,
            result_selector: None,
            result_path: Some(Path::root()),
            output_path: Some(Path::root()),
        }
    }

    /// The raw input after InputPath.
    pub(crate) fn selected_input(&self, raw: &Value, context: &Value) -> Result<Value, Failure> {
        match &self.input_path {
            Some(path) => path.require("InputPath", raw, context),
            None => Ok(json!({})),
        }
    }

    /// The raw input after InputPath and Parameters.
    pub(crate) fn effective_input(&self, raw: &Value, context: &Value) -> Result<Value, Failure> {
        let selected = self.selected_input(raw, context)?;
        let effective = match &self.parameters {
            Some(template) => template.eval(&selected, context)?,
            None => selected,
        };
        check_size(&effective, "the input of the state")?;
        Ok(effective)
    }

    /// The state's output: ResultSelector, ResultPath and OutputPath applied to its result.
    pub(crate) fn output(
        &self,
        raw: &Value,
        result: Value,
        context: &Value,
    ) -> Result<Value, Failure> {
        check_size(&result, "the result")?;
        let result = match &self.result_selector {
            Some(template) => template.eval(&result, context)?,
            None => result,
        };
        let combined = apply_result_path(self.result_path.as_ref(), raw, result)?;
        let output = match &self.output_path {
            Some(path) => path.require("OutputPath", &combined, context)?,
            None => json!({}),
        };
        check_size(&output, "the output of the state")?;
        Ok(output)
    }
}

/// Combines the raw input with a result at a ResultPath; `None` discards the result.
pub(crate) fn apply_result_path(
    path: Option<&Path>,
    raw: &Value,
    result: Value,
) -> Result<Value, Failure> {
    let mut combined = raw.clone();
    if let Some(path) = path {
        path.insert(&mut combined, result)?;
    }
    Ok(combined)
}

/// Fails with `States.DataLimitExceeded` if `value`, named `subject` in the cause, is too large.
pub(crate) fn check_size(value: &Value, subject: &str) -> Result<(), Failure> {
    let bytes = value.to_string().len();
    if bytes <= MAX_BYTES {
        return Ok(());
    }
    let cause = format!("{subject} has {bytes} bytes, which is more than {MAX_BYTES}");
    Err(Failure::new(DATA_LIMIT_EXCEEDED, cause))
}
