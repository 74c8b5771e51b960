//! What the agent does to bytes: it sends runes of UTF-8, and nothing else.

/// Takes bytes as they come, gives whole runes.
#[derive(Debug, Default)]
pub(crate) struct Runes {
    /// The beginning of a rune. At the end it is dropped, as the agent drops it.
    begun: Vec<u8>,
}

impl Runes {
    /// What is no UTF-8 becomes U+FFFD.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> String {
        let mut all = std::mem::take(&mut self.begun);
        all.extend_from_slice(bytes);
        let mut whole = String::new();
        let mut chunks = all.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            whole.push_str(chunk.valid());
            let cut = std::str::from_utf8(chunk.invalid()).err();
            // Only at the end may it be one that more bytes would complete.
            if chunks.peek().is_none() && cut.is_some_and(|error| error.error_len().is_none()) {
                self.begun = chunk.invalid().to_vec();
            } else if cut.is_some() {
                whole.push(char::REPLACEMENT_CHARACTER);
            }
        }
        whole
    }
}

#[cfg(test)]
mod tests;
