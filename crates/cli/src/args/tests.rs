use clap::CommandFactory;

use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split_whitespace())
}

fn run(line: &str) -> Run {
    let Command::Run(run) = parse(line).expect("a valid command line").command else {
        panic!("not a run: {line}")
    };
    run
}

#[test]
fn the_definition_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn options_after_the_command_are_passed_to_it() {
    assert_eq!(run("ephemeral run -- ls --json -a").command.argv, ["ls", "--json", "-a"]);
    assert_eq!(run("ephemeral run --timeline ls --json").command.argv, ["ls", "--json"]);
}

#[test]
fn cpu_and_memory_must_be_given_together() {
    assert!(parse("ephemeral run --cpu 256 ls").is_err());
    let shell = run("ephemeral run --cpu 256 --memory 512 ls").shell;
    assert_eq!((shell.cpu, shell.memory), (Some(256), Some(512)));
}

#[test]
fn an_extension_needs_exactly_one_end() {
    assert!(parse("ephemeral extend sh_1").is_err());
    assert!(parse("ephemeral extend sh_1 --ttl 1h").is_ok());
    assert!(parse("ephemeral extend sh_1 --ttl 1h --until 2030-01-01T00:00:00Z").is_err());
}

#[test]
fn a_missing_command_is_an_error() {
    assert!(parse("ephemeral run").is_err());
    assert!(parse("ephemeral exec sh_1").is_err());
}

#[test]
fn durations_are_parsed_with_and_without_units() {
    for (text, expected) in [("90", 90), ("90s", 90), ("10m", 600), ("2h", 7200), ("1h30m", 5400)] {
        assert_eq!(seconds(text), Ok(Seconds(expected)), "{text}");
    }
    for text in ["", "h", "1d", "1é", "1h30", "-1", "99999999999999999999", "9999999999999999999h"]
    {
        assert!(seconds(text).is_err(), "{text}");
    }
}

#[test]
fn the_value_is_everything_after_the_first_equals_sign() {
    assert_eq!(pair("A=b=c"), Ok(Pair("A".into(), "b=c".into())));
    assert_eq!(pair("A="), Ok(Pair("A".into(), String::new())));
    assert!(pair("=b").is_err());
    assert!(pair("A").is_err());
}

#[test]
fn origins_of_pages_are_given_as_browsers_send_them() {
    let line = "ephemeral up --terminal-origin https://App.example:443 --terminal-origin http://[::1]:3000/";
    let Command::Up(up) = parse(line).unwrap().command else { panic!("not up") };
    assert_eq!(up.terminal_origin, ["https://app.example", "http://[::1]:3000"]);
    for bad in
        ["app.example", "https://app.example/path", "https://u@app.example", "file:///x", "*"]
    {
        assert!(parse(&format!("ephemeral up --terminal-origin {bad}")).is_err(), "{bad}");
    }
    let wildcard = parse("ephemeral up --terminal-origin https://*.app.example");
    let message = wildcard.expect_err("it is refused").to_string();
    assert!(message.contains("wildcards are not supported; repeat the option"), "{message}");
}

#[test]
fn the_budget_of_a_server_is_given_in_mebibytes() {
    let line = "ephemeral up --memory-budget 4096 --disk-budget 9000 --max-sessions 7 \
                --max-size 1024,2048,4096";
    let Command::Up(up) = parse(line).unwrap().command else { panic!("not up") };
    assert_eq!((up.budget.memory_budget, up.budget.disk_budget), (Some(4096), Some(9000)));
    assert_eq!(up.budget.max_sessions, Some(7));
    let size = up.budget.max_size.unwrap();
    assert_eq!((size.cpu, size.memory_mib, size.disk_mib), (1024, 2048, Some(4096)));
    for bad in [
        "--max-size 1024",
        "--max-size 0,1",
        "--max-size 1,2,3,4",
        "--memory-budget 0",
        "--max-sessions 0",
    ] {
        assert!(parse(&format!("ephemeral up {bad}")).is_err(), "{bad}");
    }
    let Command::Up(up) = parse("ephemeral up --max-size 256,512").unwrap().command else {
        panic!("not up")
    };
    assert_eq!(up.budget.max_size.unwrap().disk_mib, None);
    assert_eq!(up.network, Reach::Public);
}
