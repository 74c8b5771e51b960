//! Command lines as the agent of ECS Exec parses them: split into words like in a shell, without a shell.

/// Quotes and backslashes group and escape; nothing else has a meaning. `None` if a quote is open at
/// the end, or a backslash is last.
pub(crate) fn split(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = line.chars();
    while let Some(char) = rest.next() {
        match char {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '#' if word.is_none() => while rest.next().is_some_and(|char| char != '\n') {},
            '\'' => word.get_or_insert_default().push_str(&single(&mut rest)?),
            '"' => word.get_or_insert_default().push_str(&double(&mut rest)?),
            '\\' => word.get_or_insert_default().push(rest.next()?),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Some(words)
}

fn single(rest: &mut std::str::Chars<'_>) -> Option<String> {
    let (inside, after) = rest.as_str().split_once('\'')?;
    *rest = after.chars();
    Some(inside.to_owned())
}

fn double(rest: &mut std::str::Chars<'_>) -> Option<String> {
    let mut inside = String::new();
    loop {
        match rest.next()? {
            '"' => return Some(inside),
            '\\' => inside.push(rest.next()?),
            other => inside.push(other),
        }
    }
}

#[cfg(test)]
mod tests;
