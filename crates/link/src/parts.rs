//! Requests that are longer than a frame.

use std::collections::VecDeque;

use runner::protocol::{Decoder, Message, ProtocolError, Request, Start};

use crate::frame::{Bytes, ToRunner};

/// The bytes of a request in one frame, so that the frame has 32 KiB at most: more count twice on AWS.
const PART_BYTES: usize = 23 << 10;
/// How many parts a request has at most.
const MAX_PARTS: usize = 64;
/// How many requests are incomplete at a time; the oldest is dropped, and sent again by the service.
const MAX_INCOMPLETE: usize = 16;

/// The frames that carry the request to start a job. Requests that differ must have different ids: parts of
/// two must never become one.
///
/// # Errors
/// If the request is longer than the runner accepts.
pub fn split(start: &Start, id: &str) -> Result<Vec<ToRunner>, ProtocolError> {
    let bytes = Request::Start(start.clone()).encode()?;
    let parts = bytes.chunks(PART_BYTES);
    let of = parts.len();
    let frame = |(part, data): (usize, &[u8])| ToRunner::Run {
        job: start.job_id.clone(),
        id: id.to_owned(),
        part,
        of,
        data: Bytes(data.to_vec()),
    };
    Ok(parts.enumerate().map(frame).collect())
}

/// Requests of which parts are missing.
#[derive(Debug, Default)]
pub(crate) struct Incomplete(VecDeque<Parts>);

#[derive(Debug)]
struct Parts {
    id: String,
    parts: Vec<Option<Bytes>>,
}

impl Incomplete {
    /// Adds a part. Returns the request if no part is missing now.
    pub(crate) fn add(&mut self, id: &str, part: usize, of: usize, data: Bytes) -> Option<Start> {
        if part >= of || of > MAX_PARTS {
            return None;
        }
        let at = self.0.iter().position(|one| one.id == id && one.parts.len() == of);
        let mut parts = at
            .and_then(|at| self.0.remove(at))
            .unwrap_or_else(|| Parts { id: id.to_owned(), parts: vec![None; of] });
        *parts.parts.get_mut(part)? = Some(data);
        if parts.parts.iter().all(Option::is_some) {
            return request(&parts.parts);
        }
        self.0.push_back(parts);
        if self.0.len() > MAX_INCOMPLETE {
            self.0.pop_front();
        }
        None
    }
}

fn request(parts: &[Option<Bytes>]) -> Option<Start> {
    let mut decoder = Decoder::<Request>::default();
    parts.iter().flatten().for_each(|part| decoder.feed(&part.0));
    match decoder.next() {
        Ok(Some(Request::Start(start))) => Some(start),
        _ => None,
    }
}
