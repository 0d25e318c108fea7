//! Directories (sections "FAT Directory Structure" and "FAT Long Directory Entries"), and the files in them.

use super::{FatVolume, Root, damaged};
use crate::error::Result;
use crate::leaves::upper;

const ENTRY: usize = 32;
/// "Limited to 65,536 * 32" bytes.
const MAX_DIRECTORY: u64 = 65_536 * ENTRY as u64;

const FREE: u8 = 0xe5;
const LONG_NAME: u8 = 0x0f;
const VOLUME_LABEL: u8 = 0x08;
const DIRECTORY: u8 = 0x10;
/// Where the 13 units of a long name lie in its entry.
const UNITS: [usize; 13] = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];

/// A file or a directory.
#[derive(Debug, Clone, Copy)]
struct Found {
    is_directory: bool,
    first: u64,
    size: u64,
}

impl FatVolume {
    /// The bytes of the file at a path, whose names are parted by `\` or `/` and are the same in both cases; `None` when there is
    /// no such file.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Damaged`] for a file of more than `limit` bytes, or whose clusters lead astray, and what reading the disk gives
    /// rise to.
    pub fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let Some(file) = self.find(path)?.filter(|file| !file.is_directory) else { return Ok(None) };
        if file.size > limit {
            return Err(damaged(&format!("{path} of at most {limit} bytes"), file.size.to_string()));
        }
        let bytes = self.clusters_of(file.first, file.size)?;
        match bytes.len() as u64 == file.size {
            true => Ok(Some(bytes)),
            false => Err(damaged(&format!("{} bytes of {path}", file.size), bytes.len().to_string())),
        }
    }

    /// Whether there is a file at a path.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn has_file(&self, path: &str) -> Result<bool> {
        Ok(self.find(path)?.is_some_and(|found| !found.is_directory))
    }

    fn find(&self, path: &str) -> Result<Option<Found>> {
        let mut entries = match &self.root {
            Root::At(range) => {
                let mut bytes = vec![0; (range.end - range.start) as usize];
                self.disk.read_at(&mut bytes, range.start)?;
                bytes
            }
            Root::Cluster(first) => self.clusters_of(*first, MAX_DIRECTORY)?,
        };
        let mut names = path.split(['\\', '/']).filter(|name| !name.is_empty()).peekable();
        while let Some(name) = names.next() {
            let Some(found) = search(&entries, name) else { return Ok(None) };
            match (names.peek(), found.is_directory) {
                (None, _) => return Ok(Some(found)),
                (Some(_), true) => entries = self.clusters_of(found.first, MAX_DIRECTORY)?,
                (Some(_), false) => return Ok(None),
            }
        }
        Ok(None)
    }

    /// The bytes of the clusters from `first` on, `len` at most.
    fn clusters_of(&self, first: u64, len: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        // A file without any has no first cluster.
        let chain = if first == 0 { Vec::new() } else { self.chain(first, len)? };
        for cluster in chain {
            let start = bytes.len();
            let piece = self.cluster.min(len - start as u64);
            bytes.resize(start + piece as usize, 0);
            self.disk.read_at(&mut bytes[start..], self.place(cluster))?;
        }
        Ok(bytes)
    }
}

/// The entry of a directory that has this name, long or short.
fn search(entries: &[u8], name: &str) -> Option<Found> {
    let wanted = folded(name.encode_utf16());
    // The parts of a long name stand before the entry that they belong to, the last one first.
    let mut long: Vec<u16> = Vec::new();
    for entry in entries.as_chunks::<ENTRY>().0 {
        let attributes = entry[11];
        match entry[0] {
            0 => return None,
            FREE => long.clear(),
            _ if attributes & LONG_NAME == LONG_NAME => {
                let units = UNITS.map(|at| u16::from_le_bytes([entry[at], entry[at + 1]]));
                long.splice(0..0, units);
            }
            _ if attributes & VOLUME_LABEL != 0 => long.clear(),
            _ => {
                let long = folded(std::mem::take(&mut long).into_iter().take_while(|&unit| unit != 0));
                if long == wanted || short_name(entry) == wanted {
                    let word = |at: usize| u16::from_le_bytes([entry[at], entry[at + 1]]);
                    return Some(Found {
                        is_directory: attributes & DIRECTORY != 0,
                        first: u64::from(word(20)) << 16 | u64::from(word(26)),
                        size: u64::from(word(30)) << 16 | u64::from(word(28)),
                    });
                }
            }
        }
    }
    None
}

fn folded(units: impl Iterator<Item = u16>) -> Vec<u16> {
    units.map(upper).collect()
}

/// The short name, which is in upper case but for characters beyond ASCII, of whatever code page.
fn short_name(entry: &[u8; ENTRY]) -> Vec<u16> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    let (stem, extension) = (text(&entry[..8]), text(&entry[8..11]));
    let name = if extension.is_empty() { stem } else { format!("{stem}.{extension}") };
    folded(name.encode_utf16())
}
