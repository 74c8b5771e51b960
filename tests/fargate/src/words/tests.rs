use super::split;

fn check(line: &str, expected: &[&str]) {
    assert_eq!(split(line).unwrap(), expected, "{line}");
}

#[test]
fn words_are_what_a_shell_makes_of_quotes_and_backslashes() {
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
fn what_is_left_open_is_no_command() {
    for line in ["'a", "\"a", "a\\", "\"a\\\""] {
        assert_eq!(split(line), None, "{line}");
    }
}
