use super::split;

fn check(line: &str, expected: &[&str]) {
    assert_eq!(split(line).unwrap(), expected, "{line}");
}

#[test]
fn quotes_and_backslashes_group_and_escape_as_in_a_shell() {
    check("", &[]);
    check("  /opt/ephemeral/runner   --stdio ", &["/opt/ephemeral/runner", "--stdio"]);
    check("sh -c 'echo \"$HOME\" \\n'", &["sh", "-c", "echo \"$HOME\" \\n"]);
    check(r#"a" b\"c"d '' e\ f"#, &["a b\"cd", "", "e f"]);
    check("a#b # not this\nc", &["a#b", "c"]);
}

#[test]
fn nothing_is_expanded() {
    check("echo $HOME * ~ | cat; x > y", &["echo", "$HOME", "*", "~", "|", "cat;", "x", ">", "y"]);
}

#[test]
fn an_open_quote_or_a_trailing_backslash_is_no_command() {
    for line in ["'a", "\"a", "a\\", "\"a\\\""] {
        assert_eq!(split(line), None, "{line}");
    }
}
