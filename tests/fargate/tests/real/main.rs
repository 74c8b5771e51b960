//! The program as its users have it: a process, an API, a queue for its events.

#[cfg(test)]
mod capacity;
#[cfg(test)]
mod clients;
#[cfg(test)]
mod events;
#[cfg(test)]
mod exec;
#[cfg(test)]
mod life;
#[cfg(test)]
mod place;
#[cfg(test)]
mod sink;
