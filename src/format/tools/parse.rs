//! Reading on-disk structures: each lies inside its file, and what is wrong with it is a defect of that file.

use zerocopy::{FromBytes, IntoBytes};

use crate::error::{Defect, Error, Problem, Result};
use crate::leaves::Format;
use crate::storage::ImageFile;

impl ImageFile {
    /// Reads one on-disk structure; a file that ends before it is a defect of that structure.
    pub(crate) fn read_struct<T: FromBytes + IntoBytes>(
        &self,
        format: Format,
        structure: &'static str,
        offset: u64,
    ) -> Result<T> {
        self.check_inside(format, structure, offset, size_of::<T>() as u64)?;
        let mut value = T::new_zeroed();
        self.read_exact_at(value.as_mut_bytes(), offset)?;
        Ok(value)
    }

    /// Reads `len` bytes of a structure, where `len` does not exceed `limit`.
    pub(crate) fn read_vec(
        &self,
        format: Format,
        structure: &'static str,
        offset: u64,
        len: u64,
        limit: u64,
    ) -> Result<Vec<u8>> {
        if len > limit {
            return Err(self.defect(
                format,
                Problem::Table,
                structure,
                offset,
                format!("at most {limit} bytes"),
                format!("{len} bytes"),
            ));
        }
        self.check_inside(format, structure, offset, len)?;
        let mut bytes = vec![0; len as usize];
        self.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }

    /// That `len` bytes at `offset` lie inside the file.
    pub(crate) fn check_inside(
        &self,
        format: Format,
        structure: &'static str,
        offset: u64,
        len: u64,
    ) -> Result<()> {
        match offset.checked_add(len) {
            Some(end) if end <= self.size() => Ok(()),
            _ => Err(self.defect(
                format,
                Problem::OutOfFile,
                structure,
                offset,
                format!("{len} bytes within a file of {} bytes", self.size()),
                format!("an end at {}", u128::from(offset) + u128::from(len)),
            )),
        }
    }

    /// The error for a defect of this file.
    pub(crate) fn defect(
        &self,
        format: Format,
        problem: Problem,
        structure: &'static str,
        offset: u64,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Error {
        self.defect_box(format, problem, structure, offset, expected, found).into()
    }

    /// The same, for adding advice.
    pub(crate) fn defect_box(
        &self,
        format: Format,
        problem: Problem,
        structure: &'static str,
        offset: u64,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Box<Defect> {
        Defect::new(format, problem, self.name(), structure, offset, expected, found)
    }
}
