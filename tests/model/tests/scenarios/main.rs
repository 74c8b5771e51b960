//! The one test binary of the whole: each module tells one kind of story.

mod architecture;
mod endings;
mod faults;
mod jobs;
mod quota;
mod stage;
mod statemachine;
