//! Which cells of a hive are free: by place, so that neighbours become one, and by size, so that the smallest that
//! suffices is found.

use std::collections::{BTreeMap, BTreeSet};

/// Free cells that are remembered. A hive with more has its gaps everywhere, and those that are not remembered stay gaps.
const MOST: usize = 1 << 20;

#[derive(Debug, Default)]
pub(super) struct Free {
    places: BTreeMap<u32, u32>,
    sizes: BTreeSet<(u32, u32)>,
}

impl Free {
    pub(super) fn insert(&mut self, offset: u32, size: u32) {
        if self.places.len() < MOST {
            self.places.insert(offset, size);
            self.sizes.insert((size, offset));
        }
    }

    /// The smallest with so many bytes: its offset and its size.
    pub(super) fn smallest(&self, bytes: u32) -> Option<(u32, u32)> {
        self.sizes.range((bytes, 0)..).next().map(|&(size, offset)| (offset, size))
    }

    /// The one that ends where another cell begins. Between the cells of two bins lies a header.
    pub(super) fn before(&self, offset: u32) -> Option<(u32, u32)> {
        let (&before, &size) = self.places.range(..offset).next_back()?;
        (before + size == offset).then_some((before, size))
    }

    /// Takes the one at this place away; its size.
    pub(super) fn take(&mut self, offset: u32) -> Option<u32> {
        let size = self.places.remove(&offset)?;
        self.sizes.remove(&(size, offset));
        Some(size)
    }
}
