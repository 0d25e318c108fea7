//! Chunks of files, kept because they will be asked for again.

use std::sync::{Arc, PoisonError, RwLock};

use crate::error::Result;

/// Chunks of files, kept by what tells them apart; a chunk that falls on a taken slot replaces the one that was
/// there.
pub(crate) struct ChunkCache<K = u64> {
    slots: Box<[RwLock<Option<Chunk<K>>>]>,
}

struct Chunk<K> {
    key: K,
    bytes: Arc<Vec<u8>>,
}

impl ChunkCache {
    /// The chunk of this number, loaded when it is not kept.
    pub(crate) fn get(&self, number: u64, load: impl FnOnce() -> Result<Vec<u8>>) -> Result<Arc<Vec<u8>>> {
        self.get_at(number, number, load)
    }

    /// Keeps `bytes` as the chunk of this number: the file has them, or will have.
    pub(crate) fn put(&self, number: u64, bytes: Vec<u8>) {
        let slot = &self.slots[(number % self.slots.len() as u64) as usize];
        *slot.write().unwrap_or_else(PoisonError::into_inner) =
            Some(Chunk { key: number, bytes: bytes.into() });
    }
}

impl<K: Copy + Eq> ChunkCache<K> {
    /// A cache of at most `slots` chunks (at least 1).
    pub(crate) fn new(slots: u64) -> Self {
        Self { slots: (0..slots.max(1)).map(|_| RwLock::new(None)).collect() }
    }

    /// The chunk called `key`, kept in the slot that `place` gives, loaded when it is not kept.
    pub(crate) fn get_at(
        &self,
        place: u64,
        key: K,
        load: impl FnOnce() -> Result<Vec<u8>>,
    ) -> Result<Arc<Vec<u8>>> {
        let slot = &self.slots[(place % self.slots.len() as u64) as usize];
        if let Some(chunk) = &*slot.read().unwrap_or_else(PoisonError::into_inner)
            && chunk.key == key
        {
            return Ok(chunk.bytes.clone());
        }
        let bytes = Arc::new(load()?);
        *slot.write().unwrap_or_else(PoisonError::into_inner) = Some(Chunk { key, bytes: bytes.clone() });
        Ok(bytes)
    }

    /// Forgets the chunk in the slot that `place` gives: the file holds another one now.
    pub(crate) fn forget(&self, place: u64) {
        let slot = &self.slots[(place % self.slots.len() as u64) as usize];
        *slot.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
