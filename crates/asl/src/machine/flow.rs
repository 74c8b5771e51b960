//! The data flow of a state: InputPath, Parameters, the state's work, ResultSelector, ResultPath,
//! OutputPath.

use crate::limits::{LimitError, measure};
use crate::path::Path;
use crate::scope::{ContextObject, Scope};
use crate::state_error::StateError;
use crate::template::Template;
use serde_json::{Value, json};
use std::borrow::Cow;

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
    pub(crate) fn selected_input<'v>(
        &self,
        raw: &'v Value,
        context: &'v dyn ContextObject,
    ) -> Result<Cow<'v, Value>, StateError> {
        match &self.input_path {
            Some(path) => path.require(&Scope::new(raw, context)),
            None => Ok(Cow::Owned(json!({}))),
        }
    }

    /// The raw input after InputPath and Parameters.
    pub(crate) fn effective_input<'v>(
        &self,
        raw: &'v Value,
        context: &'v dyn ContextObject,
    ) -> Result<Cow<'v, Value>, StateError> {
        let selected = self.selected_input(raw, context)?;
        let effective = match &self.parameters {
            Some(template) => Cow::Owned(template.eval(&Scope::new(&selected, context))?),
            None => selected,
        };
        check(&effective, raw)?;
        Ok(effective)
    }

    /// The state's output: ResultSelector, ResultPath and OutputPath applied to its result.
    pub(crate) fn output<'v>(
        &self,
        raw: &'v Value,
        result: Cow<'v, Value>,
        context: &'v dyn ContextObject,
    ) -> Result<Cow<'v, Value>, StateError> {
        check(&result, raw)?;
        let result = match &self.result_selector {
            Some(template) => Cow::Owned(template.eval(&Scope::new(&result, context))?),
            None => result,
        };
        let combined = apply_result_path(self.result_path.as_ref(), raw, result)?;
        let output = match (&self.output_path, combined) {
            (Some(path), combined) if path.is_root() => combined,
            (Some(path), Cow::Borrowed(combined)) => {
                path.require(&Scope::new(combined, context))?
            }
            (Some(path), Cow::Owned(combined)) => {
                Cow::Owned(path.require(&Scope::new(&combined, context))?.into_owned())
            }
            (None, _) => Cow::Owned(json!({})),
        };
        check(&output, raw)?;
        Ok(output)
    }
}

/// Combines the raw input with a result at a ResultPath; `None` discards the result.
pub(crate) fn apply_result_path<'v>(
    path: Option<&Path>,
    raw: &'v Value,
    result: Cow<'v, Value>,
) -> Result<Cow<'v, Value>, StateError> {
    match path {
        None => Ok(Cow::Borrowed(raw)),
        Some(path) if path.is_root() => Ok(result),
        Some(path) => {
            let mut combined = raw.clone();
            path.insert(&mut combined, result.into_owned())?;
            Ok(Cow::Owned(combined))
        }
    }
}

/// Checks the limits of data, unless it is the state's raw input itself, which was checked before.
fn check(data: &Value, raw: &Value) -> Result<(), LimitError> {
    if std::ptr::eq(data, raw) { Ok(()) } else { measure(data).map(|_| ()) }
}
