//! Names, long and short (sections "FAT Directory Structure" and "FAT Long Directory Entries").

use std::collections::{HashMap, HashSet};

use crate::error::{Error, Result};
use crate::leaves::upper;

/// Bytes of a volume label.
pub(super) const LABEL: usize = 11;

/// UTF-16 units of a long name at most.
const MAX_LONG: usize = 255;

/// A short name: eight characters and three, filled up with spaces.
pub(super) type Short = [u8; 11];

/// Why a part of a path cannot be a name; `None` when it can.
pub(super) fn forbidden(name: &str) -> Option<&'static str> {
    if name.is_empty() || name == "." || name == ".." {
        return Some("a part of it is empty or made of dots");
    }
    if name.ends_with(['.', ' ']) {
        return Some("a name ends in a dot or a space, which is not kept");
    }
    if name.chars().any(|c| c < ' ' || "\"*/:<>?\\|".contains(c)) {
        return Some("a name has a character that is not allowed");
    }
    (name.encode_utf16().count() > MAX_LONG).then_some("a name has 255 characters at most")
}

/// The name as it is compared.
pub(super) fn folded(name: &str) -> Vec<u16> {
    name.encode_utf16().map(upper).collect()
}

/// The label of a volume.
pub(super) fn label(label: &str) -> Result<[u8; LABEL]> {
    let allowed = |byte: u8| is_short(byte) || byte == b' ';
    if !(1..=LABEL).contains(&label.len()) || label.starts_with(' ') || !label.bytes().all(allowed) {
        let what = format!(
            "{label:?} cannot be the label of a FAT: it has 1 to 11 characters, capital letters, digits and few others"
        );
        return Err(Error::Unsupported { what });
    }
    let mut bytes = [b' '; LABEL];
    bytes[..label.len()].copy_from_slice(label.as_bytes());
    Ok(bytes)
}

fn is_short(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"!#$%&'()-@^_`{}~".contains(&byte)
}

/// The short name that is the long one in upper case; `None` when it is none.
fn own(name: &str) -> Option<Short> {
    let upper = name.to_ascii_uppercase();
    let (stem, extension) = upper.split_once('.').unwrap_or((&upper, ""));
    let fits = (1..=8).contains(&stem.len())
        && extension.len() <= 3
        && (extension.is_empty() != name.contains('.'))
        && stem.bytes().chain(extension.bytes()).all(is_short);
    fits.then(|| padded(stem, extension))
}

fn padded(stem: &str, extension: &str) -> Short {
    let mut short = [b' '; 11];
    short.iter_mut().zip(stem.bytes()).for_each(|(to, byte)| *to = byte);
    short.iter_mut().skip(8).zip(extension.bytes()).for_each(|(to, byte)| *to = byte);
    short
}

/// The short names of the entries of one folder, in their order.
pub(super) fn shorten<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Vec<Short> {
    // A made-up name must not be the name of another file.
    let mut taken: HashSet<Short> = names.clone().filter_map(own).collect();
    let mut counters: HashMap<(String, String), u32> = HashMap::new();
    names.map(|name| own(name).unwrap_or_else(|| make_up(name, &mut taken, &mut counters))).collect()
}

/// A short name with a numeric tail (section "The Numeric-Tail Generation Algorithm").
fn make_up(name: &str, taken: &mut HashSet<Short>, counters: &mut HashMap<(String, String), u32>) -> Short {
    let name = name.trim_start_matches('.');
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let basis = |text: &str, len: usize| -> String {
        let kept = text.chars().filter(|c| !matches!(c, ' ' | '.')).map(|c| c.to_ascii_uppercase());
        kept.map(|c| u8::try_from(c).ok().filter(|&byte| is_short(byte)).map_or('_', char::from))
            .take(len)
            .collect()
    };
    let (stem, extension) = (basis(stem, 6), basis(extension, 3));
    // One counter for all that begin alike, so that each number is tried once.
    let counter = counters.entry((stem.chars().take(1).collect(), extension.clone())).or_default();
    loop {
        *counter += 1;
        let tail = format!("~{counter}");
        let kept = stem.get(..8_usize.saturating_sub(tail.len())).unwrap_or(&stem);
        let short = padded(&format!("{kept}{tail}"), &extension);
        if taken.insert(short) {
            return short;
        }
    }
}

/// The sum of a short name, which binds its long name to it.
pub(super) fn checksum(short: &Short) -> u8 {
    short.iter().fold(0, |sum: u8, &byte| sum.rotate_right(1).wrapping_add(byte))
}

/// The units of the long name in parts of 13, in their order; none where the short name says it all.
pub(super) fn long_parts(name: &str, short: &Short) -> Vec<[u16; 13]> {
    if own(name) == Some(*short) && !name.bytes().any(|byte| byte.is_ascii_lowercase()) {
        return Vec::new();
    }
    let units: Vec<_> = name.encode_utf16().collect();
    let part = |units: &[u16]| {
        let mut part = [0xffff; 13];
        part.iter_mut().zip(units.iter().copied().chain([0])).for_each(|(to, unit)| *to = unit);
        part
    };
    units.chunks(13).map(part).collect()
}
