//! Compressed grains: the marker in front of each, and what it may say.

use zerocopy::FromBytes;
use zerocopy::little_endian::{U32, U64};

use super::grain_map::GrainMap;
use super::layout::{GRAIN_MARKER, SECTOR};
use crate::disk::{Codec, Packed};
use crate::error::{Problem, Result};
use crate::leaves::Format;
use crate::storage::ImageFile;

/// How the grains of an extent are packed.
#[derive(Clone, Copy)]
pub(super) enum Packing {
    /// Behind a marker with the grain's first sector and its packed size (flag bit 17).
    Markers,
    /// Behind its packed size alone.
    Sizes,
}

/// The most bytes to which zlib may blow up a grain that does not compress, and a sector more for other deflaters.
pub(super) fn longest(grain: u64) -> u64 {
    grain + grain / 1000 + SECTOR
}

impl Packing {
    /// Grain `index`, whose marker lies at `at`; the run begins `skip` bytes into it.
    pub(super) fn grain(
        self,
        map: &GrainMap,
        file: &ImageFile,
        index: u64,
        at: u64,
        skip: u64,
    ) -> Result<Packed> {
        let mut marker = [0; GRAIN_MARKER as usize];
        let marker = match self {
            Packing::Markers => &mut marker[..],
            Packing::Sizes => &mut marker[8..],
        };
        file.read_exact_at(marker, at)?;
        let defect = |problem, expected: String, found: String| {
            file.defect(Format::Vmdk, problem, "grain marker", at, expected, found)
        };
        if let (Packing::Markers, Ok((lba, _))) = (self, U64::read_from_prefix(marker)) {
            let expected = index * (map.grain / SECTOR);
            if lba.get() != expected {
                return Err(defect(
                    Problem::Value,
                    format!("sector {expected}, the grain's place"),
                    format!("{lba}"),
                ));
            }
        }
        let len = U32::read_from_suffix(marker).map_or(0, |(_, size)| size.get());
        let offset = at + marker.len() as u64;
        if len == 0 || u64::from(len) > longest(map.grain) {
            let expected = format!("a packed size of 1 to {} bytes", longest(map.grain));
            return Err(defect(Problem::Compression, expected, format!("{len}")));
        }
        if offset + u64::from(len) > file.size() {
            let expected = format!("{len} bytes of the grain within a file of {} bytes", file.size());
            let found = format!("an end at {}", offset + u64::from(len));
            return Err(defect(Problem::Truncated, expected, found));
        }
        let mut packed = Packed {
            file: map.file,
            offset,
            len,
            codec: Codec::Zlib,
            unpacked: map.grain as u32,
            skip: skip as u32,
        };
        let left = map.size - index * map.grain;
        if left < map.grain {
            packed.unpacked = match map.last_grain.get() {
                Some(&unpacked) => unpacked,
                None => {
                    let unpacked = last_grain(file, &packed, left)?;
                    *map.last_grain.get_or_init(|| unpacked)
                }
            };
        }
        Ok(packed)
    }
}

/// To how many bytes the grain inflates in which the disk ends: VirtualBox and VDDK pack a whole one, qemu and
/// open-vmdk only what is left of the disk.
fn last_grain(file: &ImageFile, packed: &Packed, left: u64) -> Result<u32> {
    let mut bytes = vec![0; packed.len as usize];
    file.read_exact_at(&mut bytes, packed.offset)?;
    let mut grain = vec![0; packed.unpacked as usize];
    match crate::deflate::inflate(&bytes, &mut grain) {
        Ok(len) if len as u64 == left => Ok(len as u32),
        // Anything else is judged where the grain is read.
        _ => Ok(packed.unpacked),
    }
}
