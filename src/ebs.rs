//! The blocks that Amazon's EBS direct APIs take: `PutSnapshotBlock` and `CompleteSnapshot`.

use std::ops::Range;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest as _, Sha256};

use crate::compare::Differences;
use crate::disk::{Block, Data, Disk};
use crate::error::{Error, Result};
use crate::job::Job;
use crate::leaves::GIB;

/// Bytes of a block: "a block index is a logical index in units of 512 KiB blocks".
pub const BLOCK_SIZE: u64 = 512 << 10;

/// The blocks of a disk for a snapshot, in ascending order: an iterator. Blocks that are zeros, or equal to the parent's, are left out.
///
/// ```
/// use diskport::ebs::EbsBlocks;
///
/// # let image = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/small.vhdx");
/// # fn put_snapshot_block(_: u64, _: &[u8], _: &str) {}
/// let disk = diskport::open(image)?;
/// let mut blocks = EbsBlocks::of(&disk);
/// for block in &mut blocks {
///     let block = block?;
///     put_snapshot_block(block.index, &block.data, &block.checksum());
/// }
/// let summary = blocks.summary(); // for CompleteSnapshot
/// println!("{} blocks, {}", summary.changed_blocks, summary.checksum);
/// # Ok::<(), diskport::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Cancelled`], and all that reading gives rise to; nothing follows them.
pub struct EbsBlocks {
    changes: Differences,
    size: u64,
    /// What is left of the change that came last.
    change: Option<(Block, Range<u64>)>,
    /// Over the digests of the blocks so far.
    aggregate: Sha256,
    count: u64,
}

/// A block of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EbsBlock {
    /// Counts blocks of [`BLOCK_SIZE`] from the disk's beginning.
    pub index: u64,
    /// As many bytes; beyond the disk's end they are zeros.
    pub data: Vec<u8>,
    /// SHA-256 of the data.
    pub sha256: [u8; 32],
}

/// What completes a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EbsSummary {
    /// `ChangedBlocksCount`.
    pub changed_blocks: u64,
    /// `Checksum`, aggregated by the `LINEAR` method: SHA-256 over the blocks' digests in ascending order, in base64.
    pub checksum: String,
    /// `VolumeSize` of `StartSnapshot`, in GiB.
    pub volume_gib: u64,
}

impl EbsBlock {
    /// The digest in base64, as `PutSnapshotBlock` takes it.
    pub fn checksum(&self) -> String {
        BASE64_STANDARD.encode(self.sha256)
    }
}

impl EbsBlocks {
    /// All blocks of `disk` that are not zeros.
    pub fn of(disk: &Disk) -> Self {
        Self::between(&Disk::empty(disk.size(), disk.logical_sector_size()), disk)
    }

    /// The blocks of `disk` that differ from those of `parent`, whose snapshot `ParentSnapshotId` names.
    ///
    /// # Errors
    ///
    /// [`Error::OutputTooSmall`] when the parent is larger: a snapshot is no smaller than its parent.
    pub fn since(parent: &Disk, disk: &Disk) -> Result<Self> {
        let (needed, given) = (parent.size().div_ceil(GIB), disk.size().div_ceil(GIB));
        if given < needed {
            return Err(Error::OutputTooSmall { needed: parent.size(), given: disk.size() });
        }
        Ok(Self::between(parent, disk))
    }

    fn between(old: &Disk, new: &Disk) -> Self {
        let changes = Differences::between(old, new).grain(BLOCK_SIZE);
        Self { changes, size: new.size(), change: None, aggregate: Sha256::new(), count: 0 }
    }

    /// How far the blocks have come, what stops them, and how fast they may go.
    pub fn job(self, job: &Job) -> Self {
        Self { changes: self.changes.job(job), ..self }
    }

    /// What there was so far: after the last block, what `CompleteSnapshot` takes.
    pub fn summary(&self) -> EbsSummary {
        EbsSummary {
            changed_blocks: self.count,
            checksum: BASE64_STANDARD.encode(self.aggregate.clone().finalize()),
            volume_gib: self.size.div_ceil(GIB).max(1),
        }
    }

    fn advance(&mut self) -> Result<Option<EbsBlock>> {
        let (block, mut rest) = match self.change.take() {
            Some(change) => change,
            None => match self.changes.next().transpose()? {
                Some(block) => {
                    let range = block.offset..block.end();
                    (block, range)
                }
                None => return Ok(None),
            },
        };
        let start = rest.start;
        rest.start = (start + BLOCK_SIZE).min(rest.end);
        let mut data = vec![0; BLOCK_SIZE as usize];
        if let Data::Bytes(bytes) = &block.data {
            let part = &bytes[(start - block.offset) as usize..(rest.start - block.offset) as usize];
            data[..part.len()].copy_from_slice(part);
        }
        if !rest.is_empty() {
            self.change = Some((block, rest));
        }
        let sha256: [u8; 32] = Sha256::digest(&data).into();
        self.aggregate.update(sha256);
        self.count += 1;
        Ok(Some(EbsBlock { index: start / BLOCK_SIZE, data, sha256 }))
    }
}

impl Iterator for EbsBlocks {
    type Item = Result<EbsBlock>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().transpose()
    }
}
