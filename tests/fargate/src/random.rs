//! Random names and secrets.

/// Bytes from the kernel's random number generator.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the kernel has random numbers");
    bytes
}

/// An id of 32 hex digits, the format of task ids of ECS.
pub(crate) fn hex() -> String {
    random::<16>().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A version 4 UUID.
pub(crate) fn uuid() -> String {
    let mut bytes = random::<16>();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}
