//! Headers of tar files: ustar (POSIX 1003.1, "pax"), and the older ones of GNU with a map of a sparse file (the manual of
//! GNU tar, "Basic Tar Format" and "Storing Sparse Files").

/// Bytes of a header, and what content is padded to.
pub(super) const BLOCK: u64 = 512;
/// Bytes of a record: tar pads an archive to them.
const RECORD: u64 = 20 * BLOCK;

/// Entries of the map in a sparse file's header, and in each block that follows it.
pub(super) const ENTRIES: usize = 4;
pub(super) const MORE_ENTRIES: usize = 21;
/// Bytes of an entry: where the data belong, and how many they are.
pub(super) const ENTRY: usize = 24;
/// Where the map begins in the header.
pub(super) const MAP: usize = 386;

/// How many zeros follow content that ends at `position`.
pub(super) fn padding(position: u64) -> u64 {
    position.next_multiple_of(BLOCK) - position
}

/// How many zeros end an archive whose last content, padded, ends at `position`: two blocks at least.
pub(super) fn ending(position: u64) -> u64 {
    (position + 2 * BLOCK).next_multiple_of(RECORD) - position
}

/// The header of a plain file, whose name has at most 100 bytes.
#[cfg(feature = "digest")]
pub(super) fn ustar(name: &str, size: u64) -> [u8; BLOCK as usize] {
    let mut header = common(name, size);
    header[156] = b'0';
    // "ustar" and NUL, version "00".
    header[257..265].copy_from_slice(b"ustar\x0000");
    sealed(header)
}

/// The header of a sparse file of `size` bytes, of which `stored` follow the map: the first `ENTRIES` of `entries`, with all the
/// others in blocks behind it.
pub(super) fn gnu_sparse<E>(
    name: &str,
    size: u64,
    stored: u64,
    count: u64,
    entries: impl Iterator<Item = Result<(u64, u64), E>>,
    mut write: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut header = common(name, stored);
    header[156] = b'S';
    header[257..265].copy_from_slice(b"ustar  \0");
    number(&mut header[483..495], size);
    header[482] = u8::from(count > ENTRIES as u64);
    let (mut block, mut at, mut room, mut left) = (header, MAP, ENTRIES, count);
    let mut is_header = true;
    for entry in entries {
        let (offset, len) = entry?;
        if room == 0 {
            write(&if is_header { sealed(block) } else { block })?;
            (block, at, room, is_header) = ([0; BLOCK as usize], 0, MORE_ENTRIES, false);
            block[MORE_ENTRIES * ENTRY] = u8::from(left > MORE_ENTRIES as u64);
        }
        number(&mut block[at..at + ENTRY / 2], offset);
        number(&mut block[at + ENTRY / 2..at + ENTRY], len);
        (at, room, left) = (at + ENTRY, room - 1, left.saturating_sub(1));
    }
    write(&if is_header { sealed(block) } else { block })
}

/// What all headers have.
fn common(name: &str, size: u64) -> [u8; BLOCK as usize] {
    let mut header = [0; BLOCK as usize];
    let len = name.len().min(100);
    header[..len].copy_from_slice(&name.as_bytes()[..len]);
    for (at, text) in [(100, b"0000644\0"), (108, b"0000000\0"), (116, b"0000000\0")] {
        header[at..at + 8].copy_from_slice(text);
    }
    number(&mut header[124..136], size);
    // The time of the last change: none, so that the bytes are the same each time.
    number(&mut header[136..148], 0);
    header
}

/// The header with its checksum: the sum of all bytes, its own taken for spaces.
fn sealed(mut header: [u8; BLOCK as usize]) -> [u8; BLOCK as usize] {
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

/// A number of twelve bytes: eleven octal digits, or what does not fit into them in binary behind a byte of 0x80.
fn number(field: &mut [u8], value: u64) {
    if value < 1 << 33 {
        field.copy_from_slice(format!("{value:011o}\0").as_bytes());
    } else {
        field[0] = 0x80;
        field[1..4].fill(0);
        field[4..].copy_from_slice(&value.to_be_bytes());
    }
}

/// The size that a header of ours gives.
#[cfg(feature = "digest")]
pub(super) fn size(header: &[u8; BLOCK as usize]) -> u64 {
    value(&header[124..136])
}

/// What [`number`] has written.
pub(super) fn value(field: &[u8]) -> u64 {
    let (first, last) = (&field[..field.len() - 1], &field[field.len() - 8..]);
    match field[0] {
        0x80 => last.iter().fold(0, |value, &byte| value << 8 | u64::from(byte)),
        _ => first.iter().fold(0, |value, &digit| value << 3 | u64::from(digit & 7)),
    }
}
