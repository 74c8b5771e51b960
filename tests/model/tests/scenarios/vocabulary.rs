//! Private words that standard terms have replaced must not come back.

use std::process::Command;

/// Regular expressions of whole words, case-sensitive, one per line.
const DENIED: &str = "
[Bb]ells?
[Rr]ung
[Hh](ang|angs|ung|anging) up
hang_up
[Ll]ooks? again
look_at
[Rr]unes?
[Dd]ice
[Ww]eather
[Ss]tormy
[Ww]ish(es)?
[Mm]urder
[Ff]arewell
[Aa]new
[Ll]ets? go of
[Gg](ive|ives|ave) up on
[Ss]omebody
[Qq]uiesce
drill
excuse
go_second
realm
Flaw
Garbled
LULL
Laws?
NotDone
PATIENCE
Parcel
Rounds
Stumble
Trouble
World
Wrong
";

/// The sources. The bundle of the console is built from them and from libraries of others.
const PATHS: &[&str] = &[
    "*.rs",
    "*.ts",
    "*.js",
    "*.py",
    "*.md",
    "scripts",
    "Makefile",
    ":!tests/model/tests/scenarios/vocabulary.rs",
    ":!web/dist",
];

#[test]
fn no_source_contains_a_denied_word() {
    let pattern = DENIED.trim().lines().collect::<Vec<_>>().join("|");
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let found = Command::new("git")
        .current_dir(root)
        .args(["grep", "--line-number", "--word-regexp", "--extended-regexp", &pattern, "--"])
        .args(PATHS)
        .output();
    // Git grep exits with 0 for a match, 1 for none, and 128 outside of a checkout.
    match found.ok().filter(|found| found.status.code() < Some(2)) {
        Some(found) => {
            let lines = String::from_utf8_lossy(&found.stdout);
            assert!(lines.is_empty(), "denied words in:\n{lines}");
        }
        None => println!("SKIPPED: the vocabulary: this is not a git checkout"),
    }
}
