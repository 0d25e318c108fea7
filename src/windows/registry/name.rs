//! Names: compared without regard to case, and kept with one byte a character where that suffices.

use crate::error::{Error, Result};
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

/// The same of a name as it stands in a record, which need not be UTF-16 that can be decoded.
pub(super) fn stored_sort_key(bytes: &[u8], compressed: bool) -> Vec<u16> {
    if compressed {
        return bytes.iter().map(|&byte| upper(byte.into())).collect();
    }
    bytes.as_chunks::<2>().0.iter().map(|unit| upper(u16::from_le_bytes(*unit))).collect()
}

/// What a hash leaf says of the name with this sort key.
pub(super) fn hash(sort_key: &[u16]) -> u32 {
    sort_key.iter().fold(0, |hash: u32, &unit| hash.wrapping_mul(37).wrapping_add(unit.into()))
}

/// What a fast leaf says of a name: its first four characters, if each of them is one byte.
pub(super) fn hint(bytes: &[u8], compressed: bool) -> [u8; 4] {
    let mut hint = [0; 4];
    if compressed {
        hint.iter_mut().zip(bytes).for_each(|(hint, byte)| *hint = *byte);
        return hint;
    }
    for (hint, unit) in hint.iter_mut().zip(bytes.as_chunks::<2>().0) {
        let [low, 0] = *unit else { return [0; 4] };
        *hint = low;
    }
    hint
}

/// That Windows allows a name of so many UTF-16 units.
pub(super) fn check(of: &str, name: &str, most: usize) -> Result<()> {
    let units = name.encode_utf16().count();
    if units > most {
        let what = format!("the name of a registry {of} has {units} characters: {most} at most");
        return Err(Error::Unsupported { what });
    }
    if name.contains('\0') {
        return Err(Error::Unsupported { what: format!("{name:?} is no name of a registry {of}") });
    }
    Ok(())
}
