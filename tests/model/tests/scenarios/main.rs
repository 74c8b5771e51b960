//! Scenarios of the whole system on the ports in memory.

mod architecture;
mod endings;
mod faults;
mod harness;
mod jobs;
mod quota;
mod statemachine;
mod vocabulary;
