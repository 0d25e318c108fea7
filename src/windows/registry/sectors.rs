//! A file, with some of its sectors replaced in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::storage::ReadAt;

pub(super) const SECTOR: usize = 512;

/// Bytes of a hive's file that change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedSectors {
    /// The first byte in the file. It may lie behind the end, as [`Hive::file_size`](super::Hive::file_size) says.
    pub offset: u64,
    /// The new bytes: whole sectors of 512 bytes.
    pub bytes: Vec<u8>,
}

#[derive(Clone)]
pub(super) struct Sectors {
    file: Arc<dyn ReadAt>,
    len: u64,
    replaced: BTreeMap<u64, [u8; SECTOR]>,
}

impl Sectors {
    pub(super) fn new(file: Arc<dyn ReadAt>) -> Result<Self> {
        let len = file.size().map_err(failed)?;
        Ok(Self { file, len, replaced: BTreeMap::new() })
    }

    /// Bytes of the file.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Beyond the end of the file there are zeros.
    pub(super) fn read(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.read_file(buf, offset)?;
        let end = offset + buf.len() as u64;
        let sectors = offset / SECTOR as u64..end.div_ceil(SECTOR as u64);
        for (&sector, bytes) in self.replaced.range(sectors) {
            let at = sector * SECTOR as u64;
            let (from, to) = (at.max(offset), (at + SECTOR as u64).min(end));
            buf[(from - offset) as usize..(to - offset) as usize]
                .copy_from_slice(&bytes[(from - at) as usize..(to - at) as usize]);
        }
        Ok(())
    }

    pub(super) fn write(&mut self, mut bytes: &[u8], mut offset: u64) -> Result<()> {
        while !bytes.is_empty() {
            let (sector, skip) = (offset / SECTOR as u64, (offset % SECTOR as u64) as usize);
            let mut content = [0; SECTOR];
            self.read(&mut content, sector * SECTOR as u64)?;
            let (now, later) = bytes.split_at(bytes.len().min(SECTOR - skip));
            content[skip..skip + now.len()].copy_from_slice(now);
            self.replaced.insert(sector, content);
            offset += now.len() as u64;
            bytes = later;
        }
        Ok(())
    }

    /// One past the last byte that was replaced.
    pub(super) fn replaced_end(&self) -> u64 {
        self.replaced.last_key_value().map_or(0, |(&sector, _)| (sector + 1) * SECTOR as u64)
    }

    /// What differs from the file, in runs of whole sectors.
    pub(super) fn edits(&self) -> Result<Vec<ChangedSectors>> {
        let mut edits: Vec<ChangedSectors> = Vec::new();
        for (&sector, bytes) in &self.replaced {
            let offset = sector * SECTOR as u64;
            let mut before = [0; SECTOR];
            self.read_file(&mut before, offset)?;
            match edits.last_mut() {
                _ if before == *bytes => {}
                Some(last) if last.offset + last.bytes.len() as u64 == offset => last.bytes.extend(bytes),
                _ => edits.push(ChangedSectors { offset, bytes: bytes.to_vec() }),
            }
        }
        Ok(edits)
    }

    fn read_file(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let inside = self.len.saturating_sub(offset).min(buf.len() as u64) as usize;
        let (inside, beyond) = buf.split_at_mut(inside);
        beyond.fill(0);
        self.file.read_exact_at(inside, offset).map_err(failed)
    }
}

fn failed(source: std::io::Error) -> Error {
    Error::io("read", "registry hive", source)
}
