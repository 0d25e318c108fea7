//! Indexes of any kind: a tree of nodes, walked from its root in the order of its keys.
//!
//! What holds of it: keys ascend; all leaves lie equally deep; a node that has children has one before each entry and before its
//! end; each block is reached once, carries its own number, and is marked in the index's bitmap, which marks no others.

use std::cmp::Ordering;

use roaring::RoaringBitmap;

use super::context::Context;
use super::fault::NtfsFault;
use super::finding::Place;
use super::names::{FileName, INDEX};
use crate::error::Result;
use crate::windows::ntfs::fixup;
use crate::windows::ntfs::record::{Record, Reference, kind};
use crate::windows::ntfs::stream::Stream;
use crate::windows::ntfs::upcase::Upcase;

/// Nodes within each other: Windows' trees of millions of names have four.
const MAX_DEPTH: u32 = 16;
/// Blocks of an index whose bitmap is looked at: 4 GiB of them at 4 KiB each.
const MAX_BLOCKS: u64 = 1 << 20;
/// Where the index header begins in a root and in a block.
const IN_ROOT: usize = 16;
const IN_BLOCK: usize = 24;
const HEADER: usize = 16;
/// Bytes of an entry before its key.
const ENTRY: usize = 16;
const HAS_CHILD: u16 = 1;
const LAST: u16 = 2;
/// Collations, as the root names them.
const FILE_NAME: u32 = 1;
const ULONG: u32 = 0x10;
const SECURITY_HASH: u32 = 0x12;
const ULONGS: u32 = 0x13;

/// An entry with a key.
pub(super) struct Entry<'a> {
    /// What the key is that of, in an index of names.
    pub file: Reference,
    pub key: &'a [u8],
    /// What belongs to the key, in the other indexes.
    pub data: &'a [u8],
}

/// How keys are ordered.
#[derive(Clone, Copy)]
enum Collation<'a> {
    Names(&'a Upcase),
    Numbers,
    /// An order that is not known here.
    Unknown,
}

impl Collation<'_> {
    fn cmp(self, a: &[u8], b: &[u8]) -> Option<Ordering> {
        match self {
            Collation::Names(upcase) => {
                let (a, b) = (FileName::parse(a)?, FileName::parse(b)?);
                Some(upcase.compare(a.name.iter().copied(), b.name.iter().copied()))
            }
            Collation::Numbers => {
                let numbers = |bytes: &[u8]| -> Vec<u32> {
                    bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
                };
                Some(numbers(a).cmp(&numbers(b)))
            }
            Collation::Unknown => None,
        }
    }
}

type Visit<'a> = dyn FnMut(&mut Context, &Place, &Entry) -> Result<()> + 'a;

/// Walks the index `name` of a file and shows its entries in order. Whether all of it could be walked.
pub(super) fn walk(cx: &mut Context, base: &Record, name: &str, visit: &mut Visit) -> Result<bool> {
    let Some(root) = cx.require(base, kind::INDEX_ROOT, name)? else { return Ok(false) };
    let root_place = cx.stream(base.number, &root, (kind::INDEX_ROOT, name), "index root", 0);
    let read = root.read(cx.volume, cx.volume.boot.record_size);
    let Some(root) = cx.findings.catch(base.number, read)? else { return Ok(false) };
    let u32_at = |at: usize| root.get(at..at + 4).map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let (of, collation, block_size) = (u32_at(0), u32_at(4), u64::from(u32_at(8)));
    let expected = if name == INDEX { (kind::FILE_NAME, FILE_NAME) } else { (0, collation) };
    let sane = block_size.is_power_of_two() && (512..=64 << 10).contains(&block_size);
    if (of, collation) != expected || !sane || root.len() < IN_ROOT + HEADER {
        let found = format!("one of type {of:#x}, collation {collation:#x}, blocks of {block_size} bytes");
        cx.add(NtfsFault::IndexRoot, root_place, format!("an index root of {name}"), found);
        return Ok(false);
    }
    let blocks = cx.find(base, kind::INDEX_ALLOCATION, name)?;
    let count = blocks.as_ref().map_or(0, |blocks| blocks.size / block_size).min(MAX_BLOCKS);
    let upcase = &cx.volume.upcase;
    let cluster = cx.volume.boot.cluster_size;
    let mut walk = Walk {
        base,
        name,
        block_size,
        unit: if cluster <= block_size { cluster } else { 512 },
        collation: match collation {
            FILE_NAME => Collation::Names(upcase),
            ULONG | SECURITY_HASH | ULONGS => Collation::Numbers,
            _ => Collation::Unknown,
        },
        count,
        marked: marked(cx, base, name, blocks.is_some(), count)?,
        blocks,
        reached: RoaringBitmap::new(),
        previous: Vec::new(),
        leaves: None,
        whole: true,
    };
    let header = |at: usize| u32_at(IN_ROOT + at) as usize;
    let (used, allocated, room) = (header(4), header(8), root.len() - IN_ROOT);
    if used != allocated || allocated != room {
        let found = format!("{used} used, {allocated} allocated");
        let expected = format!("{room} bytes used and allocated");
        cx.add(NtfsFault::IndexRootSlack, root_place.clone(), expected, found);
    }
    walk.node(cx, &root[IN_ROOT..], &root_place, 0, visit)?;
    walk.check_bitmap(cx);
    Ok(walk.whole)
}

/// The blocks that the index's bitmap marks.
fn marked(cx: &mut Context, base: &Record, name: &str, large: bool, count: u64) -> Result<RoaringBitmap> {
    if !large {
        return Ok(RoaringBitmap::new());
    }
    let Some(bitmap) = cx.require(base, kind::BITMAP, name)? else { return Ok(RoaringBitmap::new()) };
    // A little more than there are blocks for: what is marked beyond them is told.
    let mut bytes = vec![0; bitmap.size.min(count / 8 + 64) as usize];
    let read = bitmap.read_at(cx.volume, &mut bytes, 0);
    let read = cx.findings.catch(base.number, read)?;
    Ok(read.map_or_else(RoaringBitmap::new, |()| RoaringBitmap::from_lsb0_bytes(0, &bytes)))
}

struct Walk<'a> {
    base: &'a Record,
    name: &'a str,
    blocks: Option<Stream>,
    block_size: u64,
    /// What VCNs of blocks count in: clusters, or 512 bytes where clusters are larger than blocks.
    unit: u64,
    collation: Collation<'a>,
    /// Blocks that there is room for.
    count: u64,
    marked: RoaringBitmap,
    reached: RoaringBitmap,
    previous: Vec<u8>,
    /// The depth of the leaves.
    leaves: Option<u32>,
    whole: bool,
}

impl Walk<'_> {
    /// One node, from its index header on; what lies below it comes between its entries.
    fn node(
        &mut self,
        cx: &mut Context,
        node: &[u8],
        place: &Place,
        depth: u32,
        visit: &mut Visit,
    ) -> Result<()> {
        let u16_at = |at: usize| node.get(at..at + 2).map_or(0, |b| u16::from_le_bytes([b[0], b[1]]));
        let u32_at =
            |at: usize| node.get(at..at + 4).map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let (first, used) = ((u32_at(0) as usize).min(node.len()), u32_at(4) as usize);
        let is_node = node.get(12).is_some_and(|flags| flags & 1 != 0);
        let entries = node.get(..used).unwrap_or(node);
        let mut at = first;
        let mut flagged = true;
        loop {
            let header = entries.get(at..at + ENTRY).filter(|_| first >= HEADER);
            let Some(header) = header else {
                let found = format!("an end at byte {used}, and no such entry at byte {at}");
                cx.add(
                    NtfsFault::IndexUsed,
                    place.clone(),
                    "entries up to one that is marked as the last",
                    found,
                );
                self.whole &= first >= HEADER && at == entries.len();
                break;
            };
            let (len, key_len, flags) =
                (usize::from(u16_at(at + 8)), usize::from(u16_at(at + 10)), u16_at(at + 12));
            let child = if flags & HAS_CHILD != 0 { 8 } else { 0 };
            let entry = entries.get(at..at + len).filter(|_| len.is_multiple_of(8) && len >= ENTRY + child);
            let key = entry.and_then(|entry| entry[ENTRY..len - child].get(..key_len));
            let (Some(entry), Some(key)) = (entry, key) else {
                let found = format!("{len} bytes, a key of {key_len}, at byte {at}");
                cx.add(NtfsFault::IndexEntry, place.clone(), "an entry within its node", found);
                self.whole = false;
                break;
            };
            if flagged && is_node != (child > 0) {
                let (expected, found) = if is_node { ("children", "none") } else { ("no children", "one") };
                let expected = format!("{expected}, as the node's flag says");
                cx.add(NtfsFault::IndexNodeFlag, place.clone(), expected, format!("{found} at byte {at}"));
                flagged = false;
            }
            match entry[len - child..].first_chunk() {
                Some(vcn) => self.descend(cx, u64::from_le_bytes(*vcn), place, depth, visit)?,
                None => self.leaf(cx, place, depth),
            }
            at += len;
            if flags & LAST != 0 {
                if at != used {
                    let found = format!("{used} bytes in use");
                    cx.add(NtfsFault::IndexUsed, place.clone(), format!("{at} bytes in use"), found);
                }
                break;
            }
            self.in_order(cx, place, key);
            let (data, data_len) = (usize::from(u16_at(at - len)), usize::from(u16_at(at - len + 2)));
            let file = Reference(header.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes)));
            let data = entry[..len - child].get(data..data + data_len).unwrap_or_default();
            visit(cx, place, &Entry { file, key, data })?;
        }
        Ok(())
    }

    /// The block that an entry of a node at `depth` names.
    fn descend(
        &mut self,
        cx: &mut Context,
        vcn: u64,
        parent: &Place,
        depth: u32,
        visit: &mut Visit,
    ) -> Result<()> {
        cx.job.check()?;
        let byte = vcn.checked_mul(self.unit).filter(|byte| byte.is_multiple_of(self.block_size));
        let number = byte.map(|byte| byte / self.block_size).filter(|&number| number < self.count);
        let (Some(number), Some(blocks)) = (number, &self.blocks) else {
            let expected = format!("a block of {}", self.count);
            cx.add(NtfsFault::IndexChild, parent.clone(), expected, format!("VCN {vcn}"));
            self.whole = false;
            return Ok(());
        };
        let offset = number * self.block_size;
        let at = (kind::INDEX_ALLOCATION, self.name);
        let place = cx.stream(self.base.number, blocks, at, "index block", offset);
        if !self.reached.insert(number as u32) {
            cx.add(NtfsFault::IndexLoop, place, format!("block {number} named once"), "twice");
            self.whole = false;
            return Ok(());
        }
        if depth >= MAX_DEPTH {
            cx.add(NtfsFault::IndexDepth, place, format!("at most {MAX_DEPTH} levels"), "more");
            self.whole = false;
            return Ok(());
        }
        if !self.marked.contains(number as u32) {
            let expected = format!("block {number} marked in $BITMAP");
            cx.add(NtfsFault::IndexBitmapClear, place.clone(), expected, "marked free");
        }
        let mut block = vec![0; self.block_size as usize];
        let read = blocks.read_at(cx.volume, &mut block, offset);
        if cx.findings.catch(self.base.number, read)?.is_none() {
            self.whole = false;
            return Ok(());
        }
        if let Err(flaw) = fixup::remove(&mut block, b"INDX") {
            let torn = block.starts_with(b"INDX");
            let fault = if torn { NtfsFault::IndexBlockTorn } else { NtfsFault::IndexBlockMagic };
            cx.findings.flaw(fault, place, flaw);
            self.whole = false;
            return Ok(());
        }
        let own = block.get(0x10..0x18).and_then(<[u8]>::first_chunk).map_or(0, |b| u64::from_le_bytes(*b));
        if own != vcn {
            cx.add(NtfsFault::IndexBlockVcn, place.clone(), format!("VCN {vcn}"), own.to_string());
        }
        let (room, node) = (block.len() - IN_BLOCK, &block[IN_BLOCK..]);
        let allocated = u32::from_le_bytes([node[8], node[9], node[10], node[11]]) as usize;
        if allocated != room {
            let expected = format!("{room} bytes allocated");
            cx.add(NtfsFault::IndexAllocated, place.clone(), expected, format!("{allocated} bytes"));
        }
        self.node(cx, node, &place, depth + 1, visit)
    }

    fn leaf(&mut self, cx: &mut Context, place: &Place, depth: u32) {
        let leaves = *self.leaves.get_or_insert(depth);
        if leaves != depth {
            let expected = format!("leaves at depth {leaves}");
            cx.add(NtfsFault::IndexDepth, place.clone(), expected, format!("one at depth {depth}"));
            // Told once.
            self.leaves = Some(depth);
        }
    }

    fn in_order(&mut self, cx: &mut Context, place: &Place, key: &[u8]) {
        if !self.previous.is_empty() {
            let names = matches!(self.collation, Collation::Names(_));
            let order = self.collation.cmp(&self.previous, key);
            let fault = match order {
                Some(Ordering::Greater) => Some(NtfsFault::IndexOrder),
                Some(Ordering::Equal) if names => Some(NtfsFault::IndexCaseTwin),
                Some(Ordering::Equal) => Some(NtfsFault::IndexOrder),
                _ => None,
            };
            if let Some(fault) = fault {
                let found = format!("{} behind {}", self.text(key), self.text(&self.previous));
                cx.add(fault, place.clone(), "keys that ascend", found);
            }
        }
        self.previous.clear();
        self.previous.extend_from_slice(key);
    }

    /// A key for people.
    fn text(&self, key: &[u8]) -> String {
        match (self.collation, FileName::parse(key)) {
            (Collation::Names(_), Some(name)) => format!("{:?}", name.text()),
            _ => format!("{key:02x?}"),
        }
    }

    /// No block is marked that was not reached. Of a tree that could not be walked through nothing can be said.
    fn check_bitmap(&self, cx: &mut Context) {
        let Some(blocks) = self.blocks.as_ref().filter(|_| self.whole) else { return };
        for number in &self.marked - &self.reached {
            let offset = u64::from(number) * self.block_size;
            let at = (kind::INDEX_ALLOCATION, self.name);
            let place = cx.stream(self.base.number, blocks, at, "index block", offset);
            let expected = "blocks of the tree alone marked in $BITMAP";
            cx.add(NtfsFault::IndexBitmapLeak, place, expected, format!("block {number} of {}", self.count));
        }
    }
}
