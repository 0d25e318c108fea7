//! Names: compared without regard to case, and kept with one byte a character where that suffices.

use crate::leaves::upper;

/// The string, with what is no UTF-16 replaced.
pub(crate) fn decode_utf16(bytes: &[u8]) -> String {
    let units: Vec<_> = bytes.as_chunks::<2>().0.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
    String::from_utf16_lossy(&units)
}

/// A name as it stands in a record; one byte a character when it is "compressed".
pub(super) fn decode(bytes: &[u8], compressed: bool) -> String {
    if compressed { bytes.iter().copied().map(char::from).collect() } else { decode_utf16(bytes) }
}

/// The bytes of a name, and whether it is compressed.
pub(super) fn encode(name: &str) -> (Vec<u8>, bool) {
    match name.chars().map(|c| u8::try_from(u32::from(c))).collect() {
        Ok(bytes) => (bytes, true),
        Err(_) => (name.encode_utf16().flat_map(u16::to_le_bytes).collect(), false),
    }
}

/// Whether two names are the same to Windows.
pub(super) fn same_name(a: &str, b: &str) -> bool {
    a.encode_utf16().map(upper).eq(b.encode_utf16().map(upper))
}

/// What subkeys are sorted by.
pub(super) fn sort_key(name: &str) -> Vec<u16> {
    name.encode_utf16().map(upper).collect()
}
