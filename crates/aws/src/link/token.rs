//! Tokens by which the authorizer recognizes the runner of a task.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::hmac;

/// What a token says: whom it was made for. It has no secret but its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The id of the session or of the warm task that requested the task.
    pub started_by: String,
    /// The client token of the request that ran the task.
    pub launch: String,
    /// Rises with each connection. Once a higher one has connected, lower ones can't.
    pub generation: u64,
}

/// The token is none of this deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token is not valid")]
pub struct TokenError;

/// What is signed begins with this: the key signs nothing else.
const CONTEXT: &str = "ephemeral-link-1";

impl Claims {
    /// Those of the token that a task is started with.
    pub fn first(started_by: &str, launch: &str) -> Self {
        Self { started_by: started_by.to_owned(), launch: launch.to_owned(), generation: 0 }
    }

    /// Those of the token for the connection after this one.
    #[must_use]
    pub fn next(&self) -> Self {
        Self { generation: self.generation + 1, ..self.clone() }
    }

    /// The token.
    pub fn sign(&self, key: &[u8]) -> String {
        let text = self.text();
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), &signed(&text));
        format!("{text}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }

    /// The claims of a token that this key has signed.
    ///
    /// # Errors
    /// [`TokenError`] for any other text.
    pub fn verify(token: &str, key: &[u8]) -> Result<Self, TokenError> {
        let (text, signature) = token.rsplit_once('.').ok_or(TokenError)?;
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).map_err(|_| TokenError)?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        hmac::verify(&key, &signed(text), &signature).map_err(|_| TokenError)?;
        let mut fields = text.split('.').map(str::to_owned);
        let mut field = || fields.next().ok_or(TokenError);
        let (started_by, launch) = (field()?, field()?);
        let generation = field()?.parse().map_err(|_| TokenError)?;
        Ok(Self { started_by, launch, generation })
    }

    /// None of the fields has a dot: ids and client tokens have letters, digits, `_` and `-`.
    fn text(&self) -> String {
        format!("{}.{}.{}", self.started_by, self.launch, self.generation)
    }
}

fn signed(text: &str) -> Vec<u8> {
    format!("{CONTEXT}.{text}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_valid_for_what_it_was_signed_for() {
        let first = Claims::first("sh_1", "sh_1-a2-1");
        for claims in [first.clone(), first.next().next()] {
            let token = claims.sign(&[7; 32]);
            assert_eq!(Claims::verify(&token, &[7; 32]), Ok(claims));
            assert_eq!(Claims::verify(&token, &[8; 32]), Err(TokenError));
        }
        assert_eq!(first.sign(&[7; 32]), first.sign(&[7; 32]));
    }

    #[test]
    fn no_part_of_a_token_can_be_changed() {
        let token = Claims::first("sh_1", "sh_1-a2").sign(&[7; 32]);
        for at in 0..token.len() {
            let mut other = token.clone().into_bytes();
            other[at] = if other[at] == b'x' { b'y' } else { b'x' };
            let other = String::from_utf8(other).unwrap();
            // The last character of base64 has bits without a meaning.
            let verified = Claims::verify(&other, &[7; 32]);
            assert!(verified.is_err(), "{other}");
        }
        for text in ["", ".", "...", "sh_1.sh_1-a2.0.", "sh_1.sh_1-a2.0"] {
            assert_eq!(Claims::verify(text, &[7; 32]), Err(TokenError));
        }
    }
}
