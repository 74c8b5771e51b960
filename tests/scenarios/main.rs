//! The one test binary of the whole: each module tells one kind of story.

mod fakes;
