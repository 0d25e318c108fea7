//! The data of values, put into cells.
//!
//! Up to four bytes stand in the place of the offset. What is longer than a segment lies in several cells, with a list of
//! them, from version 1.4 on; a hive of version 1.3 has it in one cell.

use zerocopy::IntoBytes;

use super::cells::Cells;
use super::layout::{BIG_DATA, BigData, INLINE, KeyValue, Record, SEGMENT};
use super::value::MAX_DATA;
use crate::error::{Error, Result};

/// That data is not too long for a value.
pub(super) fn check(data: &[u8]) -> Result<()> {
    if data.len() > MAX_DATA {
        let what = format!("a registry value of {} bytes is not written: {MAX_DATA} at most", data.len());
        return Err(Error::Unsupported { what });
    }
    Ok(())
}

/// Puts data into the hive; the size and the place that the value gets.
pub(super) fn store(cells: &mut Cells, data: &[u8]) -> Result<(u32, u32)> {
    check(data)?;
    let len = data.len() as u32;
    if len <= 4 {
        let mut inline = [0; 4];
        inline[..data.len()].copy_from_slice(data);
        return Ok((len | INLINE, u32::from_le_bytes(inline)));
    }
    if data.len() <= SEGMENT || cells.hive.minor < BIG_DATA {
        return Ok((len, cells.store(data)?));
    }
    let segments: Vec<u32> = data.chunks(SEGMENT).map(|part| cells.store(part)).collect::<Result<_>>()?;
    let list: Vec<u8> = segments.iter().flat_map(|segment| segment.to_le_bytes()).collect();
    // MAX_DATA has a thousand segments.
    let count = segments.len() as u16;
    let record =
        BigData { signature: BigData::SIGNATURE, segments: count.into(), list: cells.store(&list)?.into() };
    Ok((len, cells.store(record.as_bytes())?))
}

/// Gives a value other data than lies in the cells `old`: in its one cell, if it has one, or elsewhere. The value's record
/// as it is then.
pub(super) fn replace(
    cells: &mut Cells,
    mut record: KeyValue,
    old: Vec<u32>,
    data: &[u8],
) -> Result<KeyValue> {
    check(data)?;
    let is_one = data.len() > 4 && (data.len() <= SEGMENT || cells.hive.minor < BIG_DATA);
    let (size, place) = match old[..] {
        [cell] if is_one => (data.len() as u32, cells.replace(cell, data, true)?),
        _ => {
            let stored = store(cells, data)?;
            old.into_iter().try_for_each(|cell| cells.release(cell))?;
            stored
        }
    };
    (record.data_size, record.data) = (size.into(), place.into());
    Ok(record)
}
