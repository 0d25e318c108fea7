//! The encoding: up to four files, each given by its length and by those of its sectors that are not zeros.
//!
//! A disk image is large and mostly zeros, so a whole one makes a poor input. Every record has the same size, which
//! lets a mutation change one sector without moving the meaning of the next.

use crate::Sparse;

pub const SECTOR: usize = 512;
/// Files of an input: an image, and its parents or extents in the order in which they are asked for.
pub const FILES: usize = 4;
/// Flags, then the length of each file.
pub(crate) const HEADER: usize = 1 + 8 * FILES;
/// The file's number, the sector's number, the sector.
pub(crate) const RECORD: usize = 1 + 4 + SECTOR;
/// No file is longer: offsets beyond it are as good as any others that lie outside.
const LONGEST: u64 = 1 << 40;

#[derive(Clone, Default)]
pub struct Input {
    flags: u8,
    pub files: [Sparse; FILES],
}

impl Input {
    /// Flag: checksums are left as they are. Without it they are made right before the image is opened.
    pub const KEEP_CHECKSUMS: u8 = 1;
    /// Flag: a parent with another identity is read all the same.
    pub const ANY_PARENT: u8 = 2;
    /// Flag: what binds one structure to another by a random value (a log entry to its log) is left as it is.
    pub const KEEP_BINDINGS: u8 = 4;

    pub fn new(flags: u8) -> Self {
        Self { flags, ..Self::default() }
    }

    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Any bytes are an input.
    pub fn decode(data: &[u8]) -> Self {
        let mut input = Self::default();
        let Some((header, records)) = data.split_at_checked(HEADER) else { return input };
        input.flags = header[0];
        for (file, length) in input.files.iter_mut().zip(header[1..].chunks_exact(8)) {
            file.set_len(u64::from_le_bytes(length.try_into().unwrap()) % (LONGEST + 1));
        }
        for record in records.chunks_exact(RECORD) {
            let file = usize::from(record[0]) % FILES;
            let sector = u32::from_le_bytes(record[1..5].try_into().unwrap());
            input.files[file].put(sector, record[5..].try_into().unwrap());
        }
        input
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut data = vec![self.flags];
        self.files.iter().for_each(|file| data.extend(file.len().to_le_bytes()));
        for (index, file) in self.files.iter().enumerate() {
            for (sector, bytes) in file.sectors() {
                data.push(index as u8);
                data.extend(sector.to_le_bytes());
                data.extend(bytes);
            }
        }
        data
    }
}
