//! The machine that every place runs, with our handlers' names put in.

use asl::Machine;
use handlers::Step;

const DEFINITION: &str = include_str!("../../../../statemachine/session.asl.json");

/// The session machine.
pub(super) fn machine() -> Machine {
    let machine =
        Machine::parse(&Step::fill_in(DEFINITION)).expect("the definition is part of this program");
    let unknown: Vec<&str> =
        machine.resources().filter(|name| name.parse::<Step>().is_err()).collect();
    assert!(unknown.is_empty(), "the definition is part of this program, but calls {unknown:?}");
    machine.named("session")
}
