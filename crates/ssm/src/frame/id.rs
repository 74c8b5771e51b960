use std::{fmt, str::FromStr};

/// The UUID of a message.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct MessageId(u128);

impl MessageId {
    /// Creates a version 4 UUID from 128 random bits, six of which are replaced by version and variant.
    pub fn from_random(bits: u128) -> Self {
        let version = bits & !(0xf << 76) | 4 << 76;
        Self(version & !(0b11 << 62) | 0b10 << 62)
    }

    /// Reads the wire format, in which the halves are swapped: bytes 8 to 15 of the RFC 9562 form come first.
    pub(super) fn from_wire(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes).rotate_left(64))
    }

    pub(super) fn to_wire(self) -> [u8; 16] {
        self.0.rotate_left(64).to_be_bytes()
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |from: u32, bits: u32| (self.0 >> from) & ((1 << bits) - 1);
        let (a, b, c, d, e) = (part(96, 32), part(80, 16), part(64, 16), part(48, 16), part(0, 48));
        write!(f, "{a:08x}-{b:04x}-{c:04x}-{d:04x}-{e:012x}")
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a UUID in its canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a UUID")]
pub struct ParseMessageIdError;

impl FromStr for MessageId {
    type Err = ParseMessageIdError;

    fn from_str(text: &str) -> Result<Self, ParseMessageIdError> {
        let places = |(at, byte): (usize, u8)| (byte == b'-') == matches!(at, 8 | 13 | 18 | 23);
        if text.len() != 36 || !text.bytes().enumerate().all(places) {
            return Err(ParseMessageIdError);
        }
        let digits = text.bytes().filter(|byte| *byte != b'-');
        let mut number = digits.map(|digit| char::from(digit).to_digit(16));
        let number =
            number.try_fold(0, |number: u128, digit| Some(number << 4 | u128::from(digit?)));
        number.map(Self).ok_or(ParseMessageIdError)
    }
}
