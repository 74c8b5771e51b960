//! Intrinsic functions: `States.Format('{} is {}', $.a, $.b)`.

mod functions;

use crate::path::Path;
use functions::Function;
use serde_json::Value;

/// The maximum nesting of calls (Developer Guide, "Intrinsic functions for JSONPath states").
const MAX_DEPTH: usize = 10;

/// A parsed call of an intrinsic function.
#[derive(Clone, Debug)]
pub(crate) struct Call {
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

    pub(crate) fn eval(&self, input: &Value, context: &Value) -> Result<Value, CallError> {
        let raw_first = matches!(self.function, Function::Format);
        let arguments = self.arguments.iter().enumerate().map(|(at, argument)| match argument {
            Argument::Text(raw) if raw_first && at == 0 => Ok(Value::String(raw.clone())),
            Argument::Text(raw) => Ok(Value::String(unescape(raw))),
            Argument::Constant(value) => Ok(value.clone()),
            Argument::Path(path) => {
                path.select(input, context).ok_or_else(|| CallError::Path(path.text().to_owned()))
            }
            Argument::Call(call) => call.eval(input, context),
        });
        let arguments = arguments.collect::<Result<Vec<_>, _>>()?;
        let name = self.function.name();
        self.function
            .apply(&arguments)
            .map_err(|problem| CallError::Function(format!("the function '{name}': {problem}")))
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
        let call = Call { function, arguments };
        self.check_constants(&call)?;
        Ok(call)
    }

    fn argument(&mut self, depth: usize) -> Result<Argument, String> {
        self.skip_blanks();
        let rest = self.rest();
        if let Some(quoted) = rest.strip_prefix('\'') {
            let end = end_of_quote(quoted).ok_or_else(|| self.problem("a quote is not closed"))?;
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
        match serde_json::from_str(token) {
            Ok(value @ (Value::Null | Value::Bool(_) | Value::Number(_))) => {
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
