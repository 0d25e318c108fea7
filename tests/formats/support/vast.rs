//! A file that is larger than a file system may have room for.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

use diskport::storage::{ReadAt, WriteAt};

const BLOCK: u64 = 4096;

/// Holes but where something was written; a clone is the same file.
#[derive(Clone, Default)]
pub struct Vast(Arc<Mutex<Content>>);

#[derive(Default)]
struct Content {
    size: u64,
    /// By their numbers. Behind the size they are zeros.
    blocks: BTreeMap<u64, Vec<u8>>,
}

impl Vast {
    fn content(&self) -> MutexGuard<'_, Content> {
        self.0.lock().expect("nobody panics with it")
    }
}

/// The parts of `len` bytes from `offset` on: a block, where in it a part begins, and where that lies in a buffer.
fn parts(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, Range<usize>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let (block, within) = ((offset + at as u64) / BLOCK, ((offset + at as u64) % BLOCK) as usize);
        let part = at..len.min(at + BLOCK as usize - within);
        at = part.end;
        (!part.is_empty()).then_some((block, within, part))
    })
}

impl ReadAt for Vast {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let content = self.content();
        let len = content.size.saturating_sub(offset).min(buf.len() as u64) as usize;
        for (block, within, part) in parts(offset, len) {
            match content.blocks.get(&block) {
                Some(bytes) => buf[part.clone()].copy_from_slice(&bytes[within..][..part.len()]),
                None => buf[part].fill(0),
            }
        }
        Ok(len)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.content().size)
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<Range<u64>>> {
        let content = self.content();
        let next = content.blocks.range(offset / BLOCK..).next().map(|(block, _)| block * BLOCK);
        Ok(next.map(|at| at.max(offset)..(at + BLOCK).min(content.size)).filter(|data| !data.is_empty()))
    }
}

impl WriteAt for Vast {
    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        let mut content = self.content();
        for (block, within, part) in parts(offset, data.len()) {
            let bytes = content.blocks.entry(block).or_insert_with(|| vec![0; BLOCK as usize]);
            bytes[within..][..part.len()].copy_from_slice(&data[part]);
        }
        content.size = content.size.max(offset + data.len() as u64);
        Ok(())
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        let mut content = self.content();
        content.size = size;
        content.blocks.split_off(&size.div_ceil(BLOCK));
        if let Some(last) = content.blocks.get_mut(&(size / BLOCK)) {
            last[(size % BLOCK) as usize..].fill(0);
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}
