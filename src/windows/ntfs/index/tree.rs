//! An index in memory: its root, its bitmap, and those blocks that a change has touched.

use std::borrow::Cow;
use std::collections::BTreeMap;

use zerocopy::{FromBytes, IntoBytes};

use super::collation::Collation;
use super::entry::Entry;
use super::node::{self, Geometry, IN_BLOCK, IN_ROOT, Node, Root};
use crate::error::{Error, Result};
use crate::windows::ntfs::fixup;
use crate::windows::ntfs::flaw::{Flaw, flaw};
use crate::windows::ntfs::upcase::Upcase;

/// Bytes of an index's blocks: it holds half a million names then.
const MAX_INDEX: u64 = 64 << 20;
/// Bytes of the bitmap of so many blocks.
pub(in crate::windows::ntfs) const MAX_BITMAP: u64 = MAX_INDEX / 512 / 8;
/// Nodes from the root to a leaf. Windows has 3 for 100,000 names.
pub(super) const MAX_DEPTH: usize = 24;
/// What errors call the parts of an index.
const ROOT: &str = "NTFS index root";
const BLOCK: &str = "NTFS index block";
/// `$BITMAP` is a multiple of this.
const BITMAP_UNIT: u64 = 64;

/// Where the blocks of an index are read from.
pub(in crate::windows::ntfs) trait Blocks {
    /// The block of a number, as it lies on the volume.
    fn read(&self, number: u64, block: &mut [u8]) -> Result<()>;
}

/// An index. After an operation that failed it may be changed in part, and is not for use.
pub(in crate::windows::ntfs) struct Index<'a> {
    pub(super) collation: Collation<'a>,
    pub(super) geometry: Geometry,
    root: Vec<u8>,
    bitmap: Vec<u8>,
    /// Blocks that there is room for.
    count: u64,
    blocks: &'a dyn Blocks,
    /// Blocks that were changed, without fixups.
    changed: BTreeMap<u64, Vec<u8>>,
}

/// What is to be written of an index.
pub(in crate::windows::ntfs) struct Changed {
    /// The value of `$INDEX_ROOT`.
    pub root: Vec<u8>,
    /// The value of `$BITMAP`; empty when there never was a block.
    pub bitmap: Vec<u8>,
    /// Blocks that `$INDEX_ALLOCATION` has room for.
    pub count: u64,
    /// Blocks, as they are written.
    pub blocks: BTreeMap<u64, Vec<u8>>,
}

/// Where a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Root,
    Block(u64),
}

/// The root of an index without entries: of the attributes of a kind, or of 0, with blocks of `block` bytes.
pub(in crate::windows::ntfs) fn new_root(
    kind: u32,
    collation: u32,
    block: u32,
    cluster: u64,
) -> Result<Vec<u8>> {
    let geometry = Geometry::new(block, cluster).map_err(|flaw| flaw.at(ROOT, 0))?;
    let root = Root {
        kind: kind.into(),
        collation: collation.into(),
        block_size: block.into(),
        units_per_block: geometry.units(),
        padding: [0; 3],
    };
    let mut root = root.as_bytes().to_vec();
    node::write_root(&mut root, &[], None);
    Ok(root)
}

impl<'a> Index<'a> {
    /// The index whose root and bitmap are these values, and whose allocation has room for `count` blocks. `cluster` is the volume's,
    /// in bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] for a root that is none, [`Error::Unsupported`] for an order that is not known.
    pub fn open(
        root: Vec<u8>,
        bitmap: Vec<u8>,
        count: u64,
        cluster: u64,
        upcase: &'a Upcase,
        blocks: &'a dyn Blocks,
    ) -> Result<Self> {
        let geometry = Geometry::of(&root, cluster).map_err(|flaw| flaw.at(ROOT, 0))?;
        let most = MAX_INDEX / geometry.block as u64;
        if count > most {
            let flaw = flaw(format!("at most {most} blocks"), format!("{count} blocks"));
            return Err(flaw.at("NTFS index", 0));
        }
        let rule = Root::ref_from_prefix(&root).map_or(0, |(root, _)| root.collation.get());
        let collation = Collation::of(rule, upcase).ok_or_else(|| Error::Unsupported {
            what: format!("an NTFS index with the collation {rule:#x} is not read"),
        })?;
        Ok(Self { collation, geometry, root, bitmap, count, blocks, changed: BTreeMap::new() })
    }

    /// What there is to be written.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`].
    pub fn finish(self) -> Result<Changed> {
        let mut blocks = self.changed;
        for (number, block) in &mut blocks {
            fixup::apply(block).map_err(|flaw| flaw.at(BLOCK, number * block.len() as u64))?;
        }
        Ok(Changed { root: self.root, bitmap: self.bitmap, count: self.count, blocks })
    }

    /// The bytes of a node, for [`parse`](Self::parse).
    pub(super) fn bytes(&self, place: Place) -> Result<Cow<'_, [u8]>> {
        let number = match place {
            Place::Root => return Ok(Cow::from(&self.root)),
            Place::Block(number) => number,
        };
        if let Some(block) = self.changed.get(&number) {
            return Ok(Cow::from(block));
        }
        let mut block = vec![0; self.geometry.block];
        self.blocks.read(number, &mut block)?;
        node::open_block(&mut block, self.geometry.vcn(number)).map_err(|flaw| self.at(place, flaw))?;
        Ok(Cow::from(block))
    }

    pub(super) fn parse<'b>(&self, place: Place, bytes: &'b [u8]) -> Result<Node<'b>> {
        let header = if place == Place::Root { IN_ROOT } else { IN_BLOCK };
        Node::parse(bytes, header).map_err(|flaw| self.at(place, flaw))
    }

    /// The node that an entry of the node at `parent` has for a child: a block in use.
    pub(super) fn child(&self, parent: Place, vcn: u64) -> Result<Place> {
        let in_use = |number: &u64| match self.in_use(*number) {
            true => Ok(()),
            false => Err(flaw("a block in use as a child", format!("the block {number}, which is free"))),
        };
        let number = self.geometry.number(vcn).and_then(|number| in_use(&number).map(|()| number));
        number.map(Place::Block).map_err(|flaw| self.at(parent, flaw))
    }

    /// The error for what is wrong in a node.
    pub(super) fn at(&self, place: Place, flaw: Flaw) -> Error {
        match place {
            Place::Root => flaw.at(ROOT, 0),
            Place::Block(number) => flaw.at(BLOCK, number.saturating_mul(self.geometry.block as u64)),
        }
    }

    /// Gives a node other entries.
    pub(super) fn write(&mut self, place: Place, entries: &[Entry], last: Option<u64>) -> Result<()> {
        match place {
            Place::Root => node::write_root(&mut self.root, entries, last),
            Place::Block(number) => {
                let (size, room) = (node::size(entries, last), node::room(self.geometry.block));
                // More than we would put into it are in a block with its entries in an unusual place.
                if size > room {
                    let found = format!("{size} bytes of them");
                    return Err(self.at(place, flaw(format!("entries of at most {room} bytes"), found)));
                }
                let mut block = self.bytes(place)?.into_owned();
                node::write_block(&mut block, self.geometry.vcn(number), entries, last);
                self.changed.insert(number, block);
            }
        }
        Ok(())
    }

    /// Whether a block is a part of the tree.
    fn in_use(&self, number: u64) -> bool {
        let byte = usize::try_from(number / 8).ok().and_then(|byte| self.bitmap.get(byte));
        number < self.count && byte.is_some_and(|byte| byte >> (number % 8) & 1 == 1)
    }

    fn mark(&mut self, number: u64, used: bool) {
        if let Some(byte) = usize::try_from(number / 8).ok().and_then(|byte| self.bitmap.get_mut(byte)) {
            let mask = 1 << (number % 8);
            *byte = if used { *byte | mask } else { *byte & !mask };
        }
    }

    /// A block that was not in use. It has to be written next.
    pub(super) fn allocate(&mut self) -> Result<u64> {
        let number = (0..self.count).find(|&number| !self.in_use(number)).unwrap_or(self.count);
        let mut block = vec![0; self.geometry.block];
        if number < self.count {
            self.blocks.read(number, &mut block)?;
        } else if (number + 1).saturating_mul(block.len() as u64) > MAX_INDEX {
            let what = format!("a directory whose index is longer than {MAX_INDEX} bytes is not written");
            return Err(Error::Unsupported { what });
        } else {
            self.count += 1;
        }
        let bitmap = (self.count.next_multiple_of(BITMAP_UNIT) / 8) as usize;
        self.bitmap.resize(self.bitmap.len().max(bitmap), 0);
        self.mark(number, true);
        self.changed.insert(number, block);
        Ok(number)
    }

    /// Takes a block out of use. What is in it does not matter any more.
    pub(super) fn free(&mut self, number: u64) {
        self.mark(number, false);
        self.changed.remove(&number);
    }
}
