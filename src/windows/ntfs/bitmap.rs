//! `$Bitmap`: which clusters are in use, a bit each, with changes that lie over it.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};

use super::flaw::flaw;
use super::record::kind;
use super::stream::Stream;
use super::volume::{Volume, system_file};
use crate::error::Result;

/// Bytes that are changed at once.
const UNIT: u64 = 512;
/// Bytes that are read at once.
const CHUNK: u64 = 64 << 10;

impl Volume {
    /// Bytes that are free.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`](crate::Error::Damaged), and what reading the disk gives rise to.
    pub fn free(&self) -> Result<u64> {
        let mut bytes = 0;
        self.free_runs(|run| bytes += run.end - run.start)?;
        Ok(bytes)
    }

    /// Calls `visit` with the runs of bytes of the disk that are free, in order.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`](crate::Error::Damaged), and what reading the disk gives rise to.
    pub fn free_runs(&self, mut visit: impl FnMut(Range<u64>)) -> Result<()> {
        let at = |cluster: u64| self.on_disk(cluster * self.boot.cluster_size);
        Bitmap::read(self)?.runs(0..self.boot.clusters, false, |run| visit(at(run.start)..at(run.end)))
    }
}

pub(super) struct Bitmap<'v> {
    volume: &'v Volume,
    stream: Stream,
    /// Units with changes, by their number.
    changed: BTreeMap<u64, Vec<u8>>,
}

impl<'v> Bitmap<'v> {
    pub fn read(volume: &'v Volume) -> Result<Self> {
        let record = volume.record(system_file::BITMAP)?;
        let stream = volume.required(&record, kind::DATA, "")?;
        let clusters = volume.boot.clusters;
        // Rounded up to 8 bytes, or to a whole cluster.
        let (least, most) =
            (clusters.div_ceil(8), clusters.div_ceil(8).next_multiple_of(volume.boot.cluster_size));
        match (least..=most).contains(&stream.size) {
            true => Ok(Self { volume, stream, changed: BTreeMap::new() }),
            false => volume.in_record(&record, |_| {
                Err(flaw(format!("a bitmap of {least} to {most} bytes"), stream.size.to_string()))
            }),
        }
    }

    /// The bits themselves.
    pub fn into_stream(self) -> Stream {
        self.stream
    }

    /// Its length in bytes.
    pub fn len(&self) -> u64 {
        self.stream.size
    }

    /// Calls `visit` with the runs of `clusters` that are in use, or that are free.
    pub fn runs(&self, clusters: Range<u64>, used: bool, mut visit: impl FnMut(Range<u64>)) -> Result<()> {
        self.search(clusters, used, u64::MAX, |run| {
            visit(run);
            ControlFlow::Continue(())
        })
    }

    /// The same, until `visit` has seen enough. A run is shown as soon as it is seen to have `enough` clusters, and what follows it as
    /// another one.
    pub fn search(
        &self,
        clusters: Range<u64>,
        used: bool,
        enough: u64,
        mut visit: impl FnMut(Range<u64>) -> ControlFlow<()>,
    ) -> Result<()> {
        let mut open: Option<u64> = None;
        let mut at = clusters.start / 8 / UNIT * UNIT;
        while at * 8 < clusters.end {
            let bytes = self.bytes(at, CHUNK.min(self.stream.size - at))?;
            for (word, bits) in words(&bytes) {
                let first = at * 8 + word * 64;
                // Most words are full or empty, and go on with what came before.
                let same = if open.is_some() == used { u64::MAX } else { 0 };
                if bits == same {
                    continue;
                }
                for bit in 0..64 {
                    let cluster = first + bit;
                    if !clusters.contains(&cluster) {
                        continue;
                    }
                    match (bits >> bit & 1 == u64::from(used), open) {
                        (true, None) => open = Some(cluster),
                        (false, Some(start)) => {
                            if visit(start..cluster).is_break() {
                                return Ok(());
                            }
                            open = None;
                        }
                        _ => {}
                    }
                }
            }
            at += CHUNK;
            let seen = clusters.end.min(at * 8);
            if let Some(start) = open.filter(|start| seen - start >= enough) {
                if visit(start..seen).is_break() {
                    return Ok(());
                }
                open = None;
            }
        }
        if let Some(start) = open {
            let _ = visit(start..clusters.end);
        }
        Ok(())
    }

    /// Says that clusters are in use, or that they are free.
    pub fn set(&mut self, clusters: Range<u64>, used: bool) -> Result<()> {
        for cluster in clusters {
            let (byte, mask) = (cluster / 8, 1 << (cluster % 8));
            let unit = byte / UNIT;
            if !self.changed.contains_key(&unit) {
                let len = UNIT.min(self.stream.size.saturating_sub(unit * UNIT));
                self.changed.insert(unit, self.bytes(unit * UNIT, len)?);
            }
            let bytes = self.changed.get_mut(&unit);
            if let Some(byte) = bytes.and_then(|bytes| bytes.get_mut((byte % UNIT) as usize)) {
                *byte = if used { *byte | mask } else { *byte & !mask };
            }
        }
        Ok(())
    }

    /// What has changed: the offset in the bitmap, and the bytes there.
    pub fn changes(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.changed.iter().map(|(unit, bytes)| (unit * UNIT, bytes.as_slice()))
    }

    fn bytes(&self, at: u64, len: u64) -> Result<Vec<u8>> {
        let mut bytes = vec![0; len as usize];
        self.stream.read_at(self.volume, &mut bytes, at)?;
        for (unit, changed) in self.changed.range(at / UNIT..(at + len).div_ceil(UNIT)) {
            let start = (unit * UNIT - at) as usize;
            bytes[start..start + changed.len()].copy_from_slice(changed);
        }
        Ok(bytes)
    }
}

/// The 64-bit words of a bitmap by their number; the last one may lack bytes, which are zeros then.
fn words(bytes: &[u8]) -> impl Iterator<Item = (u64, u64)> {
    bytes.chunks(8).zip(0..).map(|(chunk, number)| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        (number, u64::from_le_bytes(word))
    })
}
