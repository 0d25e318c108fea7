//! Changing the headers, [MS-VHDX] 2.2.2.

use zerocopy::IntoBytes;

use super::super::header::{Current, OFFSETS};
use super::super::layout::Header;
use crate::error::{Problem, Result};
use crate::leaves::Format::Vhdx;
use crate::storage::{ImageFile, WritableFile};

/// No writer gets so far by counting; from here on there is room to count.
const MAX_SEQUENCE_NUMBER: u64 = u64::MAX / 2;

/// The headers of a file that is open for writing.
pub(crate) struct Headers {
    current: Current,
}

impl Headers {
    /// The headers of `file`, of which `current` is the current one.
    pub(crate) fn new(file: &ImageFile, current: Current) -> Result<Self> {
        Self::check(file, &current)?;
        Ok(Self { current })
    }

    /// That the headers can be changed.
    pub(crate) fn check(file: &ImageFile, current: &Current) -> Result<()> {
        let number = current.header.sequence_number.get();
        if number > MAX_SEQUENCE_NUMBER {
            let expected = format!("a sequence number of at most {MAX_SEQUENCE_NUMBER}");
            let found = number.to_string();
            return Err(file.defect(Vhdx, Problem::Value, "header", current.offset, expected, found));
        }
        Ok(())
    }

    /// The current header.
    pub(crate) fn current(&self) -> &Current {
        &self.current
    }

    /// Gives both headers new content, the one that is not current first, so that at every moment one of them is valid.
    pub(crate) fn update(&mut self, file: &WritableFile, change: impl FnOnce(&mut Header)) -> Result<()> {
        let mut header = self.current.header.clone();
        change(&mut header);
        let first = usize::from(self.current.offset == OFFSETS[0]);
        for offset in [OFFSETS[first], OFFSETS[1 - first]] {
            header.sequence_number += 1;
            header.checksum = 0.into();
            header.checksum = crc32c::crc32c(header.as_bytes()).into();
            file.write_all_at(header.as_bytes(), offset)?;
            file.sync()?;
            self.current = Current { offset, header: header.clone(), damaged: None };
        }
        Ok(())
    }
}
