//! Intrinsic functions: `States.Format('{} is {}', $.a, $.b)`.

mod functions;
mod java;

use crate::failure::{INTRINSIC_FAILURE, RUNTIME};
use crate::limits::{LimitError, measure};
use crate::path::Path;
use crate::scope::Scope;
use crate::state_error::StateError;
use functions::Function;
use serde_json::{Value, json};
use std::borrow::Cow;

/// The maximum nesting of calls (Developer Guide, "Intrinsic functions for JSONPath states").
const MAX_DEPTH: usize = 10;

/// A parsed call of an intrinsic function.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    text: String,
    function: Function,
    arguments: Vec<Argument>,
}

#[derive(Clone, Debug)]
enum Argument {
    /// The text between the quotes with its escapes, which `States.Format` interprets itself.
    Text(String),
    Constant(Value),
    Path(Path),
    Call(Call),
}

/// The error of a call.
#[derive(Debug)]
pub(crate) enum CallError {
    /// This path selects nothing.
    Path(String),
    /// The function failed; the text describes the problem.
    Function(String),
    /// The arguments or the result exceed a limit.
    Limit(LimitError),
}

impl From<LimitError> for CallError {
    fn from(limit: LimitError) -> Self {
        Self::Limit(limit)
    }
}

impl Call {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parser = Parser { text, at: 0 };
        let call = parser.call(1)?;
        parser.skip_blanks();
        if parser.rest().is_empty() {
            Ok(call)
        } else {
            Err(parser.problem("unexpected text after the call"))
        }
    }

    /// Evaluates the call.
    ///
    /// # Errors
    /// A path selects nothing, a function fails, or a value exceeds a limit.
    pub(crate) fn eval(&self, scope: &Scope<'_>) -> Result<Value, StateError> {
        let text = &self.text;
        let failed = |error, problem: &str| {
            let cause = format!("The function '{text}' had the following error: {problem}");
            StateError::new(error, cause)
        };
        self.call(scope).map_err(|error| match error {
            CallError::Limit(limit) => StateError::Limit(limit),
            CallError::Function(problem) => failed(INTRINSIC_FAILURE, &problem),
            CallError::Path(path) => {
                let input = scope.input();
                let problem = format!(
                    "The JsonPath argument for the field '{path}' could not be found in the input \
                     '{input}'"
                );
                failed(RUNTIME, &problem)
            }
        })
    }

    fn call(&self, scope: &Scope<'_>) -> Result<Value, CallError> {
        let is_template = |at: usize| at == 0 && self.function == Function::Format;
        let arguments = self.arguments.iter().enumerate();
        let arguments = arguments.map(|(at, argument)| argument.eval(scope, is_template(at)));
        let arguments = arguments.collect::<Result<Vec<_>, _>>()?;
        if self.function.copies_arguments() {
            for argument in &arguments {
                scope.create(measure(argument)?)?;
            }
        }
        let result = self.function.apply(&arguments).map_err(CallError::Function)?;
        scope.create(measure(&result)?)?;
        Ok(result)
    }
}

impl Argument {
    fn eval<'v>(&'v self, scope: &Scope<'v>, raw: bool) -> Result<Cow<'v, Value>, CallError> {
        match self {
            Self::Text(text) if raw => Ok(Cow::Owned(Value::String(text.clone()))),
            Self::Text(text) => Ok(Cow::Owned(Value::String(unescape(text)))),
            Self::Constant(value) => Ok(Cow::Borrowed(value)),
            Self::Path(path) => match path.select(scope)? {
                Some(value) => Ok(value),
                None if !path.is_definite() => Ok(Cow::Owned(json!([]))),
                None => Err(CallError::Path(path.text().to_owned())),
            },
            Self::Call(call) => call.call(scope).map(Cow::Owned),
        }
    }
}

fn unescape(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        text.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    text
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Parser<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn problem(&self, problem: &str) -> String {
        format!("'{}' is not a supported intrinsic function: {problem}", self.text)
    }

    fn skip_blanks(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn eat(&mut self, c: char) -> bool {
        self.skip_blanks();
        let found = self.rest().starts_with(c);
        self.at += if found { c.len_utf8() } else { 0 };
        found
    }

    fn call(&mut self, depth: usize) -> Result<Call, String> {
        if depth > MAX_DEPTH {
            return Err(self.problem("calls are nested more than ten levels deep"));
        }
        let start = self.at;
        let open = self.rest().find('(').ok_or_else(|| self.problem("( is missing"))?;
        let name = self.rest()[..open].trim();
        let function = Function::named(name).map_err(|problem| self.problem(&problem))?;
        self.at += open + 1;
        let mut arguments = Vec::new();
        if !self.eat(')') {
            loop {
                arguments.push(self.argument(depth)?);
                if self.eat(')') {
                    break;
                }
                if !self.eat(',') {
                    return Err(self.problem("a comma or ) is missing"));
                }
            }
        }
        function.check_arity(arguments.len()).map_err(|problem| self.problem(&problem))?;
        let text = self.text[start..self.at].to_owned();
        let call = Call { text, function, arguments };
        self.check_constants(&call)?;
        Ok(call)
    }

    fn argument(&mut self, depth: usize) -> Result<Argument, String> {
        self.skip_blanks();
        let rest = self.rest();
        if let Some(quoted) = rest.strip_prefix('\'') {
            let end = end_of_quote(quoted).ok_or_else(|| self.problem("a quote is not closed"))?;
            if has_invalid_escape(&quoted[..end]) {
                return Err(self.problem("a backslash may only escape one of ' { } \\"));
            }
            self.at += end + 2;
            return Ok(Argument::Text(quoted[..end].to_owned()));
        }
        if rest.starts_with("States.") {
            return self.call(depth + 1).map(Argument::Call);
        }
        let token = rest[..end_of_token(rest)].trim_end();
        self.at += token.len();
        if token.starts_with('$') {
            return Path::parse(token).map(Argument::Path);
        }
        match functions::parse_json(token) {
            Ok(value @ (Value::Null | Value::Bool(_) | Value::Number(_))) if !token.is_empty() => {
                Ok(Argument::Constant(value))
            }
            _ => Err(self.problem(&format!("'{token}' is not a valid argument"))),
        }
    }

    /// Refuses constant arguments that make every evaluation fail.
    fn check_constants(&self, call: &Call) -> Result<(), String> {
        match (call.function, call.arguments.as_slice()) {
            (Function::Format, [Argument::Text(template), values @ ..]) => {
                let expected = functions::placeholders(template).map_err(|e| self.problem(&e))?;
                if expected != values.len() {
                    return Err(self.problem("the numbers of placeholders and arguments differ"));
                }
                Ok(())
            }
            (Function::JsonMerge, [_, _, Argument::Constant(deep)])
                if deep != &Value::Bool(false) =>
            {
                Err(self.problem("only shallow merging (false) is supported"))
            }
            _ => Ok(()),
        }
    }
}

/// Whether a literal has an escape that AWS refuses when a state machine is created.
fn has_invalid_escape(literal: &str) -> bool {
    let mut chars = literal.chars();
    while let Some(c) = chars.next() {
        if c == '\\' && !chars.next().is_some_and(|c| "'{}\\".contains(c)) {
            return true;
        }
    }
    false
}

fn end_of_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '\'' => return Some(at),
            _ => {}
        }
    }
    None
}

/// The end of a path or a constant: a comma or parenthesis outside brackets.
fn end_of_token(text: &str) -> usize {
    let mut depth = 0_i32;
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '[') => depth += 1,
            (None, ']') => depth -= 1,
            (None, ',' | ')') if depth == 0 => return at,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests;
