//! Values.

use zerocopy::IntoBytes;

use super::bins::damaged;
use super::hive::Hive;
use super::kind;
use super::layout::{BIG_DATA, BigData, INLINE, KeyValue, Record, SEGMENT, VALUE_COMP_NAME};
use super::name::decode_utf16;
use crate::error::Result;

/// The longest data that is read or written. Windows advises against more than 2 KiB.
pub(super) const MAX_DATA: usize = 16 << 20;

/// A value of a [`Key`](super::Key).
#[derive(Debug, Clone)]
pub struct Value<'h> {
    hive: &'h Hive,
    pub(super) offset: u32,
    pub(super) record: KeyValue,
    name: String,
}

impl<'h> Value<'h> {
    pub(super) fn read(hive: &'h Hive, offset: u32) -> Result<Self> {
        let record: KeyValue = hive.record(offset)?;
        let compressed = record.flags.get() & VALUE_COMP_NAME != 0;
        let name = hive.name::<KeyValue>(offset, record.name_len.get(), compressed)?;
        Ok(Self { hive, offset, record, name })
    }

    /// Its name; empty for a key's default value.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its type: one of [`kind`](super::kind), or another.
    pub fn kind(&self) -> u32 {
        self.record.kind.get()
    }

    /// Bytes of its data.
    pub(super) fn len(&self) -> usize {
        (self.record.data_size.get() & !INLINE) as usize
    }

    pub(super) fn is_inline(&self) -> bool {
        self.record.data_size.get() & INLINE != 0
    }

    /// Whether its data lies in several cells.
    pub(super) fn is_big(&self) -> Result<bool> {
        let big = !self.is_inline() && self.len() > SEGMENT && self.hive.minor >= BIG_DATA;
        Ok(big && self.hive.cell(self.record.data.get(), 2, KeyValue::STRUCTURE)? == BigData::SIGNATURE)
    }

    /// Its data.
    pub fn data(&self) -> Result<Vec<u8>> {
        let (len, data) = (self.len(), self.record.data.get());
        let most = if self.is_inline() { 4 } else { MAX_DATA };
        if len > most {
            let expected = format!("data of at most {most} bytes");
            return Err(damaged(KeyValue::STRUCTURE, self.offset, expected, format!("{len} bytes")));
        }
        if self.is_inline() {
            return Ok(self.record.data.as_bytes()[..len].to_vec());
        }
        if len == 0 {
            return Ok(Vec::new());
        }
        if self.is_big()? { self.big_data(len) } else { self.hive.cell(data, len, "registry value data") }
    }

    fn big_data(&self, len: usize) -> Result<Vec<u8>> {
        let mut data = Vec::with_capacity(len);
        for segment in self.segments(&self.big_record()?)? {
            let rest = (len - data.len()).min(SEGMENT);
            data.extend(self.hive.cell(segment, rest, "registry value data")?);
        }
        Ok(data)
    }

    /// The record of big data, which must have as many segments as the data needs.
    pub(super) fn big_record(&self) -> Result<BigData> {
        let record: BigData = self.hive.record(self.record.data.get())?;
        let (needed, segments) = (self.len().div_ceil(SEGMENT), usize::from(record.segments.get()));
        if segments != needed {
            let (at, expected) = (self.record.data.get(), format!("{needed} segments"));
            return Err(damaged(BigData::STRUCTURE, at, expected, segments.to_string()));
        }
        Ok(record)
    }

    /// The segments that a record of big data leads to.
    pub(super) fn segments(&self, record: &BigData) -> Result<Vec<u32>> {
        self.hive.offsets(record.list.get(), usize::from(record.segments.get()), BigData::STRUCTURE)
    }

    /// The cells that hold its data: none, one, or a big data record, its list and its segments.
    pub(super) fn data_cells(&self) -> Result<Vec<u32>> {
        if self.is_inline() || self.len() == 0 {
            return Ok(Vec::new());
        }
        let mut cells = vec![self.record.data.get()];
        if self.is_big()? {
            let record = self.big_record()?;
            cells.push(record.list.get());
            cells.extend(self.segments(&record)?);
        }
        Ok(cells)
    }

    /// Its data as text, up to the first NUL; `None` when it is no string.
    pub fn text(&self) -> Result<Option<String>> {
        if !matches!(self.kind(), kind::SZ | kind::EXPAND_SZ) {
            return Ok(None);
        }
        let text = decode_utf16(&self.data()?);
        Ok(text.split('\0').next().map(str::to_owned))
    }

    /// Its data as a list of strings; one for a string, none for what is neither.
    pub fn strings(&self) -> Result<Vec<String>> {
        match self.kind() {
            kind::MULTI_SZ => {
                let text = decode_utf16(&self.data()?);
                Ok(text.split('\0').filter(|part| !part.is_empty()).map(str::to_owned).collect())
            }
            _ => Ok(self.text()?.into_iter().collect()),
        }
    }

    /// Its data as a number; `None` when it is none.
    pub fn integer(&self) -> Result<Option<u64>> {
        let data = self.data()?;
        Ok(match self.kind() {
            kind::DWORD => data.try_into().ok().map(|bytes| u32::from_le_bytes(bytes).into()),
            kind::QWORD => data.try_into().ok().map(u64::from_le_bytes),
            _ => None,
        })
    }
}
