//! One node of an index: a header, and entries of which the last has no key.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::entry::{CHILD, Entry, EntryHeader, HAS_CHILD, HEADER, LAST};
use crate::windows::ntfs::fixup;
use crate::windows::ntfs::flaw::{Flaw, flaw};

pub(super) const SIGNATURE: &[u8; 4] = b"INDX";
/// Where the node's header lies in the root attribute, and in a block.
pub(super) const IN_ROOT: usize = 16;
pub(super) const IN_BLOCK: usize = 24;
/// The unit of a node's number where a cluster is larger than a block.
const SMALL_UNIT: u64 = 512;

/// The root attribute, before the node's header.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Root {
    pub kind: U32,
    pub collation: U32,
    pub block_size: U32,
    pub units_per_block: u8,
    pub padding: [u8; 3],
}

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct NodeHeader {
    /// Where the entries begin, from this header on, as the next two.
    pub entries: U32,
    pub used: U32,
    pub allocated: U32,
    pub flags: U32,
}
const HAS_CHILDREN: u32 = 1;

/// What an index block begins with.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Block {
    signature: [u8; 4],
    fixups: U16,
    fixup_count: U16,
    lsn: U64,
    /// The block's own number.
    vcn: U64,
    node: NodeHeader,
}
/// Where the entries begin in the root attribute.
pub(super) const ROOT_ENTRIES: usize = IN_ROOT + size_of::<NodeHeader>();
/// Where Windows puts the update sequence array.
const FIXUPS: usize = size_of::<Block>();

/// How large blocks are, and how they are numbered.
#[derive(Debug, Clone, Copy)]
pub(in crate::windows::ntfs) struct Geometry {
    /// Bytes of a block.
    pub block: usize,
    /// Bytes that a number stands for: a cluster, and 512 bytes where a block is smaller than one.
    unit: u64,
}

impl Geometry {
    pub fn new(block: u32, cluster: u64) -> Result<Self, Flaw> {
        let unit = if cluster <= u64::from(block) { cluster } else { SMALL_UNIT };
        match block.is_power_of_two() && (512..=64 << 10).contains(&block) {
            true => Ok(Self { block: block as usize, unit }),
            false => Err(flaw("index blocks of 512 bytes to 64 KiB", format!("{block} bytes"))),
        }
    }

    pub fn of(root: &[u8], cluster: u64) -> Result<Self, Flaw> {
        let (root, _) = Root::ref_from_prefix(root).map_err(|_| flaw("an index root", "a part of one"))?;
        Self::new(root.block_size.get(), cluster)
    }

    /// Which block a number on the volume means, counted from the first.
    pub fn number(&self, vcn: u64) -> Result<u64, Flaw> {
        let per_block = u64::from(self.units());
        match vcn.is_multiple_of(per_block) {
            true => Ok(vcn / per_block),
            false => Err(flaw(format!("a block that begins at a multiple of {per_block}"), vcn.to_string())),
        }
    }

    /// The number of a block on the volume.
    pub fn vcn(&self, number: u64) -> u64 {
        number.saturating_mul(self.units().into())
    }

    /// Numbers from one block to the next: 1 to 128.
    pub fn units(&self) -> u8 {
        (self.block as u64 / self.unit) as u8
    }
}

/// The entries of a node, as its bytes tell.
#[derive(Debug, Clone)]
pub(super) struct Node<'a> {
    pub entries: Vec<Entry<'a>>,
    /// The child of the end entry.
    pub last: Option<u64>,
}

impl<'a> Node<'a> {
    /// The node whose header lies at byte `at`. Whether its keys are in order is not looked at.
    pub fn parse(node: &'a [u8], at: usize) -> Result<Self, Flaw> {
        let cut = || flaw("index entries within their node", "a length beyond it");
        let index = node.get(at..).unwrap_or_default();
        let (header, _) = NodeHeader::read_from_prefix(index).map_err(|_| cut())?;
        let mut rest =
            index.get(header.entries.get() as usize..header.used.get() as usize).ok_or_else(cut)?;
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let (fixed, _) = EntryHeader::ref_from_prefix(rest).map_err(|_| cut())?;
            let flags = fixed.flags.get();
            let (bytes, next) = rest.split_at_checked(fixed.len.get().into()).ok_or_else(cut)?;
            let (bytes, child) = match flags & HAS_CHILD {
                0 => (bytes, None),
                _ => {
                    let (bytes, child) = bytes.split_last_chunk().ok_or_else(cut)?;
                    (bytes, Some(u64::from_le_bytes(*child)))
                }
            };
            if entries.first().is_some_and(|first| first.child.is_some() != child.is_some()) {
                return Err(flaw("a node of which every entry has a child, or none", "one of both"));
            }
            let key_len = if flags & LAST == 0 { usize::from(fixed.key_len.get()) } else { 0 };
            // An entry that is shorter than its header would be met for ever.
            if bytes.len() < HEADER + key_len || !bytes.len().is_multiple_of(8) {
                return Err(cut());
            }
            if flags & LAST != 0 {
                return Ok(Self { entries, last: child });
            }
            entries.push(Entry { bytes, child });
            rest = next;
        }
    }

    /// The child before the entry `slot`; behind them all is the end entry's.
    pub fn child(&self, slot: usize) -> Option<u64> {
        self.entries.get(slot).map_or(self.last, |entry| entry.child)
    }
}

/// Bytes that entries and the end entry take.
pub(super) fn size(entries: &[Entry], last: Option<u64>) -> usize {
    entries.iter().map(Entry::len).sum::<usize>() + HEADER + last.map_or(0, |_| CHILD)
}

/// The root attribute with other entries.
pub(super) fn write_root(root: &mut Vec<u8>, entries: &[Entry], last: Option<u64>) {
    root.resize(ROOT_ENTRIES + size(entries, last), 0);
    let header = NodeHeader {
        entries: (size_of::<NodeHeader>() as u32).into(),
        used: ((root.len() - IN_ROOT) as u32).into(),
        allocated: ((root.len() - IN_ROOT) as u32).into(),
        flags: flags(last),
    };
    root[IN_ROOT..ROOT_ENTRIES].copy_from_slice(header.as_bytes());
    write_entries(&mut root[ROOT_ENTRIES..], entries, last);
}

/// Makes of what lay in a block's place the block `vcn` with these entries, which fit: see [`room`].
///
/// The update sequence number goes on from the one that was there: one that begins anew would not tell a block that was written in
/// part.
pub(super) fn write_block(block: &mut [u8], vcn: u64, entries: &[Entry], last: Option<u64>) {
    let (lsn, number) = match Block::ref_from_prefix(block) {
        Ok((old, _)) if old.signature == *SIGNATURE => {
            let at = usize::from(old.fixups.get());
            (old.lsn, block.get(at..at + 2).map_or([0; 2], |number| [number[0], number[1]]))
        }
        _ => (0.into(), [0; 2]),
    };
    let start = start(block.len());
    let header = Block {
        signature: *SIGNATURE,
        fixups: (FIXUPS as u16).into(),
        fixup_count: (fixup::entries(block.len()) as u16).into(),
        lsn,
        vcn: vcn.into(),
        node: NodeHeader {
            entries: ((start - IN_BLOCK) as u32).into(),
            used: ((start - IN_BLOCK + size(entries, last)) as u32).into(),
            allocated: ((block.len() - IN_BLOCK) as u32).into(),
            flags: flags(last),
        },
    };
    block.fill(0);
    block[..FIXUPS].copy_from_slice(header.as_bytes());
    block[FIXUPS..FIXUPS + 2].copy_from_slice(&number);
    write_entries(&mut block[start..], entries, last);
}

fn flags(last: Option<u64>) -> U32 {
    last.map_or(0, |_| HAS_CHILDREN).into()
}

fn write_entries(mut to: &mut [u8], entries: &[Entry], last: Option<u64>) {
    let mut end = [0; HEADER];
    end[8] = HEADER as u8;
    let end = Entry { bytes: &end, child: last };
    for (entry, flag) in entries.iter().map(|entry| (entry, 0)).chain([(&end, LAST)]) {
        let (at, rest) = to.split_at_mut(entry.len());
        at[..entry.bytes.len()].copy_from_slice(entry.bytes);
        if let Some(child) = entry.child {
            at[entry.bytes.len()..].copy_from_slice(&child.to_le_bytes());
        }
        let flags = flag | entry.child.map_or(0, |_| HAS_CHILD);
        at[8..10].copy_from_slice(&(entry.len() as u16).to_le_bytes());
        at[12..14].copy_from_slice(&flags.to_le_bytes());
        to = rest;
    }
}

/// Bytes that a block has for entries, the end entry's too.
pub(super) fn room(block: usize) -> usize {
    block - start(block)
}

/// Where the entries of a block begin: behind its update sequence array.
fn start(block: usize) -> usize {
    (FIXUPS + 2 * fixup::entries(block)).next_multiple_of(8)
}

/// Takes the fixups out of a block as it was read, and makes sure that it is the one that it should be.
pub(super) fn open_block(block: &mut [u8], vcn: u64) -> Result<(), Flaw> {
    fixup::remove(block, SIGNATURE)?;
    let own = Block::ref_from_prefix(block).map_or(0, |(block, _)| block.vcn.get());
    match own == vcn {
        true => Ok(()),
        false => Err(flaw(format!("the index block {vcn}"), format!("the index block {own}"))),
    }
}
