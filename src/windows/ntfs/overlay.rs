//! Changes that lie over a volume until they are written. Whoever reads the volume sees them.
//!
//! What the volume itself keeps (records, indexes, bitmaps) is held in memory by the sector; what files hold is only
//! referred to. A sector in memory hides a content beneath it; no two contents meet; all of them begin and end with a
//! sector. Every change is noted until it is kept, so that an operation that fails leaves nothing behind.

use std::collections::BTreeMap;

use crate::disk::{Changes, Content, Patch};
use crate::error::Result;

#[derive(Default)]
pub(super) struct Overlay {
    /// Bytes of a sector; 0 where nothing may be changed.
    sector: u64,
    /// By number.
    sectors: BTreeMap<u64, Box<[u8]>>,
    /// By the offset on the volume where they begin.
    contents: BTreeMap<u64, Content>,
    undo: Vec<Undo>,
}

/// What was there before.
enum Undo {
    Sector(u64, Option<Box<[u8]>>),
    Content(u64, Option<Content>),
}

/// What lies at a place.
enum Piece<'a> {
    Sector(&'a [u8]),
    /// The content, and how many of its bytes come before.
    Content(&'a Content, u64),
    Below,
}

impl Overlay {
    pub fn new(sector: u64) -> Self {
        Self { sector, ..Self::default() }
    }

    pub fn is_empty(&self) -> bool {
        self.sectors.is_empty() && self.contents.is_empty()
    }

    /// What lies at `offset`, and for how many of `len` bytes.
    fn piece(&self, offset: u64, len: u64) -> (Piece<'_>, u64) {
        let skip = offset % self.sector;
        if let Some(sector) = self.sectors.get(&(offset / self.sector)) {
            let bytes = &sector[skip as usize..];
            let len = len.min(bytes.len() as u64);
            return (Piece::Sector(&bytes[..len as usize]), len);
        }
        let next = self.sectors.range(offset / self.sector..).next();
        let len = next.map_or(len, |(number, _)| len.min(number * self.sector - offset));
        if let Some((start, content)) = self.contents.range(..=offset).next_back()
            && offset < start + content.len
        {
            return (Piece::Content(content, offset - start), len.min(start + content.len - offset));
        }
        let next = self.contents.range(offset..).next();
        (Piece::Below, next.map_or(len, |(start, _)| len.min(start - offset)))
    }

    /// Fills `buf` from `offset` on; `below` reads the volume without the changes.
    pub fn read(
        &self,
        mut buf: &mut [u8],
        mut offset: u64,
        below: impl Fn(&mut [u8], u64) -> Result<()>,
    ) -> Result<()> {
        if self.is_empty() {
            return below(buf, offset);
        }
        while !buf.is_empty() {
            let (piece, len) = self.piece(offset, buf.len() as u64);
            let (part, rest) = buf.split_at_mut(len as usize);
            match piece {
                Piece::Sector(bytes) => part.copy_from_slice(bytes),
                Piece::Content(content, skip) => content.read(part, skip)?,
                Piece::Below => below(part, offset)?,
            }
            (buf, offset) = (rest, offset + len);
        }
        Ok(())
    }

    /// Puts `bytes` at `offset`.
    pub fn write(
        &mut self,
        mut offset: u64,
        mut bytes: &[u8],
        below: impl Fn(&mut [u8], u64) -> Result<()>,
    ) -> Result<()> {
        while !bytes.is_empty() {
            let (number, skip) = (offset / self.sector, (offset % self.sector) as usize);
            let (part, rest) = bytes.split_at(bytes.len().min(self.sector as usize - skip));
            let mut sector = vec![0; self.sector as usize].into_boxed_slice();
            if part.len() < sector.len() {
                self.read(&mut sector, number * self.sector, &below)?;
            }
            sector[skip..skip + part.len()].copy_from_slice(part);
            self.set_sector(number, Some(sector));
            (bytes, offset) = (rest, offset + part.len() as u64);
        }
        Ok(())
    }

    /// Puts `content` in its place, which begins and ends with a sector.
    pub fn put(&mut self, content: Content) {
        let (start, end) = (content.offset, content.offset + content.len);
        if start == end {
            return;
        }
        let hidden: Vec<u64> =
            self.sectors.range(start / self.sector..end / self.sector).map(|(number, _)| *number).collect();
        hidden.into_iter().for_each(|number| self.set_sector(number, None));
        let before = self.contents.range(..start).next_back().map(|(start, _)| *start);
        let within = self.contents.range(start..end).map(|(start, _)| *start);
        let met: Vec<u64> = before.into_iter().chain(within).collect();
        for at in met {
            let Some(old) = self.contents.get(&at).cloned() else { continue };
            let old_end = at + old.len;
            if old_end <= start {
                continue;
            }
            self.set_content(at, None);
            if at < start {
                self.set_content(at, Some(old.part(0, start - at)));
            }
            if old_end > end {
                self.set_content(end, Some(old.part(end - at, old_end - end)));
            }
        }
        self.set_content(start, Some(content));
    }

    /// Makes `len` bytes from `offset` on zeros.
    pub fn zero(
        &mut self,
        offset: u64,
        len: u64,
        below: impl Fn(&mut [u8], u64) -> Result<()>,
    ) -> Result<()> {
        let end = offset + len;
        let (first, last) = (offset.next_multiple_of(self.sector), end / self.sector * self.sector);
        if first >= last {
            return self.write(offset, &vec![0; len as usize], below);
        }
        self.write(offset, &vec![0; (first - offset) as usize], &below)?;
        self.write(last, &vec![0; (end - last) as usize], &below)?;
        self.put(Content { offset: first, len: last - first, source: None });
        Ok(())
    }

    fn set_sector(&mut self, number: u64, sector: Option<Box<[u8]>>) {
        let old = match sector {
            Some(sector) => self.sectors.insert(number, sector),
            None => self.sectors.remove(&number),
        };
        self.undo.push(Undo::Sector(number, old));
    }

    fn set_content(&mut self, start: u64, content: Option<Content>) {
        let old = match content {
            Some(content) => self.contents.insert(start, content),
            None => self.contents.remove(&start),
        };
        self.undo.push(Undo::Content(start, old));
    }

    /// The changes so far are there to stay.
    pub fn keep(&mut self) {
        self.undo.clear();
    }

    /// Takes back what was changed since changes were last kept.
    pub fn take_back(&mut self) {
        for undo in std::mem::take(&mut self.undo).into_iter().rev() {
            match undo {
                Undo::Sector(number, Some(sector)) => drop(self.sectors.insert(number, sector)),
                Undo::Sector(number, None) => drop(self.sectors.remove(&number)),
                Undo::Content(start, Some(content)) => drop(self.contents.insert(start, content)),
                Undo::Content(start, None) => drop(self.contents.remove(&start)),
            }
        }
    }

    /// All changes, for a disk on which the volume begins at `start`.
    pub fn changes(mut self, start: u64) -> Changes {
        let mut changes = Changes::default();
        for (&at, content) in &self.contents {
            let mut skip = 0;
            while skip < content.len {
                let (piece, len) = self.piece(at + skip, content.len - skip);
                if let Piece::Content(content, skip) = piece {
                    let part = content.part(skip, len);
                    changes.contents.push(Content { offset: start + part.offset, ..part });
                }
                skip += len;
            }
        }
        let mut patches: Vec<Patch> = Vec::new();
        for (number, sector) in std::mem::take(&mut self.sectors) {
            let offset = start + number * self.sector;
            match patches.last_mut() {
                Some(last) if last.offset + last.bytes.len() as u64 == offset => {
                    last.bytes.extend_from_slice(&sector);
                }
                _ => patches.push(Patch { offset, bytes: sector.into_vec() }),
            }
        }
        changes.and(patches)
    }
}
