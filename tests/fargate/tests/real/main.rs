//! The program as a process, with its API and a queue for its events.

#[cfg(test)]
mod capacity;
#[cfg(test)]
mod clients;
#[cfg(test)]
mod events;
#[cfg(test)]
mod exec;
#[cfg(test)]
mod instances;
#[cfg(test)]
mod life;
#[cfg(test)]
mod server;
#[cfg(test)]
mod sqs_sink;
