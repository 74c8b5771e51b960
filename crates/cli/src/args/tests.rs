use clap::CommandFactory;

use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split_whitespace())
}

fn run(line: &str) -> Run {
    let Command::Run(run) = parse(line).expect("the line is right").command else {
        panic!("not a run: {line}")
    };
    run
}

#[test]
fn the_definition_holds_together() {
    Cli::command().debug_assert();
}

#[test]
fn what_follows_the_command_belongs_to_it() {
    assert_eq!(run("ephemeral run -- ls --json -a").how.command, ["ls", "--json", "-a"]);
    assert_eq!(run("ephemeral run --timeline ls --json").how.command, ["ls", "--json"]);
}

#[test]
fn a_size_is_a_pair() {
    assert!(parse("ephemeral run --cpu 256 ls").is_err());
    let wish = run("ephemeral run --cpu 256 --memory 512 ls").wish;
    assert_eq!((wish.cpu, wish.memory), (Some(256), Some(512)));
}

#[test]
fn an_extension_needs_exactly_one_end() {
    assert!(parse("ephemeral extend sh_1").is_err());
    assert!(parse("ephemeral extend sh_1 --ttl 1h").is_ok());
    assert!(parse("ephemeral extend sh_1 --ttl 1h --until 2030-01-01T00:00:00Z").is_err());
}

#[test]
fn nothing_to_run_is_an_error() {
    assert!(parse("ephemeral run").is_err());
    assert!(parse("ephemeral exec sh_1").is_err());
}

#[test]
fn spans_read_as_people_write_them() {
    for (text, seconds) in [("90", 90), ("90s", 90), ("10m", 600), ("2h", 7200), ("1h30m", 5400)] {
        assert_eq!(span(text), Ok(Span(seconds)), "{text}");
    }
    for text in ["", "h", "1d", "1é", "1h30", "-1", "99999999999999999999", "9999999999999999999h"]
    {
        assert!(span(text).is_err(), "{text}");
    }
}

#[test]
fn pairs_keep_all_after_the_first_equals_sign() {
    assert_eq!(pair("A=b=c"), Ok(Pair("A".into(), "b=c".into())));
    assert_eq!(pair("A="), Ok(Pair("A".into(), String::new())));
    assert!(pair("=b").is_err());
    assert!(pair("A").is_err());
}
