//! The digest of a part of a file, whatever of it is a hole.

use crate::error::Result;
use crate::leaves::is_zero;
use crate::sink::blueprint::Forwards;
use crate::storage::WritableFile;

/// Bytes of a unit.
const UNIT: u64 = 64 * 1024;

/// Digests the units of a file that are not all zeros, each behind its number. Bytes come in order.
pub(super) struct Units {
    hasher: blake3::Hasher,
    number: u64,
    unit: Vec<u8>,
}

impl Units {
    pub(super) fn new() -> Self {
        Self { hasher: blake3::Hasher::new(), number: 0, unit: vec![0; UNIT as usize] }
    }

    /// The bytes at `offset` are `data`.
    pub(super) fn put(&mut self, mut offset: u64, mut data: &[u8]) {
        while !data.is_empty() {
            let within = offset % UNIT;
            if offset / UNIT != self.number {
                self.turn();
                self.number = offset / UNIT;
            }
            let (now, later) = data.split_at((UNIT - within).min(data.len() as u64) as usize);
            self.unit[within as usize..within as usize + now.len()].copy_from_slice(now);
            offset += now.len() as u64;
            data = later;
        }
    }

    pub(super) fn finish(mut self) -> blake3::Hash {
        self.turn();
        self.hasher.finalize()
    }

    fn turn(&mut self) {
        if !is_zero(&self.unit) {
            self.hasher.update(&self.number.to_le_bytes());
            self.hasher.update(&self.unit);
            self.unit.fill(0);
        }
    }
}

/// A part of a file of zeros that is written forwards.
pub(super) struct PartFile {
    pub(super) file: WritableFile,
    pub(super) at: u64,
    pub(super) units: Units,
}

impl Forwards for PartFile {
    fn write_all(&mut self, data: &[u8]) -> Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        self.units.put(self.at, data);
        self.file.write_all_at(data, self.at)?;
        self.at += data.len() as u64;
        Ok(())
    }

    fn zeros_to(&mut self, position: u64) -> Result<()> {
        self.at = self.at.max(position);
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_do_not_matter_and_places_do() {
        let digest = |parts: &[(u64, &[u8])]| {
            let mut units = Units::new();
            parts.iter().for_each(|(offset, data)| units.put(*offset, data));
            units.finish()
        };
        let data = [7; 3000];
        let far = 5 * UNIT - 1000;
        let written = digest(&[(100, &data), (far, &data)]);
        let mut whole = vec![0; 8 * UNIT as usize];
        whole[100..3100].copy_from_slice(&data);
        whole[far as usize..far as usize + 3000].copy_from_slice(&data);
        assert_eq!(digest(&[(0, &whole)]), written);
        assert_ne!(digest(&[(101, &data), (far, &data)]), written);
        assert_ne!(digest(&[(100, &data), (far + UNIT, &data)]), written);
        assert_ne!(digest(&[(100, &data)]), written);
    }
}
