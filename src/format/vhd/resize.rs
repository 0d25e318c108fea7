//! Changing the size of a dynamic disk.

use std::ops::Range;

use zerocopy::IntoBytes;

use super::header::Header;
use super::layout::SECTOR;
use super::pending::Pending;
use super::skeleton;
use super::write::Writer;
use crate::error::{Error, Result};
use crate::job::Job;
use crate::leaves::Format;

/// Bytes of the BAT that are copied at once.
const PIECE: u64 = 64 << 10;

impl Writer {
    /// Makes the disk `size` bytes large. What must hold for the new size is made durable before the footers say it, and what
    /// only the old size needs goes afterwards.
    pub(super) fn change_size(&self, pending: &mut Pending, size: u64, job: &Job) -> Result<()> {
        self.publish(pending)?;
        let (size, old) = (self.allowed_size(size)?, self.dynamic.info.size);
        if size == old {
            return Ok(());
        }
        let (blocks, before) = (size.div_ceil(self.dynamic.bat.block_size), self.dynamic.bat.blocks());
        if size > old {
            self.zero_tail(pending)?;
            self.extend_table(pending, before..blocks, job)?;
            job.check()?;
        }
        let footer = skeleton::resized(&pending.footers.footer, size);
        pending.footers.replace(footer)?;
        if size < old {
            let at = self.header.fields.table_offset.get();
            skeleton::unused(&self.file, at + blocks * 4..at + before * 4)?;
            self.file.sync()?;
            self.write_header(at, blocks)?;
            self.cut(pending, blocks)?;
        }
        Ok(())
    }

    /// The size that the disk is given for `size`, if it can be.
    pub(super) fn allowed_size(&self, size: u64) -> Result<u64> {
        let (size, old) = (skeleton::check_size(size)?, self.dynamic.info.size);
        if size == old {
            return Ok(size);
        }
        if self.is_child() {
            let limit = format!("a differencing disk is as large as its parent, {old} bytes");
            return Err(Error::SizeLimit { format: Format::Vhd, size, limit });
        }
        if !self.dynamic.bat.batmap.is_empty() {
            let reason =
                "XenServer's batmap lies where its BAT would grow; vhd-util can resize it".to_owned();
            return Err(Error::NotWritable { file: self.file.name().to_owned(), reason });
        }
        Ok(size)
    }

    /// Makes zeros of what the last block holds beyond the disk's end.
    fn zero_tail(&self, pending: &mut Pending) -> Result<()> {
        let bat = &self.dynamic.bat;
        let last = bat.blocks() - 1;
        let place = self.place(&self.tables(), &mut self.dynamic.cursor(), last)?;
        let Some(place) = place else { return Ok(()) };
        let data = place + bat.bitmap_size;
        let tail = data + bat.used(last)..data + bat.block_size;
        if tail.is_empty() {
            return Ok(());
        }
        // Where the block was cut with the disk, its tail may be another's, or the file's end.
        let own = tail.end <= pending.end
            && self.structures(pending).take(tail.clone()).is_ok()
            && self.blocks_in(&tail)?.is_empty();
        if own {
            self.file.zero(tail)?;
        } else {
            let to = self.fresh(pending)?;
            self.move_block(pending, last, place, to)?;
        }
        self.publish(pending)
    }

    /// Makes the table as long as the disk needs with the blocks in `added`, which are unused.
    fn extend_table(&self, pending: &mut Pending, added: Range<u64>, job: &Job) -> Result<()> {
        let Range { start: before, end: blocks } = added;
        let table = self.header.table();
        let len = (blocks * 4).next_multiple_of(SECTOR);
        let in_place = table.start..table.start + len;
        let mut space = self.structures(pending);
        space.free(table.clone());
        let at = if space.take(in_place.clone()).is_ok() {
            self.clear(pending, in_place, job)?;
            table.start
        } else {
            let at = self.room(pending, len, job)?;
            let end = before * 4;
            for done in (0..end).step_by(PIECE as usize) {
                job.check()?;
                let mut entries = vec![0; (end - done).min(PIECE) as usize];
                self.file.read_exact_at(&mut entries, table.start + done)?;
                self.file.write_all_at(&entries, at + done)?;
            }
            at
        };
        skeleton::unused(&self.file, at + before * 4..at + len)?;
        self.file.sync()?;
        self.write_header(at, blocks)
    }

    /// Says where the table lies and how many entries it has. Both and the checksum stand in the header's first sector,
    /// which is written in one piece.
    fn write_header(&self, table: u64, entries: u64) -> Result<()> {
        let Header { mut fields, offset } = self.header;
        fields.table_offset = table.into();
        fields.max_table_entries = (entries as u32).into();
        fields.checksum = fields.computed_checksum().into();
        self.file.write_all_at(&fields.as_bytes()[..SECTOR as usize], offset)?;
        self.file.sync()
    }
}
