//! The machine that every place runs, with our handlers' names put in.

use asl::Machine;
use handlers::Handler;

const DEFINITION: &str = include_str!("../../../../statemachine/session.asl.json");

/// The session machine.
pub(super) fn machine() -> Machine {
    // A placeholder is the handler's name as a type: `${ProvisionTask}`.
    let definition = Handler::ALL.iter().fold(DEFINITION.to_owned(), |text, handler| {
        text.replace(&format!("${{{handler:?}}}"), handler.name())
    });
    let machine = Machine::parse(&definition).expect("the definition is part of this program");
    let unknown: Vec<&str> =
        machine.resources().filter(|name| name.parse::<Handler>().is_err()).collect();
    assert!(unknown.is_empty(), "the definition is part of this program, but calls {unknown:?}");
    machine.named("session")
}
