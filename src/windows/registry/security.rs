//! Security descriptors: each in one "sk" cell for all keys that have it, which counts them. The cells are linked in a
//! ring, both ways; Windows gives a hive with a broken ring a default security altogether.

use zerocopy::IntoBytes;

use super::bins::damaged;
use super::cells::Cells;
use super::hive::Hive;
use super::layout::{KEY_SECURITY, KeySecurity, Record};
use crate::error::{Error, Result};

/// The descriptor in a cell.
pub(super) fn descriptor(hive: &Hive, cell: u32) -> Result<Vec<u8>> {
    let record: KeySecurity = hive.record(cell)?;
    let len = KEY_SECURITY.saturating_add(record.size.get() as usize);
    let mut bytes = hive.cell(cell, len, KeySecurity::STRUCTURE)?;
    Ok(bytes.split_off(KEY_SECURITY))
}

/// One more key has it.
pub(super) fn retain(cells: &mut Cells, cell: u32) -> Result<()> {
    let mut record: KeySecurity = cells.hive.record(cell)?;
    let references = record.references.get().checked_add(1);
    record.references = references.ok_or_else(|| count_damaged(cell, &record))?.into();
    cells.write(cell, &record)
}

/// One key less has it; with the last one it goes.
pub(super) fn release(cells: &mut Cells, cell: u32) -> Result<()> {
    let mut record: KeySecurity = cells.hive.record(cell)?;
    match record.references.get() {
        0 => Err(count_damaged(cell, &record)),
        1 => {
            let (flink, blink) = (record.flink.get(), record.blink.get());
            link(cells, blink, flink)?;
            cells.release(cell)
        }
        references => {
            record.references = (references - 1).into();
            cells.write(cell, &record)
        }
    }
}

/// The cell with this descriptor, for one more key: one of the ring that `near` is part of, or a new one beside it.
pub(super) fn share(cells: &mut Cells, near: u32, bytes: &[u8]) -> Result<u32> {
    let mut cell = near;
    // More than there is room for are the same again.
    for _ in 0..=cells.hive.bins_size as usize / KEY_SECURITY {
        if descriptor(&cells.hive, cell)? == bytes {
            retain(cells, cell)?;
            return Ok(cell);
        }
        cell = cells.hive.record::<KeySecurity>(cell)?.flink.get();
        if cell == near {
            return add(cells, near, bytes);
        }
    }
    Err(damaged(KeySecurity::STRUCTURE, near, "a ring of all descriptors", "one that leads elsewhere"))
}

/// A new cell with this descriptor, behind `near`.
fn add(cells: &mut Cells, near: u32, bytes: &[u8]) -> Result<u32> {
    let next = cells.hive.record::<KeySecurity>(near)?.flink;
    let record = first(bytes);
    let cell = cells.store(&[record.as_bytes(), bytes].concat())?;
    link(cells, near, cell)?;
    link(cells, cell, next.get())?;
    Ok(cell)
}

/// The record of a descriptor that one key has, and that is not linked yet.
pub(super) fn first(bytes: &[u8]) -> KeySecurity {
    KeySecurity {
        signature: KeySecurity::SIGNATURE,
        reserved: 0.into(),
        flink: 0.into(),
        blink: 0.into(),
        references: 1.into(),
        size: (bytes.len() as u32).into(),
    }
}

/// Makes two cells neighbours.
pub(super) fn link(cells: &mut Cells, before: u32, behind: u32) -> Result<()> {
    let mut record: KeySecurity = cells.hive.record(before)?;
    record.flink = behind.into();
    cells.write(before, &record)?;
    let mut record: KeySecurity = cells.hive.record(behind)?;
    record.blink = before.into();
    cells.write(behind, &record)
}

fn count_damaged(cell: u32, record: &KeySecurity) -> Error {
    damaged(KeySecurity::STRUCTURE, cell, "the number of keys that have it", record.references.to_string())
}
