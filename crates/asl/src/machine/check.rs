//! Validates the graph of states.

use super::Machine;
use crate::LoadError;
use crate::load_error::Location;
use std::collections::BTreeSet;

/// Checks that every target exists, every state is reachable, and some state ends the execution.
pub(super) fn graph(machine: &Machine) -> Result<(), LoadError> {
    if !machine.states.contains_key(&machine.start_at) {
        let problem = format!("there is no state '{}'", machine.start_at);
        return Err(invalid(None, "StartAt", problem));
    }
    for (name, state) in &machine.states {
        let missing = state.targets().into_iter().find(|t| !machine.states.contains_key(*t));
        if let Some(target) = missing {
            return Err(invalid(Some(name), "Next", format!("there is no state '{target}'")));
        }
    }
    let reached = reachable(machine);
    if let Some(name) = machine.states.keys().find(|name| !reached.contains(name.as_str())) {
        return Err(invalid(Some(name), "Next", "the state is unreachable".to_owned()));
    }
    if !machine.states.values().any(super::State::is_terminal) {
        return Err(invalid(None, "States", "no state ends the execution".to_owned()));
    }
    Ok(())
}

fn reachable(machine: &Machine) -> BTreeSet<&str> {
    let mut reached = BTreeSet::from([machine.start_at.as_str()]);
    let mut queue = vec![machine.start_at.as_str()];
    while let Some(state) = queue.pop().and_then(|name| machine.states.get(name)) {
        queue.extend(state.targets().into_iter().filter(|target| reached.insert(*target)));
    }
    reached
}

fn invalid(state: Option<&String>, field: &str, problem: String) -> LoadError {
    let location = Location { state: state.cloned(), field: field.to_owned() };
    LoadError::Invalid { location, problem }
}
