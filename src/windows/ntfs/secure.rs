//! `$Secure`: the security descriptors of a volume, each kept once, of which files know the ids.
//!
//! The stream `$SDS` has the descriptors, each behind a header and at a multiple of 16 bytes. None crosses from one 256 KiB to the next, and
//! each second 256 KiB are a copy of those before. Its size ends with the copy of the last descriptor. `$SII` has the headers by id, `$SDH` by
//! hash and id.

use std::ops::ControlFlow;

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::directory::with_index;
use super::flaw::{Flaw, flaw};
use super::index::{Entry, view_entry};
use super::record::kind;
use super::stream::Stream;
use super::volume::{Volume, system_file};
use crate::error::Result;

/// The descriptors.
pub(super) const SDS: &str = "$SDS";
/// The indexes by id and by hash.
pub(super) const SII: &str = "$SII";
pub(super) const SDH: &str = "$SDH";

/// The unit that has its copy behind it.
const HALF: u64 = 256 << 10;
const ALIGN: u64 = 16;
/// No descriptor of Windows has a smaller id.
const FIRST_ID: u32 = 0x100;
/// What the entries of `$SDH` end with: "II" in UTF-16.
const SDH_END: [u8; 4] = *b"I\0I\0";

/// What stands before a descriptor, and in the indexes.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Header {
    hash: U32,
    id: U32,
    /// Where it lies in `$SDS`.
    offset: U64,
    /// Bytes, with this header.
    len: U32,
}
const HEADER: usize = size_of::<Header>();

/// What is to be written for a descriptor that is new.
pub(super) struct Addition {
    pub id: u32,
    /// Where in `$SDS`: the descriptor, and its copy.
    pub offsets: [u64; 2],
    pub bytes: Vec<u8>,
    /// The entries of the indexes.
    pub sii: Vec<u8>,
    pub sdh: Vec<u8>,
}

/// What descriptors are looked up by.
fn hash(descriptor: &[u8]) -> u32 {
    let words = descriptor.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word));
    words.fold(0, |hash: u32, word| hash.rotate_left(3).wrapping_add(word))
}

/// The descriptor of an id, if there is one.
///
/// # Errors
///
/// [`crate::Error::Damaged`], and what reading the disk gives rise to; as all that follow.
pub(super) fn descriptor(volume: &Volume, id: u32) -> Result<Option<Vec<u8>>> {
    let secure = volume.record(system_file::SECURE)?;
    match with_index(volume, &secure, SII, |index| index.get(&id.to_le_bytes()))? {
        Some(entry) => read(volume, header(&entry).map_err(|flaw| flaw.at("NTFS $SII", 0))?).map(Some),
        None => Ok(None),
    }
}

/// The id of a descriptor, if the volume has it.
pub(super) fn find(volume: &Volume, descriptor: &[u8]) -> Result<Option<u32>> {
    let secure = volume.record(system_file::SECURE)?;
    let hash = hash(descriptor);
    let mut id = 0;
    // Different ones may have the same hash.
    loop {
        let key = [hash.to_le_bytes(), u32::to_le_bytes(id)].concat();
        let Some(entry) = with_index(volume, &secure, SDH, |index| index.first_from(&key))? else {
            return Ok(None);
        };
        let header = header(&entry).map_err(|flaw| flaw.at("NTFS $SDH", 0))?;
        if header.hash.get() != hash || header.id.get() < id {
            return Ok(None);
        }
        if read(volume, header)? == descriptor {
            return Ok(Some(header.id.get()));
        }
        let Some(next) = header.id.get().checked_add(1) else { return Ok(None) };
        id = next;
    }
}

/// What adds a descriptor: with the id after the largest, behind all that there are. chkdsk takes the last ones out when no file has them,
/// and leaves the stream as long as it was.
pub(super) fn addition(volume: &Volume, descriptor: &[u8]) -> Result<Addition> {
    let secure = volume.record(system_file::SECURE)?;
    let size = volume.required(&secure, kind::DATA, SDS)?.size;
    let (mut id, mut end) = (FIRST_ID, size.saturating_sub(HALF));
    let broken = with_index(volume, &secure, SII, |index| {
        index.walk(&mut |entry| match header(&entry.to_vec()) {
            Ok(header) => {
                id = id.max(header.id.get().saturating_add(1));
                end = end.max(header.offset.get().saturating_add(header.len.get().into()));
                ControlFlow::Continue(())
            }
            Err(flaw) => ControlFlow::Break(flaw),
        })
    })?;
    let placed = match broken {
        ControlFlow::Break(flaw) => Err(flaw),
        ControlFlow::Continue(()) => {
            place(end, HEADER + descriptor.len()).filter(|_| id < u32::MAX).ok_or_else(|| {
                flaw(
                    "room for a descriptor",
                    format!("{} bytes behind {end}, with the id {id}", descriptor.len()),
                )
            })
        }
    };
    let offset = placed.map_err(|flaw| flaw.at("NTFS $SDS", end))?;
    let header = Header {
        hash: hash(descriptor).into(),
        id: id.into(),
        offset: offset.into(),
        len: ((HEADER + descriptor.len()) as u32).into(),
    };
    let mut sdh = view_entry(&header.as_bytes()[..8], header.as_bytes());
    let padding = sdh.len() - SDH_END.len();
    sdh[padding..].copy_from_slice(&SDH_END);
    Ok(Addition {
        id,
        offsets: [offset, offset + HALF],
        bytes: [header.as_bytes(), descriptor].concat(),
        sii: view_entry(&id.to_le_bytes(), header.as_bytes()),
        sdh,
    })
}

/// Where an entry of `len` bytes lies when those before it end at `end`.
fn place(end: u64, len: usize) -> Option<u64> {
    let len = u64::try_from(len).ok().filter(|&len| len <= HALF)?;
    let offset = end.checked_next_multiple_of(ALIGN)?;
    let next = (offset / (2 * HALF)).checked_add(1)?.checked_mul(2 * HALF)?;
    Some(if offset % (2 * HALF) + len <= HALF { offset } else { next })
}

/// The header in an entry of one of the indexes.
fn header(entry: &[u8]) -> Result<Header, Flaw> {
    let data = Entry::parse(entry).and_then(|entry| entry.data());
    let header = data.and_then(|data| Header::read_from_bytes(data).ok());
    header.ok_or_else(|| flaw("the header of a security descriptor", "other data"))
}

/// The descriptor of a header, or its copy.
fn read(volume: &Volume, header: Header) -> Result<Vec<u8>> {
    let secure = volume.record(system_file::SECURE)?;
    let sds = volume.required(&secure, kind::DATA, SDS)?;
    let (offset, len) = (header.offset.get(), u64::from(header.len.get()));
    for offset in [Some(offset), offset.checked_add(HALF)].into_iter().flatten() {
        let end = offset.checked_add(len).filter(|end| *end <= sds.size && len <= HALF);
        if end.is_none() {
            continue;
        }
        if let Some(descriptor) = stored(volume, &sds, offset, header)? {
            return Ok(descriptor);
        }
    }
    let expected = format!("the security descriptor {:#x} of {len} bytes", header.id.get());
    Err(flaw(expected, "another one, there and in the copy").at("NTFS $SDS", offset))
}

/// What lies at an offset, if it is what the header tells.
fn stored(volume: &Volume, sds: &Stream, offset: u64, header: Header) -> Result<Option<Vec<u8>>> {
    let mut bytes = vec![0; header.len.get() as usize];
    sds.read_at(volume, &mut bytes, offset)?;
    let descriptor = bytes.strip_prefix(header.as_bytes());
    Ok(descriptor.filter(|bytes| hash(bytes) == header.hash.get()).map(<[u8]>::to_vec))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Disk;

    fn with_volume(with: impl FnOnce(&Volume)) {
        let disk: Disk = crate::open(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/ntfs.vmdk")).unwrap();
        with(&Volume::open(&disk, 0..disk.size()).unwrap());
    }

    /// The descriptors that mkntfs writes are found by their ids and by their content, which their hashes lead to.
    #[test]
    fn descriptors_are_found_both_ways() {
        with_volume(|volume| {
            let mut descriptors = Vec::new();
            for id in FIRST_ID..FIRST_ID + 2 {
                let found = descriptor(volume, id).unwrap().unwrap();
                assert_eq!(find(volume, &found).unwrap(), Some(id));
                descriptors.push(found);
            }
            assert_ne!(descriptors[0], descriptors[1]);
            assert_eq!(descriptor(volume, 0xff).unwrap(), None);
            descriptors[0].push(0);
            assert_eq!(find(volume, &descriptors[0]).unwrap(), None);
        });
    }

    /// An addition goes behind the last one, as the entries that are there do.
    #[test]
    fn an_addition_is_like_what_is_there() {
        with_volume(|volume| {
            let last = descriptor(volume, FIRST_ID + 1).unwrap().unwrap();
            let secure = volume.record(system_file::SECURE).unwrap();
            let key = |id: u32, hash: u32| [hash.to_le_bytes(), id.to_le_bytes()].concat();
            let sdh = with_index(volume, &secure, SDH, |index| index.get(&key(FIRST_ID + 1, hash(&last))));
            let sdh = sdh.unwrap().unwrap();
            let added = addition(volume, &last).unwrap();
            assert_eq!(added.id, FIRST_ID + 2);
            let before = header(&sdh).unwrap();
            let end = before.offset.get() + u64::from(before.len.get());
            assert_eq!(added.offsets, [end.next_multiple_of(16), end.next_multiple_of(16) + 0x40000]);
            // But for id, offset and hash, which is that of the same bytes.
            assert_eq!(
                (added.sdh.len(), &added.sdh[..16], &added.sdh[44..]),
                (sdh.len(), &sdh[..16], &sdh[44..])
            );
            assert_eq!(added.sdh[16..20], sdh[16..20]);
            assert_eq!(added.bytes[20..], last);
            assert_eq!(header(&added.sii).unwrap().as_bytes(), &added.bytes[..20]);
        });
    }

    #[test]
    fn no_descriptor_crosses_into_a_copy() {
        let half = HALF as usize;
        assert_eq!(place(0, 100), Some(0));
        assert_eq!(place(1, 100), Some(16));
        assert_eq!(place(HALF - 112, 112), Some(HALF - 112));
        assert_eq!(place(HALF - 112, 113), Some(2 * HALF));
        assert_eq!(place(HALF, 20), Some(2 * HALF));
        assert_eq!(place(2 * HALF - 1, 20), Some(2 * HALF));
        assert_eq!(place(2 * HALF, half), Some(2 * HALF));
        assert_eq!(place(0, half + 1), None);
        assert_eq!(place(u64::MAX - 3, 20), None);
    }
}
