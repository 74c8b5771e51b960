//! Bytes to UTF-8 text, as the agent of ECS Exec converts output.

/// Converts a stream of bytes in pieces; a character that is split between pieces is kept whole.
#[derive(Debug, Default)]
pub(crate) struct Utf8Stream {
    /// The first bytes of an incomplete character; dropped at the end of the stream, as by the agent.
    incomplete: Vec<u8>,
}

impl Utf8Stream {
    /// The text up to the last complete character; invalid bytes become U+FFFD.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> String {
        let mut all = std::mem::take(&mut self.incomplete);
        all.extend_from_slice(bytes);
        let mut whole = String::new();
        let mut chunks = all.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            whole.push_str(chunk.valid());
            let cut = std::str::from_utf8(chunk.invalid()).err();
            // Only the last chunk can be the start of a character.
            if chunks.peek().is_none() && cut.is_some_and(|error| error.error_len().is_none()) {
                self.incomplete = chunk.invalid().to_vec();
            } else if cut.is_some() {
                whole.push(char::REPLACEMENT_CHARACTER);
            }
        }
        whole
    }
}

#[cfg(test)]
mod tests;
