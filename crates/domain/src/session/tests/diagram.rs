//! Generates `docs/states.md` from the code: `UPDATE=1 cargo test -p domain` writes the file.

use std::{collections::BTreeMap, env, fmt::Write as _, fs};

use super::{table::table, *};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/states.md");

#[test]
fn the_committed_states_document_matches_the_code() {
    let wanted = document();
    if env::var_os("UPDATE").is_some() {
        fs::write(FILE, &wanted).unwrap();
    }
    let found = fs::read_to_string(FILE).unwrap_or_default();
    assert_eq!(found, wanted, "docs/states.md is out of date: run UPDATE=1 cargo test -p domain");
}

fn document() -> String {
    format!(
        "# States\n\nWritten by `UPDATE=1 cargo test -p domain`, from the code.\n\n\
         ## Session\n\n```mermaid\n{}```\n\n\
         What becomes of each state (across) by each event (down). A dot: the event is handed back, \
         most often because it came twice or late. A stopping session takes `Placed` only while it is \
         not known whether its request made a task, and `StopSent` and `TaskStopped` only while there \
         is one.\n\n{}\n\
         ## Job\n\n```mermaid\n{}```\n\n\
         A worker that dies leaves a lease that lapses; the next one takes over with a higher attempt. \
         Start and stop jobs go from queued to finished at once: when the session is ready, and when it \
         is gone.\n",
        sessions(),
        markdown(&table(&states(), name)),
        JOBS,
    )
}

const JOBS: &str = "stateDiagram-v2
    [*] --> queued
    queued --> queued: look_again
    queued --> running: claim
    queued --> finished: end
    running --> running: progress, take_over, let_go, request_cancel
    running --> finished: end
    finished --> [*]
";

/// The diagram: transitions between the same two states share an arrow.
fn sessions() -> String {
    let mut arrows: BTreeMap<(usize, usize), Vec<&str>> = BTreeMap::new();
    let states = states();
    let place = |name: &str| states.iter().position(|(of, _)| *of == name).unwrap();
    for (from, (_, session)) in states.iter().enumerate() {
        for (change_name, change) in changes() {
            if let Ok(transition) = change.apply(session.clone(), stamp(0)) {
                let to = place(name(&transition.session));
                arrows.entry((from, to)).or_default().push(change_name);
            }
        }
    }
    let mut text =
        "stateDiagram-v2\n    [*] --> waiting: above the quota\n    [*] --> queued\n".to_owned();
    for ((from, to), events) in arrows {
        let (from, to) = (states[from].0, states[to].0);
        writeln!(text, "    {from} --> {to}: {}", events.join(", ")).unwrap();
    }
    text + "    ended --> [*]\n"
}

fn markdown(table: &str) -> String {
    let mut lines = table.lines().map(|line| format!("| {line} |\n"));
    let common = lines.next().unwrap();
    let columns = common.matches('|').count() - 1;
    common + &"|---".repeat(columns) + "|\n" + &lines.collect::<String>()
}
