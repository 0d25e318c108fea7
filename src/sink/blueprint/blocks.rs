//! Which blocks of a disk are in the file of an image.

use roaring::RoaringBitmap;

/// A set of block numbers, compressed: 8 MiB at most for a VHDX of 64 TiB with blocks of 1 MiB.
///
/// No format has more than 2^32 blocks.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct BlockSet(RoaringBitmap);

impl BlockSet {
    pub(crate) fn insert(&mut self, block: u64) {
        self.0.insert(block as u32);
    }

    pub(crate) fn contains(&self, block: u64) -> bool {
        self.0.contains(block as u32)
    }

    pub(crate) fn len(&self) -> u64 {
        self.0.len()
    }

    /// In order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u64> {
        self.0.iter().map(u64::from)
    }

    /// In order.
    pub(crate) fn into_iter(self) -> impl Iterator<Item = u64> + Send {
        self.0.into_iter().map(u64::from)
    }

    /// The block before which `rank` others are.
    #[cfg(feature = "shards")]
    pub(crate) fn select(&self, rank: u64) -> Option<u64> {
        self.0.select(u32::try_from(rank).ok()?).map(u64::from)
    }

    /// The last one.
    #[cfg(feature = "shards")]
    pub(crate) fn last(&self) -> Option<u64> {
        self.0.max().map(u64::from)
    }

    /// The set in the portable form of all Roaring bitmaps.
    #[cfg(feature = "shards")]
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut set = self.0.clone();
        set.optimize();
        let mut bytes = Vec::with_capacity(set.serialized_size());
        // Writing into a vector does not fail.
        let _ = set.serialize_into(&mut bytes);
        bytes
    }

    /// The set that these bytes are, if they are one.
    #[cfg(feature = "shards")]
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        RoaringBitmap::deserialize_from(bytes).ok().map(Self)
    }
}
