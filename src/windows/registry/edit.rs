//! Values changed in place: the file keeps its length, and only the sectors of a few records change.

use zerocopy::IntoBytes;

use super::bins::{MIN_CELL, bin, damaged};
use super::hive::{Hive, HiveState};
use super::key::Key;
use super::layout::{BIN_HEADER, BINS, INLINE, NIL, SEGMENT};
use super::sectors::ChangedSectors;
use super::value::Value;
use crate::error::{Error, Result};
use crate::leaves::Rule;

impl Hive {
    /// Gives a value other data; its type stays. Answers `false`, with nothing changed, when the key has no such
    /// value or the hive has no room.
    ///
    /// # Errors
    ///
    /// [`Error::NotConvertible`] when the hive is [dirty](HiveState::Dirty).
    pub fn replace_value(&mut self, key: &str, name: &str, data: &[u8]) -> Result<bool> {
        self.check_editable()?;
        let Some((key, value)) = self.find(key, name)? else { return Ok(false) };
        let (vk, mut record, old) = (value.offset, value.record, self.data_cell(&value)?);
        let (nk, mut node) = (key.offset, key.node);
        if data.len() <= 4 {
            let mut inline = [0; 4];
            inline[..data.len()].copy_from_slice(data);
            record.data_size = (data.len() as u32 | INLINE).into();
            record.data = u32::from_le_bytes(inline).into();
            self.free(old)?;
        } else if let Some((cell, _)) = old.filter(|&(_, len)| len >= data.len()) {
            record.data_size = (data.len() as u32).into();
            self.write(cell + 4, data)?;
        } else if let Some(cell) = self.allocate(data)? {
            record.data_size = (data.len() as u32).into();
            record.data = cell.into();
            self.free(old)?;
        } else {
            return Ok(false);
        }
        self.write(vk + 4, record.as_bytes())?;
        if node.max_value_data.get() < data.len() as u32 {
            node.max_value_data = (data.len() as u32).into();
            self.write(nk + 4, node.as_bytes())?;
        }
        Ok(true)
    }

    /// Removes a value; answers `false` when there is none.
    ///
    /// # Errors
    ///
    /// As for [`Hive::replace_value`].
    pub fn remove_value(&mut self, key: &str, name: &str) -> Result<bool> {
        self.check_editable()?;
        let Some((key, value)) = self.find(key, name)? else { return Ok(false) };
        let (nk, mut node, vk, data) = (key.offset, key.node, value.offset, self.data_cell(&value)?);
        let mut values = key.value_list()?;
        let list = node.value_list.get();
        values.retain(|&offset| offset != vk);
        node.values = (values.len() as u32).into();
        if values.is_empty() {
            node.value_list = NIL.into();
            self.free(Some((list, 0)))?;
        } else {
            let list_bytes: Vec<u8> = values.iter().flat_map(|offset| offset.to_le_bytes()).collect();
            self.write(list + 4, &list_bytes)?;
        }
        self.write(nk + 4, node.as_bytes())?;
        self.free(data)?;
        self.free(Some((vk, 0)))?;
        Ok(true)
    }

    /// All that has changed in the file: by edits, and by the logs that were replayed before.
    ///
    /// # Errors
    ///
    /// [`Error::NotConvertible`] when the logs made the hive longer than its file.
    pub fn edits(&self) -> Result<Vec<ChangedSectors>> {
        if self.sectors.replaced_end() > self.sectors.len() {
            return Err(Error::NotConvertible {
                rule: Rule::DirtyHive,
                reason: format!("the logs make the hive longer than its {} bytes", self.sectors.len()),
            });
        }
        self.sectors.edits()
    }

    /// A change under a log that is still to be replayed would be undone, or spoil the hive.
    fn check_editable(&self) -> Result<()> {
        match self.state() {
            HiveState::Dirty { reason } => Err(Error::NotConvertible {
                rule: Rule::DirtyHive,
                reason: format!(
                    "the registry hive was not closed, and its logs cannot be replayed: {reason}"
                ),
            }),
            HiveState::Clean | HiveState::Replayed => Ok(()),
        }
    }

    fn find(&self, key: &str, name: &str) -> Result<Option<(Key<'_>, Value<'_>)>> {
        let Some(key) = self.key(key)? else { return Ok(None) };
        Ok(key.value(name)?.map(|value| (key, value)))
    }

    /// The cell that holds a value's data and its length; `None` when the data lies in the value, or in several
    /// cells, which are then left behind: Windows does not mind.
    fn data_cell(&self, value: &Value<'_>) -> Result<Option<(u32, usize)>> {
        if value.is_inline() || value.len() == 0 || value.is_big()? {
            return Ok(None);
        }
        let cell = value.record.data.get();
        Ok(Some((cell, self.cell_len(cell)?)))
    }

    /// A new cell that holds `data`, made from a free one.
    fn allocate(&mut self, data: &[u8]) -> Result<Option<u32>> {
        if data.len() > SEGMENT {
            return Ok(None);
        }
        let needed = (data.len() as u32 + 4).next_multiple_of(MIN_CELL);
        let Some((cell, size)) = self.free_cell(needed)? else { return Ok(None) };
        self.write(cell, &(-(needed as i32)).to_le_bytes())?;
        self.write(cell + 4, data)?;
        if size > needed {
            self.write(cell + needed, &(size - needed).to_le_bytes())?;
        }
        Ok(Some(cell))
    }

    /// The first free cell with room for `needed` bytes, and its size.
    fn free_cell(&self, needed: u32) -> Result<Option<(u32, u32)>> {
        let mut at = 0;
        while at < self.bins_size {
            let bin_end = at + bin(&self.sectors, at, self.bins_size)?.size.get();
            at += BIN_HEADER;
            while at < bin_end {
                let mut size = [0; 4];
                self.sectors.read(&mut size, BINS + u64::from(at))?;
                let size = i32::from_le_bytes(size);
                let len = size.unsigned_abs();
                if len < MIN_CELL || !len.is_multiple_of(MIN_CELL) || len > bin_end - at {
                    let expected = format!("a multiple of {MIN_CELL} up to {}", bin_end - at);
                    return Err(damaged("registry cell", at, expected, format!("a size of {size}")));
                }
                if size > 0 && len >= needed {
                    return Ok(Some((at, len)));
                }
                at += len;
            }
        }
        Ok(None)
    }

    /// Marks a cell as free.
    fn free(&mut self, cell: Option<(u32, usize)>) -> Result<()> {
        let Some((cell, _)) = cell else { return Ok(()) };
        let size = self.cell_len(cell)? as u32 + 4;
        self.write(cell, &size.to_le_bytes())
    }

    /// Writes at an offset that counts from the end of the base block.
    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<()> {
        self.sectors.write(bytes, BINS + u64::from(offset))
    }
}
